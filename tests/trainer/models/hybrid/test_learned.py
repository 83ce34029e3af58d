"""The learned taste: halves without what the basis knows of their set, what is held out, and what is learned."""

from dataclasses import replace

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.models.hybrid.learned import Learning, learn_taste
from spotify_buddies.trainer.models.hybrid.reduced import held_out, reduce
from spotify_buddies.trainer.models.hybrid.songs import SongSets, feature
from spotify_buddies.trainer.models.hybrid.split_kernels import Known, split_sums
from spotify_buddies.trainer.models.hybrid.taste import fit_taste, unit

THEMES, SONGS = 40, 1_000
HOW = Learning(wide=96, rate=1e-2, batch=256, epoch_sets=2_000, epochs=8)


def _themes(seed=3, sets=900):
    """Sets of songs from one of many themes each, among songs that are in all of them."""
    rng = np.random.default_rng(seed)
    theme = rng.integers(0, THEMES, sets)
    own = np.arange(200, SONGS).reshape(THEMES, -1)
    rows = [
        np.unique(np.concatenate([rng.choice(own[t], 10, replace=False), rng.choice(200, 12, replace=False)]))
        for t in theme
    ]
    return SongSets(Csr.from_rows(rows[:400], SONGS), Csr.from_rows(rows[400:], SONGS), np.full(SONGS, -1, np.int32))


@pytest.fixture(scope="module")
def rows():
    return feature(_themes(), 0.25)


@pytest.fixture(scope="module")
def learned(rows):
    return learn_taste(rows, 16, 8, seed=1, how=HOW)


def _known(sets, rows, basis, removed):
    squares = np.square(rows.song_weights), np.square(rows.artist_weights)
    vectors = rows.vectors(basis.songs, basis.artists)
    part = sets.users
    return Known(part.indptr, part.indices, rows.scales[0], vectors, *squares, sets.artist, removed)


SMALL = SongSets(
    Csr.from_rows([[0, 1, 2, 3, 4], [1, 2, 5], [6, 7, 8, 9], [6, 7, 8, 9]], 10),
    Csr.from_rows([], 10),
    np.array([0, 0, 1, 1, 0, -1, -1, -1, -1, -1], np.int32),
)


def _split(known, picked, seed=5):
    width = known.vectors.shape[1]
    a, b = (np.empty((len(picked), width), np.float32) for _ in range(2))
    split_sums(0, len(picked), np.array(picked), known, np.uint64(seed), a, b)
    return a, b


def test_the_two_halves_of_a_set_are_its_songs():
    rows = feature(SMALL, 0.5)
    # Each song is a dimension, so that the sums say which songs are in which half.
    known = _known(SMALL, rows, fit_taste(rows, 2, 1), np.zeros(10, np.float32))
    a, b = _split(known._replace(vectors=np.eye(10, dtype=np.float32)), [0, 1])
    assert (a + b).tolist() == [[1] * 5 + [0] * 5, [0, 1, 1, 0, 0, 1, 0, 0, 0, 0]]
    assert a.sum(axis=1).tolist() == [3, 2]
    assert _split(known, [1, 0])[0][::-1].tolist() == _split(known, [0, 1])[0].tolist()
    others = [_split(known._replace(vectors=np.eye(10, dtype=np.float32)), [0], seed)[0].tolist() for seed in range(8)]
    assert any(half != a[:1].tolist() for half in others)


def test_a_half_loses_its_product_with_the_whole_set_times_the_place_of_the_set():
    rows = feature(SMALL, 0.5)
    basis = fit_taste(rows, 4, 1)
    removed = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    known = _known(SMALL, rows, basis, removed)
    a, b = _split(known, [0])
    marks, _ = _split(known._replace(vectors=np.eye(10, dtype=np.float32), removed=np.zeros(10, np.float32)), [0])

    def features(songs):
        artists = np.zeros(2)
        np.add.at(artists, SMALL.artist[songs], rows.artist_weights[SMALL.artist[songs]])
        return np.concatenate([np.where(np.isin(np.arange(10), songs), rows.song_weights, 0), artists])

    matrix = np.concatenate([basis.songs, basis.artists]).astype(np.float64)
    whole = rows.scales[0][0] * features(np.arange(5))
    for found, songs in ((a, np.flatnonzero(marks[0])), (b, np.setdiff1d(np.arange(5), np.flatnonzero(marks[0])))):
        half = features(songs)
        assert found[0] == pytest.approx(half @ matrix - (half @ whole) * removed * (whole @ matrix), abs=1e-5)


def test_a_set_that_shares_nothing_says_nothing_of_its_halves():
    # Rows 2 and 3 are the same set: without one of the two, half of what the basis knows is left; without both, none.
    rows = feature(SMALL, 0.0)
    basis = fit_taste(rows, 4, 1)
    power = np.square(rows.rows(0, rows.vectors(basis.songs, basis.artists))).sum(axis=0)
    inverse = np.divide(1.0, power, out=np.zeros(4), where=power > 1e-6).astype(np.float32)
    kept, _ = _split(_known(SMALL, rows, basis, np.zeros(4, np.float32)), [2])
    once, _ = _split(_known(SMALL, rows, basis, inverse), [2])
    twice, _ = _split(_known(SMALL, rows, basis, 2 * inverse), [2])
    assert once == pytest.approx(kept / 2, abs=1e-5)
    assert twice == pytest.approx(np.zeros_like(kept), abs=1e-5)


def test_held_out_sets_are_two_sets_each_and_weigh_as_before(rows):
    found = reduce(rows, seed=1)
    held, halves = held_out(rows.sets.parts, 1)
    assert len(found.halves) == held.size == 45
    part = found.rows.sets.parts[0]
    assert part.rows == 900 + held.size
    for row, (first, second) in zip(held, found.halves, strict=True):
        whole = rows.sets.users.row(row) if row < 400 else rows.sets.playlists.row(row - 400)
        both = np.concatenate([part.row(first), part.row(second)])
        assert sorted(both) == sorted(found.place[whole])
        assert len(part.row(first)) - len(part.row(second)) in (0, 1)
    assert halves.rows == 2 * held.size
    assert found.rows.song_weights[found.place] == pytest.approx(rows.song_weights)
    # A half is shorter than its set, and is divided by its own length.
    assert (found.rows.scales[0][found.halves].min(axis=1) > 0).all()


def test_fewer_sets_and_songs_are_chosen_where_there_are_more(rows):
    found = reduce(rows, seed=1, sets=200, songs=400)
    assert found.own == 400
    assert found.whole.size == 200
    assert found.share == pytest.approx(900 / 245)
    counts = rows.sets.users.column_counts() + rows.sets.playlists.column_counts()
    assert counts[found.place < 400].min() >= counts[found.place >= 400].max()


def test_what_is_learned_finds_held_out_halves_better_than_the_svd(learned):
    # Some twenty other sets are of the same theme, so that a perfect taste has 0.17.
    assert max(learned.mrr) > 2 * learned.mrr[0]


def test_songs_of_a_theme_lie_together_though_no_set_holds_them_all(learned):
    theme = (np.arange(SONGS) - 200) // 20
    songs = unit(learned.taste.songs)
    centre = unit(np.stack([songs[theme == t].sum(axis=0) for t in range(THEMES)]))
    assert np.mean(np.argmax(songs[200:] @ centre.T, axis=1) == theme[200:]) > 0.95


def test_the_same_seed_gives_the_same_bytes_on_any_number_of_threads(rows, learned, monkeypatch):
    monkeypatch.setattr("spotify_buddies.foundation.stages.blocks.processors", lambda: 3)
    again = learn_taste(rows, 16, 8, seed=1, how=HOW)
    assert again.mrr == learned.mrr
    for name in ("songs", "artists"):
        assert getattr(again.taste, name).tobytes() == getattr(learned.taste, name).tobytes()
        assert getattr(again.leading, name).tobytes() == getattr(learned.leading, name).tobytes()
    assert learn_taste(rows, 16, 8, seed=2, how=HOW).taste.songs.tobytes() != learned.taste.songs.tobytes()


def test_songs_beyond_the_most_frequent_are_placed_by_the_sets_that_hold_them(rows, learned):
    fewer = learn_taste(rows, 16, 8, seed=1, how=replace(HOW, songs=700))
    place = reduce(rows, seed=1, songs=700).place
    rest = (place >= 700) & (rows.song_weights > 0)
    assert rest.sum() > 200
    assert (np.linalg.norm(fewer.taste.songs[rest], axis=1) > 0).all()
    # They lie near the songs of their theme that have a place of their own.
    theme = (np.arange(SONGS) - 200) // 20
    own = unit(fewer.taste.songs)
    centre = unit(np.stack([own[(theme == t) & ~rest].sum(axis=0) for t in range(THEMES)]))
    known = np.array([((theme == t) & ~rest).any() for t in range(THEMES)])
    asked = rest & (np.arange(SONGS) >= 200) & known[theme.clip(0)]
    assert np.mean(np.argmax(own[asked] @ centre.T, axis=1) == theme[asked]) > 0.8


def test_too_few_sets_teach_nothing_and_the_taste_is_the_svd_by_its_singular_values():
    rows = feature(SMALL, 0.5)
    found = learn_taste(rows, 3, 2, seed=1)
    assert found.mrr == ()
    svd = fit_taste(rows, 3, 1)
    ratio = np.linalg.norm(found.taste.songs, axis=0)
    assert ratio[0] >= ratio[1] >= ratio[2]
    cosines = np.abs((unit(found.taste.songs.T) * unit(svd.songs.T)).sum(axis=1))
    assert cosines[:2] == pytest.approx([1, 1], abs=1e-2)


@pytest.mark.parametrize("count", [0, 1])
def test_sets_that_nothing_joins_have_no_learned_taste(count):
    sets = SongSets(Csr.from_rows([[0]] * count, 1), Csr.from_rows([], 1), np.full(1, -1, np.int32))
    found = learn_taste(feature(sets, 1), 2, 2, seed=1)
    assert not found.taste.songs.any()
    assert found.mrr == ()
