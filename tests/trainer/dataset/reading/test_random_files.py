"""Random files: a reader gives what it can, or says in a DataError why not. Nothing else comes out of it."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spotify_buddies.foundation.text.ids import is_id
from spotify_buddies.trainer.dataset.errors import DataError, Skipped
from spotify_buddies.trainer.dataset.reading.intern import Ids, SongNames
from spotify_buddies.trainer.dataset.reading.mpd import read_slice
from spotify_buddies.trainer.dataset.reading.own import read_own_listens, read_own_playlists
from spotify_buddies.trainer.dataset.reading.song_names import read_mismatches, read_song_names
from spotify_buddies.trainer.dataset.reading.triplets_file import read_triplets

Read = Callable[[Path, Skipped], list[str]]

# The file of each example replaces the one before it.
checked = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
PIECES = [
    '"',
    ",",
    ";",
    "\t",
    "\n",
    "\r",
    "\r\n",
    " ",
    "\0",
    "\ufeff",
    "u",
    "é",
    "1.0",
    "-1",
    "nan",
    "<SEP>",
    "x" * 130,
]
PIECES += [
    "\u2028",
    "\x85",
    "user_id",
    "title",
    "artist",
    "plays",
    "song_id",
    "artist_name",
    "['A']",
    "<SO1 TR1>",
    "{",
    "[",
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)


def listens(path: Path, skipped: Skipped) -> list[str]:
    users = Ids()
    read_own_listens(path, users, SongNames(), skipped, lambda _: None)
    return users.names()


def playlists(path: Path, skipped: Skipped) -> list[str]:
    found = read_own_playlists(path, Ids(), SongNames(), skipped, lambda _: None)
    return found.ids + [owner for owner in found.owners if owner]


def triplets(path: Path, skipped: Skipped) -> list[str]:
    users, songs = Ids(), Ids()
    for _ in read_triplets(path, users, songs, skipped):
        pass
    return users.names() + songs.names()


def slices(path: Path, skipped: Skipped) -> list[str]:
    names = SongNames()
    found = read_slice(path, names, skipped)
    assert max(found.songs, default=-1) < len(names)
    assert sum(found.lengths) == len(found.songs)
    return found.ids


def song_names(path: Path, skipped: Skipped) -> list[str]:
    read_song_names(path, {"u", "1.0"}, set(), skipped)
    return []


def mismatches(path: Path, skipped: Skipped) -> list[str]:
    read_mismatches(path, skipped)
    return []


READERS: dict[str, Read] = {
    "listens.csv": listens,
    "playlists.csv": playlists,
    "train_triplets.txt": triplets,
    "mpd.slice.0-9.json": slices,
    "unique_tracks.txt": song_names,
    "song_data.csv": song_names,
    "sid_mismatches.txt": mismatches,
}
HEADERS = {
    "listens.csv": "user_id,title,artist,plays\n",
    "playlists.csv": "playlist_id,name,title,artist,owner_id\n",
    "song_data.csv": "song_id,title,artist_name\n",
    "mpd.slice.0-9.json": '{"playlists": [',
}


def check(path: Path, content: bytes) -> None:
    """All that comes out: ids of the API, or a DataError. What was skipped is as many as it can be."""
    path.write_bytes(content)
    read = READERS[path.name.removesuffix(".gz").removesuffix(".zst").replace("parquet", "csv")]
    for allowed in (False, True):
        skipped = Skipped(allowed)
        try:
            found = read(path, skipped)
        except DataError:
            continue
        assert all(map(is_id, found))
        assert allowed or not (skipped.files or skipped.lines or skipped.playlists)


@pytest.mark.parametrize("name", [*READERS, "listens.csv.gz", "train_triplets.txt.zst", "listens.parquet"])
@checked
@given(content=st.binary(max_size=200))
def test_random_bytes(tmp_path, name, content):
    check(tmp_path / name, content)


@pytest.mark.parametrize("name", READERS)
@checked
@given(text=TEXTS, codec=st.sampled_from(["utf-8", "utf-16", "utf-16-le", "utf-32", "latin-1"]), header=st.booleans())
def test_random_texts(tmp_path, name, text, codec, header):
    check(tmp_path / name, (HEADERS.get(name, "") * header + text).encode(codec, "replace"))


@pytest.mark.parametrize("name", ["listens.csv", "playlists.csv", "train_triplets.txt"])
@checked
@given(
    rows=st.lists(st.lists(st.sampled_from(PIECES), min_size=2, max_size=6), max_size=9), end=st.sampled_from("\n\r")
)
def test_random_rows(tmp_path, name, rows, end):
    sign = "\t" if name.endswith(".txt") else ","
    text = HEADERS.get(name, "").replace("\n", end) + end.join(map(sign.join, rows))
    check(tmp_path / name, text.encode())


@pytest.mark.parametrize("name", ["listens.csv.gz", "train_triplets.txt.gz", "mpd.slice.0-9.json.gz"])
@checked
@given(text=TEXTS, cut=st.integers(0, 200))
def test_packed_files_that_are_cut_short(tmp_path, name, text, cut):
    content = (HEADERS.get(name.removesuffix(".gz"), "") + text).encode()
    check(tmp_path / name, gzip.compress(content)[:cut])


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.sampled_from(PIECES)
VALUES = st.recursive(
    LEAVES, lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(max_size=3), some, max_size=3)
)
TRACKS = st.fixed_dictionaries({}, optional={"track_name": VALUES, "artist_name": VALUES}) | VALUES
PLAYLISTS = st.fixed_dictionaries(
    {"tracks": st.lists(TRACKS, max_size=3) | VALUES, "pid": VALUES}, optional={"name": VALUES, "num_followers": VALUES}
)


@checked
@given(playlists=st.lists(PLAYLISTS | VALUES, max_size=5), cut=st.integers(0, 400) | st.none())
def test_random_slices(tmp_path, playlists, cut):
    content = json.dumps({"playlists": playlists}).encode()
    check(tmp_path / "mpd.slice.0-9.json", content[:cut])
    if cut is None:
        skipped = Skipped(allowed=True)
        found = read_slice(tmp_path / "mpd.slice.0-9.json", SongNames(), skipped)
        assert len(found.ids) + skipped.playlists == len(playlists)


KINDS: list[tuple[Any, Any]] = [
    (pa.string(), st.text(max_size=5)),
    (pa.binary(), st.binary(max_size=5)),
    (pa.binary(3), st.binary(min_size=3, max_size=3)),
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.float64(), st.floats()),
    (pa.float32(), st.floats(width=32)),
    (pa.bool_(), st.booleans()),
    (pa.timestamp("us"), st.integers(0, 2**40)),
    (pa.list_(pa.string()), st.lists(st.none() | st.text(max_size=5), max_size=2)),
    (pa.list_(pa.binary()), st.lists(st.binary(max_size=3), max_size=2)),
    (pa.struct({"name": pa.string()}), st.fixed_dictionaries({"name": st.text(max_size=3)})),
]


@st.composite
def columns(draw: st.DrawFn, rows: int) -> pa.Array:
    kind, values = draw(st.sampled_from(KINDS))
    texts = st.text("abc", min_size=1, max_size=3)
    if draw(st.booleans()):  # most columns are texts, or no row would be read
        kind, values = pa.string(), texts
    array = pa.array(draw(st.lists(st.none() | values, min_size=rows, max_size=rows)), kind)
    return array.dictionary_encode() if pa.types.is_string(kind) and draw(st.booleans()) else array


@st.composite
def parquets(draw: st.DrawFn) -> bytes:
    rows = draw(st.integers(0, 4))
    table = pa.table({name: draw(columns(rows)) for name in ("user_id", "title", "artist", "plays")})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, row_group_size=2)
    return buffer.getvalue()


@checked
@given(content=parquets())
def test_parquet_files_of_random_types(tmp_path, content):
    check(tmp_path / "listens.parquet", content)


@checked
@given(content=parquets(), place=st.integers(0, 5_000), change=st.binary(min_size=1, max_size=4))
def test_parquet_files_with_random_bytes_in_them(tmp_path, content, place, change):
    place %= len(content)
    check(tmp_path / "listens.parquet", content[:place] + change + content[place + len(change) :])
