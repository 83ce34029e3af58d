"""Growing arrays, and rows of distinct columns."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.dataset.arrays import Growing
from spotify_buddies.trainer.dataset.kernels import distinct

untimed = settings(deadline=None)  # the first call may compile a kernel


@pytest.mark.parametrize("parts", [[], [0], [3], [2, 0, 5]])
def test_a_growing_file_is_the_file_that_numpy_writes(tmp_path, parts):
    rows = np.arange(sum(parts) * 3, dtype=np.int32).reshape(-1, 3)
    with Growing(tmp_path / "a.npy", np.int32, (3,)) as file:
        for part in np.split(rows, np.cumsum(parts)[:-1]) if parts else []:
            file.append(part)
    np.save(tmp_path / "b.npy", rows)
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


@untimed
@given(
    st.lists(st.lists(st.integers(0, 6), max_size=6), max_size=6), st.lists(st.integers(0, 3), min_size=7, max_size=7)
)
def test_rows_are_renamed_sorted_and_distinct(rows, rename):
    matrix = Csr.from_rows(rows, 7)
    indptr, indices = distinct(matrix.indptr, matrix.indices, np.array(rename, np.int32))
    found = [indices[indptr[i] : indptr[i + 1]].tolist() for i in range(len(rows))]
    assert found == [sorted({rename[j] for j in row}) for row in rows]
