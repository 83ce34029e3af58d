"""The data set of halves, on made-up playlists of which some name their owner."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from spotify_buddies.foundation.stages.progress import silent
from spotify_buddies.trainer.dataset.build import build_dataset
from spotify_buddies.trainer.dataset.reading.sources import Sources
from spotify_buddies.trainer.dataset.table import Dataset, open_dataset
from spotify_buddies.trainer.evaluation.served.halves import HalvesData, TooFewHalves, build_halves
from spotify_buddies.trainer.settings import DataSettings

SETTINGS = DataSettings(validation_negatives=5, liked_share=0.2, hard_pool=0.6)
PLAYLISTS, LONG, SHORT = 40, 24, 6


def raw(directory: Path) -> Sources:
    """40 playlists, every fourth one short; every fifth names an owner, of whom one listens too."""
    rng = np.random.default_rng(5)
    tracks = []
    for number in range(PLAYLISTS):
        genre = number % 4
        for song in rng.permutation(60)[: SHORT if number % 4 == 3 else LONG]:
            owner = f"maker-{number % 10}" if number % 5 == 0 else None
            tracks.append((f"list-{number}", "", owner, f"Song {genre}-{song}", f"Artist {song % 7}"))
    pl.DataFrame(tracks, schema=["playlist_id", "name", "owner_id", "title", "artist"], orient="row").write_parquet(
        directory / "playlists.parquet"
    )
    listens = [
        (user, f"Song {number % 4}-{song}", f"Artist {song % 7}")
        for number, user in enumerate(["maker-0", *(f"user-{i}" for i in range(30))])
        for song in rng.permutation(60)[:20]
    ]
    pl.DataFrame(listens, schema=["user_id", "title", "artist"], orient="row").write_parquet(
        directory / "listens.parquet"
    )
    return Sources(listens=directory / "listens.parquet", playlists=directory / "playlists.parquet")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    directory = tmp_path_factory.mktemp("whole")
    build_dataset(raw(directory), directory / "dataset", SETTINGS)
    return open_dataset(directory / "dataset")


@pytest.fixture(scope="module")
def halves(whole: Dataset, tmp_path_factory: pytest.TempPathFactory) -> HalvesData:
    return build_halves(whole, tmp_path_factory.mktemp("halves"), SETTINGS, silent)


def songs_of(data: Dataset, rows: np.ndarray) -> set[str]:
    return set(data.song_table["title"].gather(rows).to_list())


def test_the_two_halves_are_the_playlist_and_share_no_song(whole: Dataset, halves: HalvesData) -> None:
    ids = whole.playlist_table["playlist_id"].to_list()
    assert halves.playlists.size == 30
    for person, row in enumerate(halves.playlists.tolist()):
        before = ids.index(halves.data.playlist_table["playlist_id"][row])
        library = songs_of(halves.data, halves.libraries.row(person))
        half = songs_of(halves.data, halves.data.playlist_songs.row(row))
        # A stranger's songs that nobody else has are not in the data set.
        assert library | half == songs_of(whole, whole.playlist_songs.row(before)) or halves.users[person] < 0
        assert not library & half
        assert len(half) == LONG // 2


def test_short_playlists_stay_whole_among_those_that_can_be_found(halves: HalvesData) -> None:
    assert halves.data.playlists == PLAYLISTS
    short = np.setdiff1d(np.arange(PLAYLISTS), halves.playlists)
    assert (halves.data.playlist_songs.counts[short] == SHORT).all()


def test_a_tenth_of_the_people_are_strangers_and_in_no_file(halves: HalvesData) -> None:
    assert int((halves.users < 0).sum()) == 3
    names = halves.data.user_table["user_id"].to_list()
    assert len([name for name in names if name.startswith("half-library-")]) == 27


def test_nobody_owns_the_other_half_of_their_own_library(halves: HalvesData) -> None:
    known = halves.users >= 0
    owner = np.asarray(halves.data.owner)
    assert not (owner[halves.playlists[known]] == halves.users[known]).any()
    for playlist, user in zip(halves.playlists[known], halves.users[known], strict=True):
        assert playlist not in halves.data.liked.row(int(user)), "the halves share no song"


def test_a_named_owner_keeps_the_playlists_and_loses_a_library_that_holds_both_halves(halves: HalvesData) -> None:
    names = halves.data.user_table["user_id"].to_list()
    maker = names.index("maker-0")
    owned = halves.data.owned.row(maker)
    theirs = {halves.data.playlist_table["playlist_id"][int(row)] for row in owned}
    assert {f"list-{number}" for number in (0, 10, 20, 30)} <= theirs
    union = set().union(*(halves.data.playlist_songs.row(int(row)).tolist() for row in owned))
    assert set(halves.data.user_songs.row(maker).tolist()) <= union


def test_warm_people_ask_by_row_and_strangers_by_songs(halves: HalvesData) -> None:
    sets = halves.questions()
    assert {name: len(questions) for name, questions in sets.items()} == {"halves-warm": 27, "halves-cold": 3}
    assert sets["halves-warm"].users is not None
    assert sets["halves-cold"].users is None
    assert (sets["halves-warm"].wanted.counts == 1).all()
    assert sets["halves-warm"].seen.nnz == 0


def test_without_a_long_playlist_there_are_no_halves(whole: Dataset, tmp_path: Path) -> None:
    directory = tmp_path / "raw"
    directory.mkdir()
    table = pl.read_parquet(raw(directory).playlists)
    table.filter(pl.col("playlist_id").is_in([f"list-{n}" for n in range(3, PLAYLISTS, 4)])).write_parquet(
        directory / "playlists.parquet"
    )
    sources = Sources(listens=directory / "listens.parquet", playlists=directory / "playlists.parquet")
    build_dataset(sources, tmp_path / "dataset", SETTINGS)
    with pytest.raises(TooFewHalves, match="20 or more songs"):
        build_halves(open_dataset(tmp_path / "dataset"), tmp_path / "work", SETTINGS, silent)
