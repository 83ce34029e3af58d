"""Sketches against the exact Jaccard similarity."""

from __future__ import annotations

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.bundle import SKETCH_BYTES
from spotify_buddies.trainer.publish.sketches import estimate, sketch


def _pair(shared: int, alone: int, seed: int) -> list[list[int]]:
    songs = np.random.default_rng(seed).choice(50_000, shared + 2 * alone, replace=False).tolist()
    return [sorted(songs[: shared + alone]), sorted(songs[:shared] + songs[shared + alone :])]


@pytest.mark.parametrize(("shared", "alone", "jaccard"), [(0, 60, 0.0), (20, 20, 1 / 3), (60, 10, 0.75), (90, 5, 0.9)])
def test_the_estimate_is_unbiased_and_as_sharp_as_its_formula_says(shared, alone, jaccard):
    pairs = [_pair(shared, alone, seed) for seed in range(300)]
    sketches = sketch(Csr.from_rows([row for pair in pairs for row in pair], 50_000)).reshape(300, 2, SKETCH_BYTES)
    equal = (sketches[:, 0] == sketches[:, 1]).mean(axis=1)
    expected = jaccard + (1 - jaccard) / 256
    deviation = np.sqrt(expected * (1 - expected) / SKETCH_BYTES)
    # The mean of 300 within four of its standard errors; the spread that of independent hashes.
    assert abs(equal.mean() - expected) < 4 * deviation / np.sqrt(300)
    assert equal.std() == pytest.approx(deviation, rel=0.2)
    found = estimate(sketches[:, 0], sketches[:, 1])
    assert abs(found.mean() - jaccard) < 0.02


def test_the_same_songs_in_any_playlist_have_the_same_sketch_whatever_stands_beside():
    both = sketch(Csr.from_rows([[3, 5], [1, 2, 4], [3, 5]], 9))
    alone = sketch(Csr.from_rows([[3, 5]], 9))
    assert np.array_equal(both[0], both[2])
    assert np.array_equal(both[0], alone[0])
    assert estimate(both[0], both[2]) == 1.0


def test_empty_playlists_are_near_copies_of_nobody_not_even_of_each_other():
    sketches = sketch(Csr.from_rows([[], [], [1], []], 4))
    for left in range(4):
        for right in range(left):
            assert estimate(sketches[left], sketches[right]) < 0.2
    assert np.array_equal(sketches, sketch(Csr.from_rows([[], [], [1], []], 4)))


@pytest.mark.parametrize("songs", [0, 5])
def test_no_playlists_have_no_sketches(songs):
    assert sketch(Csr.from_rows([], songs)).shape == (0, SKETCH_BYTES)


def test_progress_counts_the_playlists_as_playlists():
    reported: list[tuple[int, int, str]] = []
    sketch(
        Csr.from_rows([[1], [2], [1, 2]], 3),
        lambda what, done, total, unit="items": reported.append((done, total, unit)),
    )
    assert {unit for *_, unit in reported} == {"playlists"}
    assert reported[-1] == (3, 3, "playlists")
