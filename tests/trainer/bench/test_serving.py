"""Bundles drawn for measuring serving: of the shape asked for, opened like any other, the same for the same seed."""

from pathlib import Path

import numpy as np
import pytest

from spotify_buddies.pairing.neighbours.search import NeighbourSearch
from spotify_buddies.trainer.bench.serving import Shape, write_serving_bundle
from spotify_buddies.trainer.bundle import open_bundle

SHAPE = Shape(users=120, playlists=200, dimension=8, candidates=30, songs=300, songs_a_user=10)


def test_a_drawn_bundle_opens_with_its_hashes_and_has_the_shape_asked_for(tmp_path: Path) -> None:
    write_serving_bundle(tmp_path / "drawn", SHAPE)
    bundle = open_bundle(tmp_path / "drawn")
    assert bundle.user_factors.shape == (120, 8)
    assert bundle.playlist_factors.shape == (200, 8)
    assert set(bundle.candidates.counts.tolist()) == {30}
    assert all(np.unique(bundle.candidates.row(user)).size == 30 for user in range(120))
    assert bundle.user_songs.counts.min() >= 1
    assert bundle.user_songs.counts.max() <= 20
    owners = np.repeat(np.arange(120), bundle.owned.counts)
    assert np.array_equal(bundle.owner[bundle.owned.indices], owners)
    assert bundle.owned.nnz == int((bundle.owner >= 0).sum())
    assert len(bundle.user_ids.table[0]) == 40
    assert bundle.user_ids.find([bundle.user_ids.table[119]]).tolist() == [119]
    assert bundle.artist_rows.max() == 29
    assert [bundle.song_artists[song] for song in (3, 33)] == [bundle.song_artists[3]] * 2
    assert 1 <= bundle.followed.counts.min() <= bundle.followed.counts.max() <= 20
    assert all(user not in bundle.co_followers.row(user) for user in range(120))
    assert np.array_equal(bundle.refused.indices, bundle.followed.indices)
    assert bundle.candidate_reasons.size == bundle.candidates.nnz
    search = NeighbourSearch.open(bundle.index, bundle.user_songs)
    found = search.search(type(bundle.user_songs).from_rows([bundle.user_songs.row(7)], 300), 5)
    assert 7 in found.row(0)


def test_the_same_shape_and_seed_give_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    one, again, other = (
        write_serving_bundle(tmp_path / name, SHAPE, seed).sha256 for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert one == again
    assert one != other


def test_a_shape_without_enough_playlists_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs 75 playlists"):
        write_serving_bundle(tmp_path / "drawn", Shape(users=10, playlists=74))
    assert not (tmp_path / "drawn").exists()
