from __future__ import annotations

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.pairing.neighbours.foldin import fold_in


def weighted(rows: list[dict[int, float]], columns: int) -> Csr:
    plain = Csr.from_rows([list(row) for row in rows], columns)
    values = np.array([weight for row in rows for weight in row.values()], np.float32)
    return Csr(plain.indptr, plain.indices, columns, values)


def test_the_mean_is_weighted_by_similarity():
    factors = np.array([[1, 0], [0, 1], [9, 9]], np.float32)
    folded = fold_in(weighted([{0: 0.75, 1: 0.25}], 3), factors)
    assert folded.tolist() == [[0.75, 0.25]]
    assert folded.dtype == np.float32


def test_one_neighbour_lends_its_factors_whatever_its_cosine():
    assert fold_in(weighted([{1: 0.1}], 2), np.array([[1, 2], [3, 4]], np.float32)).tolist() == [[3, 4]]


def test_rows_without_neighbours_are_zeros():
    factors = np.ones((2, 3), np.float32)
    assert fold_in(weighted([{}, {0: 0.5}, {}], 2), factors).tolist() == [[0] * 3, [1] * 3, [0] * 3]
    assert fold_in(weighted([], 2), factors).shape == (0, 3)


def test_factors_of_another_number_of_users_are_refused():
    with pytest.raises(ValueError, match="cosines over 2 users"):
        fold_in(weighted([{0: 1.0}], 2), np.ones((3, 4), np.float32))


def test_neighbours_without_cosines_are_refused():
    with pytest.raises(ValueError, match="need cosines"):
        fold_in(Csr.from_rows([[0]], 2), np.ones((2, 4), np.float32))
