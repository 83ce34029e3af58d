"""Reading the raw files, beside the parsers alone."""

from __future__ import annotations

from pathlib import Path

from spotify_buddies.trainer.bench.figure import OURS, Figure, timed
from spotify_buddies.trainer.bench.plan import Bench
from spotify_buddies.trainer.dataset.errors import Skipped
from spotify_buddies.trainer.dataset.reading.intern import Ids, SongNames
from spotify_buddies.trainer.dataset.reading.mpd import SliceReader, open_slice
from spotify_buddies.trainer.dataset.reading.sources import find_sources
from spotify_buddies.trainer.dataset.reading.triplets_file import read_triplets

_SLICES, _LISTENS = "playlist slices read", "listens read"


def slices(bench: Bench) -> list[Figure]:
    """JSON to song codes, on one core."""
    paths, megabytes = _slices(bench)

    def read() -> None:
        reader = SliceReader(SongNames())
        for path in paths:
            reader.read(open_slice(path))

    return [timed(_SLICES, OURS, megabytes, "MB", read)]


def slices_by_orjson(bench: Bench) -> list[Figure]:
    """JSON to Python objects and no further."""
    import orjson

    paths, megabytes = _slices(bench)

    def read() -> None:
        for path in paths:
            orjson.loads(path.read_bytes())

    return [timed(_SLICES, "orjson alone", megabytes, "MB", read)]


def listens(bench: Bench) -> list[Figure]:
    """Lines to codes of users and songs."""
    path, megabytes = _listens(bench)

    def read() -> None:
        users, songs = Ids(), Ids()
        for _ in read_triplets(path, users, songs, Skipped()):
            pass

    return [timed(_LISTENS, OURS, megabytes, "MB", read)]


def listens_by_polars(bench: Bench) -> list[Figure]:
    """Lines to columns of text and no further."""
    import polars as pl

    path, megabytes = _listens(bench)

    def read() -> None:
        pl.read_csv(path, separator="\t", has_header=False, quote_char=None)

    return [timed(_LISTENS, "polars alone", megabytes, "MB", read)]


def _slices(bench: Bench) -> tuple[list[Path], float]:
    paths = list(find_sources(bench.raw).mpd[: bench.slices])
    return paths, sum(path.stat().st_size for path in paths) / 1e6


def _listens(bench: Bench) -> tuple[Path, float]:
    path = find_sources(bench.raw).triplets
    if path is None:
        raise FileNotFoundError(f"{bench.raw}: no train_triplets.txt")
    return path, path.stat().st_size / 1e6
