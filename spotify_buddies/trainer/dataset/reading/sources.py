"""The raw files in a directory, recognised by their names, and exports also by their content."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, fields
from pathlib import Path

from spotify_buddies.foundation.stages.stage import STAMP
from spotify_buddies.trainer.dataset.errors import DataError
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
_TABLE = re.compile(r"(listens|playlists)\.csv|.+\.parquet")
KNOWN = (
    "mpd.slice.<a>-<b>.json, train_triplets.txt with unique_tracks.txt or song_data.csv, sid_mismatches.txt, "
    "listens.csv, listens.parquet, playlists.csv, playlists.parquet (or folders of parts), text also as .gz or .zst; "
    "and the exports of docs/your-own-data.md"
)


_NOT_FIELDS = ("mpd", "exports", "unread")


@dataclass(frozen=True)
class Sources:
    """The raw files of one data set. mpd: slices in the order of their numbers; None: there is no such file.

    exports: files of people's music services; unread: what else lies in the folder.
    """

    mpd: tuple[Path, ...] = ()
    triplets: Path | None = None
    song_names: Path | None = None
    mismatches: Path | None = None
    listens: Path | None = None
    playlists: Path | None = None
    exports: tuple[Export, ...] = ()
    unread: tuple[Unread, ...] = ()

    def single(self) -> dict[str, Path]:
        """The files of which there is one at most, by their kind."""
        found = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _NOT_FIELDS}
        return {kind: path for kind, path in found.items() if path is not None}

    def named(self) -> dict[str, Path]:
        """Every file by a name that does not depend on the folder it lies in; an export's says whose it is."""
        # The number keeps two slices of one name, from two folders, apart.
        slices = {f"mpd/{i:06d}/{path.name}": path for i, path in enumerate(self.mpd)}
        exports = {f"exports/{export.user}/{export.name}": export.path for export in self.exports}
        return slices | {f"{kind}/{path.name}": path for kind, path in self.single().items()} | exports


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
    single: dict[str, Path | None] = {}
    for kind, regex in _SINGLE.items():
        paths = [path for path in files if regex.fullmatch(path.name)]
        chosen = [path for path in paths if path.name.startswith("unique_tracks")] if kind == "song_names" else []
        unread += [
            Unread(below(root, path), "unique_tracks.txt is taken") for path in paths if chosen and path not in chosen
        ]
        single[kind] = _one(kind, chosen or paths, problems)
    known = {path for path, _ in slices} | {
        path for path in files for regex in _SINGLE.values() if regex.fullmatch(path.name)
    }
    exports = find_exports(root, [path for path in files if path not in known], user, problems, unread)
    sources = Sources(
        mpd=tuple(path for path, match in sorted(slices, key=lambda item: (int(item[1][1]), item[0]))),
        **single,
        exports=exports,
        unread=tuple(sorted(unread, key=lambda one: (one.expected, one.name))),
    )
    return sources, problems


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
        # A table may be a folder of its parts, as Spark writes it: one source, and not a folder to look into.
        tables = [name for name in inside if _TABLE.fullmatch(name)]
        paths += [Path(folder, name) for name in tables]
        # In place: os.walk goes on with what is left in this list.
        inside[:] = [name for name in inside if not name.startswith((".", "__MACOSX")) and name not in tables]
        paths += [Path(folder, name) for name in names if not name.startswith(".") and Path(folder, name).is_file()]
    return sorted(paths)


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
    if not sources.mpd and sources.playlists is None and not sources.exports:
        raise DataError(str(directory), "", "no playlists found", "add mpd.slice.<a>-<b>.json or playlists.csv")
    if sources.triplets is None and sources.listens is None and sources.playlists is None and not sources.exports:
        advice = "add train_triplets.txt, listens.csv or playlists with an owner_id"
        raise DataError(str(directory), "", "no listening data found", advice)
    if sources.triplets is not None and sources.song_names is None:
        advice = "add unique_tracks.txt or song_data.csv; without names no song matches a playlist"
        raise DataError(str(sources.triplets), "", "no file with the names of its songs", advice)
