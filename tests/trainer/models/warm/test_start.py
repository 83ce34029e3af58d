"""A training that begins with a bundle: who and what it knows begins there, and everything else as without it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spotify_buddies.trainer.bundle import Bundle
from spotify_buddies.trainer.bundle.songs import SongFactors
from spotify_buddies.trainer.dataset.table import Dataset, open_dataset
from spotify_buddies.trainer.models.hybrid.songs import SongSets, artist_rows, feature
from spotify_buddies.trainer.models.hybrid.state import LEARNED, USERS, likes_end, taste_dimensions
from spotify_buddies.trainer.models.model import initial_model
from spotify_buddies.trainer.models.warm.start import State, warm_start
from spotify_buddies.trainer.settings import TrainSettings
from tests.trainer.hand_made import hand_made
from tests.trainer.planted import PLAYLISTS, SONGS, Planted
from tests.trainer.planted import USERS as PEOPLE

SETTINGS = TrainSettings(dimension=12, seed=4)
TASTE, END = taste_dimensions(SETTINGS), likes_end(SETTINGS)
LIKES = END - TASTE
ARTISTS = 40
KNOWN_LISTS = list(range(PLAYLISTS - 1, 9, -1))
# Songs s of artist s % 40: none of artist 7 is known, and of artist 3 no second one.
NEW = [song for song in range(SONGS) if song % ARTISTS == 7 or (song % ARTISTS == 3 and song >= SONGS // 2)]
KNOWN = [song for song in range(SONGS) if song not in set(NEW)]


@pytest.fixture(scope="module")
def data(planted: Planted) -> Dataset:
    return open_dataset(planted.dataset)


@pytest.fixture(scope="module")
def sets(data: Dataset) -> SongSets:
    return SongSets(data.user_songs, data.playlist_songs, artist_rows(data.song_table, data.matching))


def hybrid(directory: Path, data: Dataset, *, likes: int = LIKES, taste: int = TASTE) -> Bundle:
    """Random factors; playlists in another order than in the data set, ten of them missing."""
    rng = np.random.default_rng(1)
    songs = SongFactors(
        rng.normal(size=(len(KNOWN), taste)).astype(np.float16),
        rng.normal(size=(len(KNOWN), likes)).astype(np.float16),
        np.ones(len(KNOWN), np.float32),
        np.ones(1, np.float32),
        tail=np.ones(1, np.float32),
    )
    factors = (rng.normal(size=(size, taste + likes + 1)) for size in (PEOPLE, len(KNOWN_LISTS)))
    return hand_made(
        directory, data, *factors, users=range(PEOPLE), playlists=KNOWN_LISTS, songs=KNOWN, song_factors=songs
    )


@pytest.fixture(scope="module")
def bundle(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return hybrid(tmp_path_factory.mktemp("hybrid") / "bundle", data)


@pytest.fixture(scope="module")
def state(bundle: Bundle, data: Dataset, sets: SongSets) -> State:
    found = warm_start(bundle, data, sets, SETTINGS)
    assert found is not None
    return found


def vectors(state: State, sets: SongSets, part: str = "") -> np.ndarray:
    """What each song adds up to with its artist, of the likes or of the "taste_"."""
    weight = SETTINGS.taste_artist_weight if part else SETTINGS.artist_weight
    return feature(sets, weight).vectors(state[f"{part}songs"], state[f"{part}artists"])


@pytest.mark.parametrize("part", ["", "taste_"])
def test_a_known_song_adds_what_it_adds_in_the_bundle(state: State, bundle: Bundle, sets: SongSets, part: str) -> None:
    assert bundle.song_factors is not None
    wanted = np.asarray(bundle.song_factors.taste if part else bundle.song_factors.likes).astype(np.float32)
    # A song of one set alone joins nothing: it has its artist's mean.
    counts = feature(sets, SETTINGS.artist_weight).song_weights[KNOWN] > 0
    assert counts.mean() > 0.9
    np.testing.assert_allclose(vectors(state, sets, part)[KNOWN][counts], wanted[counts], atol=1e-5)


@pytest.mark.parametrize("part", ["", "taste_"])
def test_a_new_song_begins_at_the_mean_of_its_artist_and_without_one_that_is_known_at_zeros(
    state: State, bundle: Bundle, sets: SongSets, part: str
) -> None:
    assert bundle.song_factors is not None
    table = np.asarray(bundle.song_factors.taste if part else bundle.song_factors.likes).astype(np.float32)
    found = vectors(state, sets, part)
    of_three = [row for row, song in enumerate(KNOWN) if song % ARTISTS == 3]
    for song in NEW:
        if song % ARTISTS == 3:
            np.testing.assert_allclose(found[song], table[of_three].mean(axis=0), atol=1e-5)
        else:
            assert not found[song].any()


def test_a_known_playlist_has_the_likes_part_of_the_bundle(state: State, bundle: Bundle) -> None:
    found = state["playlist_factors"][KNOWN_LISTS, TASTE:END]
    np.testing.assert_allclose(found, bundle.playlist_factors[:, TASTE:END], atol=1e-5)


def test_users_and_unknown_playlists_begin_as_the_sum_of_their_songs(state: State, sets: SongSets) -> None:
    rows = feature(sets, SETTINGS.artist_weight)
    of_songs = vectors(state, sets)
    assert not state["user_own"].any()
    np.testing.assert_allclose(state["user_factors"][:, TASTE:END], rows.rows(USERS, of_songs), atol=1e-6)
    unknown = np.setdiff1d(np.arange(PLAYLISTS), KNOWN_LISTS)
    assert not state["playlist_own"][unknown].any()
    np.testing.assert_allclose(
        state["playlist_factors"][unknown, TASTE:END], rows.rows(1, of_songs)[unknown], atol=1e-6
    )
    # Tastes are of one length, which the settings say.
    lengths = np.linalg.norm(state["user_factors"][:, :TASTE], axis=1)
    np.testing.assert_allclose(lengths, np.sqrt(SETTINGS.taste_weight), rtol=1e-5)


def test_nothing_was_learned_yet(state: State) -> None:
    for name in LEARNED:
        assert state[f"{name}.mean"].shape == state[f"{name}.square"].shape == state[name].shape
        assert not state[f"{name}.mean"].any()
        assert not state[f"{name}.square"].any()


@pytest.mark.parametrize("likes", [LIKES - 2, LIKES + 2])
def test_dimensions_of_the_likes_that_are_new_are_zeros_and_those_too_many_are_left_out(
    data: Dataset, sets: SongSets, tmp_path: Path, likes: int
) -> None:
    bundle = hybrid(tmp_path / "other", data, likes=likes)
    state = warm_start(bundle, data, sets, SETTINGS)
    assert state is not None
    wanted = np.zeros((len(KNOWN_LISTS), LIKES), np.float32)
    common = min(likes, LIKES)
    wanted[:, :common] = bundle.playlist_factors[:, TASTE : TASTE + common]
    np.testing.assert_allclose(state["playlist_factors"][KNOWN_LISTS, TASTE:END], wanted, atol=1e-5)
    assert state["songs"].shape == (SONGS, LIKES)


@pytest.mark.parametrize("weight", [0.0, 2.0])
def test_the_weight_of_artists_divides_the_same_sum_in_another_way(
    bundle: Bundle, data: Dataset, sets: SongSets, weight: float
) -> None:
    settings = SETTINGS.model_copy(update={"artist_weight": weight})
    state = warm_start(bundle, data, sets, settings)
    assert state is not None
    rows = feature(sets, weight)
    assert bundle.song_factors is not None
    counts = rows.song_weights[KNOWN] > 0
    found = rows.vectors(state["songs"], state["artists"])[KNOWN]
    np.testing.assert_allclose(found[counts], np.asarray(bundle.song_factors.likes)[counts], atol=1e-5)
    assert bool(state["artists"].any()) == (weight > 0)


def test_a_bundle_of_another_size_or_model_is_no_start(
    bundle: Bundle, data: Dataset, sets: SongSets, tmp_path: Path
) -> None:
    assert warm_start(bundle, data, sets, SETTINGS.model_copy(update={"dimension": 20})) is None
    assert warm_start(hybrid(tmp_path / "wide", data, taste=TASTE + 1), data, sets, SETTINGS) is None
    plain = SETTINGS.model_copy(update={"model": "bpr"})
    assert warm_start(bundle, data, None, plain) is None
    rng = np.random.default_rng(2)
    tables = rng.normal(size=(PEOPLE, 12)), rng.normal(size=(PLAYLISTS, 12))
    no_songs = hand_made(tmp_path / "plain", data, *tables, users=range(PEOPLE), playlists=range(PLAYLISTS))
    assert warm_start(no_songs, data, sets, SETTINGS) is None
    assert warm_start(no_songs, data, None, plain.model_copy(update={"dimension": 8})) is None


def test_plain_factors_are_taken_by_id_and_unknown_ones_begin_by_chance(data: Dataset, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    users, lists = rng.permutation(PEOPLE)[:200], rng.permutation(PLAYLISTS)[:90]
    tables = rng.normal(size=(200, 12)), rng.normal(size=(90, 12))
    bundle = hand_made(tmp_path / "plain", data, *tables, users=users.tolist(), playlists=lists.tolist())
    state = warm_start(bundle, data, None, SETTINGS.model_copy(update={"model": "bpr"}))
    assert state is not None
    chance = initial_model(PEOPLE, PLAYLISTS, 12, SETTINGS.seed)
    for name, known, table, start in (
        ("user_factors", users, tables[0], chance.user_factors),
        ("playlist_factors", lists, tables[1], chance.playlist_factors),
    ):
        np.testing.assert_array_equal(state[name][known], table.astype(np.float32))
        others = np.setdiff1d(np.arange(len(start)), known)
        np.testing.assert_array_equal(state[name][others], start[others])
