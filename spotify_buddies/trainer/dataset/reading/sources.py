"""The raw files in a directory, recognised by their names, and exports also by their content."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, fields, replace
from pathlib import Path

from spotify_buddies.foundation.stages.stage import STAMP
from spotify_buddies.trainer.dataset.errors import DataError
from spotify_buddies.trainer.dataset.reading import attlist
from spotify_buddies.trainer.dataset.reading.exports.find import Unread, below, find_exports
from spotify_buddies.trainer.dataset.reading.exports.read import Export

_SLICE = re.compile(r"mpd\.slice\.(\d+)-(\d+)\.json(\.gz|\.zst)?")
_PACKED = r"(\.gz|\.zst)?"
_SINGLE = {
    "triplets": re.compile(r"train_triplets\.txt" + _PACKED),
    "song_names": re.compile(r"(unique_tracks\.txt|song_data\.csv)" + _PACKED),
    "mismatches": re.compile(r"sid_mismatches\.txt" + _PACKED),
    "listens": re.compile(r"listens\.(csv(\.gz|\.zst)?|parquet)"),
    "playlists": re.compile(r"playlists\.(csv(\.gz|\.zst)?|parquet)"),
}
FEEDBACK = "feedback"
# In the order in which they are read.
_INTERACTIONS = {
    name: re.compile(name + r"\.(csv(\.gz|\.zst)?|parquet)")
    for name in ("follows", "likes", "saves", "dislikes", FEEDBACK)
}
_ONE_EACH = _SINGLE | _INTERACTIONS
# A table may be a folder of its parts, as Spark writes it: one source, and not a folder to look into.
_TABLE = re.compile(rf"(listens|playlists|{'|'.join(_INTERACTIONS)})\.csv|.+\.parquet")
KNOWN = (
    "mpd.slice.<a>-<b>.json, train_triplets.txt with unique_tracks.txt or song_data.csv, sid_mismatches.txt, "
    "listens.csv, listens.parquet, playlists.csv, playlists.parquet, follows.csv, likes.csv, saves.csv, dislikes.csv, "
    "feedback.csv, or these as .parquet or folders of parts (text also as .gz or .zst); listItem_spotify.txt with "
    "train.txt and validation.txt; and the exports of docs/your-own-data.md"
)
_NOT_SINGLE = ("mpd", "interactions", "attlist", "exports", "unread")


@dataclass(frozen=True)
class Sources:
    """The raw files of one data set. mpd: slices in the order of their numbers; None: there is no such file.

    interactions: follows, likes, saves, dislikes and feedback, in this order. attlist: its files, in one folder.
    exports: files of people's music services; unread: what else lies in the folder.
    """

    mpd: tuple[Path, ...] = ()
    triplets: Path | None = None
    song_names: Path | None = None
    mismatches: Path | None = None
    listens: Path | None = None
    playlists: Path | None = None
    interactions: tuple[Path, ...] = ()
    attlist: tuple[Path, ...] = ()
    exports: tuple[Export, ...] = ()
    unread: tuple[Unread, ...] = ()

    @property
    def follows(self) -> bool:
        """Whether people say what they follow, and not in the service's feedback alone."""
        return bool(self.attlist) or any(not path.name.startswith(f"{FEEDBACK}.") for path in self.interactions)

    def single(self) -> dict[str, Path]:
        """The files of which there is one at most, by their kind."""
        found = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _NOT_SINGLE}
        return {kind: path for kind, path in found.items() if path is not None}

    def named(self) -> dict[str, Path]:
        """Every file by a name that does not depend on the folder it lies in; an export's says whose it is."""
        # The number keeps two slices of one name, from two folders, apart.
        slices = {f"mpd/{i:06d}/{path.name}": path for i, path in enumerate(self.mpd)}
        exports = {f"exports/{export.user}/{export.name}": export.path for export in self.exports}
        said = {f"interactions/{path.name}": path for path in self.interactions}
        said |= {f"attlist/{path.name}": path for path in self.attlist}
        return slices | {f"{kind}/{path.name}": path for kind, path in self.single().items()} | said | exports


def find_sources(directory: Path, user: str | None = None) -> Sources:
    """Find the raw files below a directory, at any depth, through links too; `user`: whose the exports in it are.

    Hidden files and folders below it and folders of finished stages are passed over: they hold what was made of raw
    files, under names like theirs. Exports are read in no place that only a link leads to. DataError: no such
    directory, no playlists, nobody who listens or owns a playlist, two files for one part, or an export of nobody. Of
    two files with song names unique_tracks.txt is taken, because it names more songs.
    """
    sources, problems = scan(directory, user)
    if problems:
        raise problems[0]
    check_enough(directory, sources)
    return sources


def with_feedback(sources: Sources, path: Path) -> Sources:
    """The sources with one more table of interactions: a file, or a folder that holds feedback.parquet or feedback.csv.

    DataError: there is no such file, or the raw files hold feedback already.
    """
    names = [path] if path.is_file() else [path / f"{FEEDBACK}.{form}" for form in ("parquet", "csv")]
    found = next((name for name in names if name.is_file()), None)
    if found is None or not _INTERACTIONS[FEEDBACK].fullmatch(found.name):
        raise DataError(str(path), "", "no feedback.parquet or feedback.csv", "make it with `buddies retrain extract`")
    if there := [one for one in sources.interactions if one.name.startswith(f"{FEEDBACK}.")]:
        raise DataError(str(there[0]), "", f"feedback beside {found}", "move one of them away")
    return replace(sources, interactions=(*sources.interactions, found))


def scan(directory: Path, user: str | None = None) -> tuple[Sources, list[DataError]]:
    """The same without a check of whether they are enough, for a file too; what is wrong with files comes beside them.

    DataError: there is no such directory or file.
    """
    if not directory.exists():
        raise DataError(str(directory), "", "no such directory", "give the folder that holds the raw files")
    root = directory if directory.is_dir() else directory.parent
    if root != directory:
        user = user or root.resolve().name  # of a single file nothing else says whose it is
    files = _files(directory) if directory.is_dir() else [directory]
    slices = [(path, match) for path in files if (match := _SLICE.fullmatch(path.name))]
    problems: list[DataError] = []
    unread: list[Unread] = []
    alike = {name: [path for path in files if regex.fullmatch(path.name)] for name, regex in _ONE_EACH.items()}
    known = {path for path, _ in slices}.union(*alike.values())
    alike["song_names"] = _better_names(root, alike["song_names"], unread)
    single = {name: _one(name, paths, problems) for name, paths in alike.items()}
    numbers = _attlist(files, problems)
    exports = find_exports(root, [path for path in files if path not in known.union(numbers)], user, problems, unread)
    sources = Sources(
        mpd=tuple(path for path, match in sorted(slices, key=lambda item: (int(item[1][1]), item[0]))),
        interactions=tuple(path for name in _INTERACTIONS if (path := single[name])),
        attlist=numbers,
        exports=exports,
        unread=tuple(sorted(unread, key=lambda one: (one.expected, one.name))),
        **{name: single[name] for name in _SINGLE},
    )
    return sources, problems


def _better_names(root: Path, paths: list[Path], unread: list[Unread]) -> list[Path]:
    better = [path for path in paths if path.name.startswith("unique_tracks")] or paths
    unread += [Unread(below(root, path), "unique_tracks.txt is taken") for path in paths if path not in better]
    return better


def _files(directory: Path) -> list[Path]:
    paths: list[Path] = []
    seen: set[Path] = set()
    for folder, inside, names in os.walk(directory, followlinks=True):
        # Links are followed, and may lead in a circle.
        real = Path(folder).resolve()
        if STAMP in names or real in seen:  # seen: a link that leads back
            inside.clear()
            continue
        seen.add(real)
        tables = [name for name in inside if _TABLE.fullmatch(name)]
        paths += [Path(folder, name) for name in tables]
        # In place: os.walk goes on with what is left in this list.
        inside[:] = [name for name in inside if not name.startswith((".", "__MACOSX")) and name not in tables]
        paths += [Path(folder, name) for name in names if not name.startswith(".") and Path(folder, name).is_file()]
    return sorted(paths)


def _attlist(files: list[Path], problems: list[DataError]) -> tuple[Path, ...]:
    """AttList's files beside its playlists; names like train.txt mean nothing elsewhere."""
    songs = _one("playlists of numbers", [path for path in files if path.name == attlist.SONGS], problems)
    if songs is None:
        return ()
    names = (attlist.TRAIN, attlist.VALIDATION, attlist.TEST)
    return (songs, *(path for name in names if (path := songs.parent / name) in files))


def _one(kind: str, paths: list[Path], problems: list[DataError]) -> Path | None:
    if len(paths) > 1:
        listed = ", ".join(str(path) for path in paths[:3])
        advice = "give a folder that holds one of them"
        problems.append(DataError(listed, "", f"{len(paths)} files for {kind}", advice))
    return paths[0] if paths else None


def check_enough(directory: Path, sources: Sources) -> None:
    """DataError: no playlists, nobody who listens or owns a playlist, or songs without their names."""
    if not sources.named():
        raise DataError(str(directory), "", "no raw files found", f"known names are {KNOWN}")
    if sources.attlist and (sources.mpd or sources.playlists is not None or sources.exports):
        problem, advice = "its numbers would meet the ids of other playlists", "give a folder that holds it alone"
        raise DataError(str(sources.attlist[0]), "", problem, advice)
    if not (sources.mpd or sources.playlists or sources.attlist or sources.exports):
        raise DataError(str(directory), "", "no playlists found", "add mpd.slice.<a>-<b>.json or playlists.csv")
    single = (sources.triplets, sources.listens, sources.playlists)
    if not any((*single, *sources.interactions, *sources.attlist, *sources.exports)):
        advice = "add train_triplets.txt, listens.csv, follows.csv or playlists with an owner_id"
        raise DataError(str(directory), "", "no listening data found", advice)
    if sources.triplets is not None and sources.song_names is None:
        advice = "add unique_tracks.txt or song_data.csv; without names no song matches a playlist"
        raise DataError(str(sources.triplets), "", "no file with the names of its songs", advice)
