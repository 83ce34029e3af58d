"""The data set of halves: long playlists cut in two, one half the library of a person more, the other the playlist.

Everybody and everything else stays as it is, so that the chain from this data set to a bundle is that of any release.
Playlists keep owners that they name, and no person of a half is one: who owns the others is decided as always, by
likes. The two halves share no song, so no like joins them. Some people are left out altogether, and ask as strangers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.arrays.seeds import generator
from spotify_buddies.foundation.stages import stage
from spotify_buddies.foundation.stages.progress import Progress
from spotify_buddies.foundation.text.song_keys import Matching, song_key
from spotify_buddies.trainer.dataset.build import build_dataset
from spotify_buddies.trainer.dataset.reading.sources import Sources
from spotify_buddies.trainer.dataset.table import NOT_SAMPLED, SONGS, Dataset, open_dataset
from spotify_buddies.trainer.evaluation.organic.halves import cut
from spotify_buddies.trainer.evaluation.served.questions import PEOPLE, Questions, nothing, spread
from spotify_buddies.trainer.settings import DataSettings

Array = npt.NDArray[Any]

LEAST_SONGS = 20
STRANGERS = 0.1
_PREFIX = "half-library-"


class TooFewHalves(Exception):
    """No playlist can be cut; the message says what is missing."""


@dataclass(frozen=True)
class HalvesData:
    """The data set of halves and its people.

    playlists int32 (n,): the row of each person's other half; users int32 (n,): the row of each in the data set, -1 for
    strangers; libraries (n, S): their songs, over the songs of the data set.
    """

    data: Dataset
    playlists: Array
    users: Array
    libraries: Csr

    def questions(self, most: int = PEOPLE) -> dict[str, Questions]:
        """The sets "halves-warm", of people in the data set, and "halves-cold", of strangers; those with anybody."""
        sets = {}
        for name, people in (("warm", self.users >= 0), ("cold", self.users < 0)):
            rows = spread(np.flatnonzero(people & (self.libraries.counts > 0)), most)
            if rows.size:
                wanted = Csr(np.arange(rows.size + 1), self.playlists[rows], self.data.playlists)
                seen = nothing(rows.size, self.data.playlists)
                users = self.users[rows] if name == "warm" else None
                sets[f"halves-{name}"] = Questions(users, self.libraries.take(rows), wanted, seen)
        return sets


def build_halves(whole: Dataset, work: Path, settings: DataSettings, progress: Progress) -> HalvesData:
    """Cut every playlist of LEAST_SONGS or more named songs and build the data set under `work`, nine parts as always.

    A share STRANGERS of the people with a half, drawn by settings.seed, is left out of it. TooFewHalves: none is long
    enough. Reused when nothing changed.
    """
    # Other matching could give two halves a song in common, and the names near each other have met in the whole data
    # set; cold users are here the strangers.
    matched = {"matching": whole.matching, "near_names": False}
    settings = settings.model_copy(update=matched | {"cold_users": 0.0, "sample_users": 1.0})
    named = _named(whole.song_table)
    halves = cut(_chosen(whole.playlist_songs, named), least=LEAST_SONGS, seed=settings.seed)
    count = halves.rows.size
    if not count:
        raise TooFewHalves(f"{whole.directory}: no playlist of {LEAST_SONGS} or more songs with names to cut in two")
    stranger = np.zeros(count, np.bool_)
    left_out = generator(settings.seed, "served/strangers").permutation(count)[: round(STRANGERS * count)]
    stranger[left_out] = True

    def write(directory: Path) -> dict[str, Any]:
        listens = [_listens(whole, named), _long(halves.library.only(~stranger), whole, _names(count), "user_id")]
        pl.concat(listens).write_parquet(directory / "listens.parquet")
        _playlists(whole, halves.rows, halves.playlist, named).write_parquet(directory / "playlists.parquet")
        return {"people": count, "strangers": int(stranger.sum())}

    inputs = {"dataset": whole.fingerprint}
    cutting = {"least": LEAST_SONGS, "seed": settings.seed, "strangers": STRANGERS}
    raw = stage.run(work, "raw", inputs=inputs, settings=cutting, build=write)
    sources = Sources(listens=raw.directory / "listens.parquet", playlists=raw.directory / "playlists.parquet")
    build_dataset(sources, work / "dataset", settings, progress=progress)
    data = open_dataset(work / "dataset")
    return _people(data, whole, halves.rows, halves.library)


def _people(data: Dataset, whole: Dataset, cut_rows: Array, libraries: Csr) -> HalvesData:
    user_rows = _rows(data.user_table["user_id"])
    playlist_rows = _rows(data.playlist_table["playlist_id"])
    # Strangers are in no file.
    users = [user_rows.get(name, -1) for name in _names(cut_rows.size)]
    playlists = [playlist_rows[name] for name in whole.playlist_table["playlist_id"].gather(cut_rows)]
    # Songs are found by what is written of them, under the numbers of the new data set.
    place = _songs_there(data, whole)
    columns = place[libraries.indices]
    kept = columns >= 0
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept, dtype=np.int64)])
    there = Csr(before[libraries.indptr], columns[kept], data.songs)
    return HalvesData(data, np.array(playlists, np.int32), np.array(users, np.int32), there)


def _songs_there(data: Dataset, whole: Dataset) -> Array:
    """The row of every song of the whole data set among those of the halves, int32, -1 where it is not there."""
    matching: Matching = "full" if whole.matching == "full" else "plain"

    def keys(songs: pl.DataFrame) -> list[str]:
        names = zip(songs["title"].fill_null("").to_list(), songs["artist"].fill_null("").to_list(), strict=True)
        return [song_key(title, artist, matching) for title, artist in names]

    rows = {key: row for row, key in enumerate(keys(data.song_table))}
    return np.array([rows.get(key, -1) for key in keys(whole.song_table)], np.int32)


def _listens(whole: Dataset, named: Array) -> pl.DataFrame:
    """The libraries of the sampled users, but of those who own a playlist by name: they would hold both halves of it.

    The data set gives these the songs of their playlists, of which one half is left.
    """
    asked = np.asarray(whole.user_kind) != NOT_SAMPLED
    owners = np.load(whole.directory / SONGS / "named_owner.npy")
    asked[owners[owners >= 0]] = False
    return _long(_chosen(whole.user_songs.only(asked), named), whole, whole.user_table["user_id"], "user_id")


def _playlists(whole: Dataset, cut_rows: Array, halves: Csr, named: Array) -> pl.DataFrame:
    """All playlists: of the long ones the half, the others whole."""
    uncut = np.ones(whole.playlists, np.bool_)
    uncut[cut_rows] = False
    table = whole.playlist_table
    ids = table["playlist_id"]
    long = pl.concat(
        [
            _long(_chosen(whole.playlist_songs.only(uncut), named), whole, ids, "playlist_id"),
            _long(halves, whole, ids.gather(cut_rows), "playlist_id"),
        ]
    )
    facts = table.select("playlist_id", pl.col("title").fill_null("").alias("name"), "owner_id")
    return long.join(facts, on="playlist_id", how="left", maintain_order="left")


def _long(rows: Csr, whole: Dataset, ids: pl.Series, column: str) -> pl.DataFrame:
    """One row a song: the id of its row, title, artist."""
    row = np.repeat(np.arange(rows.rows), rows.counts)
    songs = whole.song_table.select("title", "artist")[np.asarray(rows.indices)]
    return songs.select(ids.gather(row).alias(column), "title", "artist")


def _names(count: int) -> pl.Series:
    return pl.Series([f"{_PREFIX}{number}" for number in range(count)], dtype=pl.String)


def _named(songs: pl.DataFrame) -> Array:
    """Songs with a title and an artist; the others have no place in a file of names."""
    full = (songs["title"].str.strip_chars() != "") & (songs["artist"].str.strip_chars() != "")
    return full.fill_null(value=False).to_numpy()


def _chosen(rows: Csr, columns: Array) -> Csr:
    """The entries in the chosen columns, bool (columns,)."""
    kept = columns[np.asarray(rows.indices)]
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept, dtype=np.int64)])
    return Csr(before[rows.indptr], np.asarray(rows.indices)[kept], rows.columns)


def _rows(ids: pl.Series) -> dict[str, int]:
    return {name: row for row, name in enumerate(ids)}
