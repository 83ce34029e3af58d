"""The raw files in a directory, recognised by their names."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, fields
from pathlib import Path

from spotify_buddies.foundation.stages.stage import STAMP
from spotify_buddies.trainer.dataset.errors import DataError
from spotify_buddies.trainer.dataset.reading import attlist

_SLICE = re.compile(r"mpd\.slice\.(\d+)-(\d+)\.json(\.gz|\.zst)?")
_PACKED = r"(\.gz|\.zst)?"
_SINGLE = {
    "triplets": re.compile(r"train_triplets\.txt" + _PACKED),
    "song_names": re.compile(r"(unique_tracks\.txt|song_data\.csv)" + _PACKED),
    "mismatches": re.compile(r"sid_mismatches\.txt" + _PACKED),
    "listens": re.compile(r"listens\.(csv(\.gz|\.zst)?|parquet)"),
    "playlists": re.compile(r"playlists\.(csv(\.gz|\.zst)?|parquet)"),
}
# In the order in which they are read.
_INTERACTIONS = {
    name: re.compile(name + r"\.(csv(\.gz|\.zst)?|parquet)")
    for name in ("follows", "likes", "saves", "dislikes", "feedback")
}
KNOWN = (
    "mpd.slice.<a>-<b>.json, train_triplets.txt with unique_tracks.txt or song_data.csv, sid_mismatches.txt, "
    "listens.csv, listens.parquet, playlists.csv, playlists.parquet, follows.csv, likes.csv, saves.csv, dislikes.csv, "
    "feedback.csv, or these as .parquet (text files also as .gz or .zst); listItem_spotify.txt with train.txt and "
    "validation.txt"
)


@dataclass(frozen=True)
class Sources:
    """The raw files of one data set. mpd: slices in the order of their numbers; None: there is no such file.

    interactions: follows, likes, saves, dislikes and feedback, in this order. attlist: its files, in one folder.
    """

    mpd: tuple[Path, ...] = ()
    triplets: Path | None = None
    song_names: Path | None = None
    mismatches: Path | None = None
    listens: Path | None = None
    playlists: Path | None = None
    interactions: tuple[Path, ...] = ()
    attlist: tuple[Path, ...] = ()

    def named(self) -> dict[str, Path]:
        """Every file by a name that does not depend on the folder it lies in."""
        many = ("mpd", "interactions", "attlist")
        single = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in many}
        # The number keeps two slices of one name, from two folders, apart.
        slices = {f"mpd/{i:06d}/{path.name}": path for i, path in enumerate(self.mpd)}
        said = {f"{name}/{path.name}": path for name in many[1:] for path in getattr(self, name)}
        return slices | {f"{name}/{path.name}": path for name, path in single.items() if path is not None} | said


def find_sources(directory: Path) -> Sources:
    """Find the raw files below a directory, at any depth, through links too.

    Hidden folders below it and folders of finished stages are passed over: they hold what was made of raw files, under
    names like theirs. DataError: no such directory, no playlists, nobody who listens or owns a playlist, or two files
    for one part. Of two files with song names unique_tracks.txt is taken, because it names more songs.
    """
    if not directory.is_dir():
        raise DataError(str(directory), "", "no such directory", "give the folder that holds the raw files")
    files = _files(directory)
    slices = [(path, match) for path in files if (match := _SLICE.fullmatch(path.name))]
    sources = Sources(
        mpd=tuple(path for path, match in sorted(slices, key=lambda item: (int(item[1][1]), item[0]))),
        interactions=tuple(filter(None, (_matching(name, regex, files) for name, regex in _INTERACTIONS.items()))),
        attlist=_attlist(files),
        **{name: _matching(name, regex, files) for name, regex in _SINGLE.items()},
    )
    _check(directory, sources)
    return sources


def _files(directory: Path) -> list[Path]:
    paths: list[Path] = []
    seen: set[Path] = set()
    for folder, below, names in os.walk(directory, followlinks=True):
        # Links are followed, and may lead in a circle.
        real = Path(folder).resolve()
        if STAMP in names or real in seen:  # seen: a link that leads back
            below.clear()
            continue
        seen.add(real)
        # In place: os.walk goes on with what is left in this list.
        below[:] = [name for name in below if not name.startswith(".")]
        paths += [Path(folder, name) for name in names if Path(folder, name).is_file()]
    return sorted(paths)


def _matching(name: str, regex: re.Pattern[str], files: list[Path]) -> Path | None:
    return _one(name, [path for path in files if regex.fullmatch(path.name)])


def _attlist(files: list[Path]) -> tuple[Path, ...]:
    """AttList's files beside its playlists; names like train.txt mean nothing elsewhere."""
    songs = _one("playlists of numbers", [path for path in files if path.name == attlist.SONGS])
    if songs is None:
        return ()
    names = (attlist.TRAIN, attlist.VALIDATION, attlist.TEST)
    return (songs, *(path for name in names if (path := songs.parent / name) in files))


def _one(name: str, paths: list[Path]) -> Path | None:
    if name == "song_names":
        paths = [path for path in paths if path.name.startswith("unique_tracks")] or paths
    if len(paths) > 1:
        listed = ", ".join(str(path) for path in paths[:3])
        raise DataError(listed, "", f"{len(paths)} files for {name}", "give a folder that holds one of them")
    return paths[0] if paths else None


def _check(directory: Path, sources: Sources) -> None:
    if not sources.named():
        raise DataError(str(directory), "", "no raw files found", f"known names are {KNOWN}")
    if sources.attlist and (sources.mpd or sources.playlists is not None):
        problem, advice = "its numbers would meet the ids of other playlists", "give a folder that holds it alone"
        raise DataError(str(sources.attlist[0]), "", problem, advice)
    if not sources.mpd and sources.playlists is None and not sources.attlist:
        raise DataError(str(directory), "", "no playlists found", "add mpd.slice.<a>-<b>.json or playlists.csv")
    people = (sources.triplets, sources.listens, sources.playlists, *sources.interactions, *sources.attlist)
    if not any(people):
        advice = "add train_triplets.txt, listens.csv, follows.csv or playlists with an owner_id"
        raise DataError(str(directory), "", "no listening data found", advice)
    if sources.triplets is not None and sources.song_names is None:
        advice = "add unique_tracks.txt or song_data.csv; without names no song matches a playlist"
        raise DataError(str(sources.triplets), "", "no file with the names of its songs", advice)
