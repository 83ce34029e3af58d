"""The organic protocol: halves that share no song, and questions about the own half."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.evaluation.organic.halves import cut, write_raw
from spotify_buddies.trainer.evaluation.organic.questions import ask

PLAYLISTS = st.lists(st.sets(st.integers(0, 30)).map(sorted), max_size=12)


@given(playlists=PLAYLISTS, least=st.integers(2, 6))
def test_the_halves_share_no_song_and_lose_none(playlists: list[list[int]], least: int) -> None:
    halves = cut(Csr.from_rows(playlists, 31), least=least, seed=1)
    assert halves.rows.tolist() == [i for i, songs in enumerate(playlists) if len(songs) >= least]
    for at, row in enumerate(halves.rows):
        library, playlist = halves.library.row(at).tolist(), halves.playlist.row(at).tolist()
        assert sorted(library + playlist) == playlists[row]
        assert 0 <= len(library) - len(playlist) <= 1
        assert library == sorted(library)
        assert playlist == sorted(playlist)


def test_the_seed_decides_the_cut() -> None:
    playlists = Csr.from_rows([list(range(20))] * 3, 20)
    cuts = [cut(playlists, least=20, seed=seed).library.indices.tolist() for seed in (1, 1, 2)]
    assert cuts[0] == cuts[1] != cuts[2]


def test_one_song_has_no_halves() -> None:
    with pytest.raises(ValueError, match="no two halves"):
        cut(Csr.from_rows([[0]], 1), least=1, seed=1)


def test_the_raw_files_name_the_listener_as_the_owner_and_skip_nameless_songs(tmp_path: Path) -> None:
    halves = cut(Csr.from_rows([[0, 1, 2, 3], [0]], 4), least=4, seed=1)
    songs = pl.DataFrame({"title": ["a", "b", " ", "d"], "artist": ["x", "y", "z", "w"]})
    counted = write_raw(halves, pl.Series(["p0", "p1"]), songs, tmp_path)
    listens = pl.read_parquet(tmp_path / "listens.parquet")
    lists = pl.read_parquet(tmp_path / "playlists.parquet")
    assert counted == {"playlists": 1, "listens": listens.height, "tracks": lists.height}
    assert sorted(listens["title"].to_list() + lists["title"].to_list()) == ["a", "b", "d"]
    assert set(lists["owner_id"]) == set(lists["playlist_id"]) == set(listens["user_id"]) == {"p0"}


@given(playlists=st.integers(0, 40), negatives=st.integers(1, 20), seed=st.integers(0, 5))
def test_a_question_holds_the_own_playlist_once_and_distinct_others(playlists: int, negatives: int, seed: int) -> None:
    owner = np.arange(playlists)[::-1].copy()
    asked = ask(owner, np.arange(playlists + 3), negatives=negatives, seed=seed)
    assert len(asked) == (playlists if playlists > negatives else 0)
    for row in asked:
        assert owner[row[1]] == row[0]
        assert len(set(row[1:].tolist())) == negatives + 1


def test_listeners_without_a_playlist_are_not_asked() -> None:
    asked = ask(np.array([-1, 2, -1, 2]), np.array([0, 2]), negatives=2, seed=1)
    assert asked[:, :2].tolist() == [[2, 1]]
