"""Rows of columns: the shape that every stage reads and writes."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spotify_buddies.foundation.arrays.csr import Csr


def test_rows_keep_their_order() -> None:
    csr = Csr.from_rows([[2, 0], [], [1]], columns=3)
    assert (csr.rows, csr.nnz, csr.counts.tolist()) == (3, 3, [2, 0, 1])
    assert [csr.row(i).tolist() for i in range(3)] == [[2, 0], [], [1]]


def test_no_rows_is_a_matrix_too() -> None:
    csr = Csr.from_rows([], columns=4)
    assert (csr.rows, csr.nnz, csr.transpose().rows) == (0, 0, 4)


def test_transposing_twice_sorts_each_row() -> None:
    csr = Csr.from_rows([[2, 0], [], [1]], columns=3)
    assert [row.tolist() for row in map(csr.transpose().row, range(3))] == [[0], [2], [0]]
    assert [row.tolist() for row in map(csr.transpose().transpose().row, range(3))] == [[0, 2], [], [1]]


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.lists(st.integers(0, 6), max_size=6, unique=True), max_size=6))
def test_a_transposed_matrix_holds_the_same_pairs(rows: list[list[int]]) -> None:
    csr = Csr.from_rows(rows, 7).transpose()
    assert (csr.rows, csr.columns) == (7, len(rows))
    assert {(i, j) for i in range(7) for j in csr.row(i).tolist()} == {
        (i, j) for j, row in enumerate(rows) for i in row
    }
    assert all((np.diff(csr.row(i)) > 0).all() for i in range(7))


@pytest.mark.parametrize("block", [1, 2, 100])
def test_columns_are_counted_over_blocks_of_entries(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spotify_buddies.foundation.arrays.csr._BLOCK", block)
    csr = Csr.from_rows([[2, 0], [], [2]], columns=4)
    marks = np.array([True, False, True])
    assert csr.column_counts().tolist() == [1, 0, 2, 0]
    assert csr.column_counts(lambda span: marks[span]).tolist() == [0, 0, 2, 0]
    assert Csr.from_rows([], columns=2).column_counts().tolist() == [0, 0]


def test_rows_that_are_left_out_are_empty_and_the_others_keep_their_number() -> None:
    csr = Csr.from_rows([[2, 0], [1], [1, 2]], columns=3)
    found = csr.only(np.array([True, False, True]))
    assert [found.row(i).tolist() for i in range(3)] == [[2, 0], [], [1, 2]]
    assert csr.only(np.ones(3, np.bool_)) is csr


def test_a_saved_matrix_opens_memory_mapped_and_equal(tmp_path: Path) -> None:
    indptr, indices = np.array([0, 1, 2]), np.array([1, 0], np.int32)
    Csr(indptr, indices, 2, np.array([0.5, 0.25], np.float32)).save(tmp_path, "x")
    opened = Csr.load(tmp_path, "x")
    assert isinstance(opened.indices, np.memmap)
    assert opened.values is not None
    assert opened.values.tolist() == [0.5, 0.25]
    assert opened.to_scipy().toarray().tolist() == [[0.0, 0.5], [0.25, 0.0]]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"x\.indptr\.npy"):
        Csr.load(tmp_path, "x")


@pytest.mark.parametrize(
    ("indptr", "indices", "values", "message"),
    [
        ([1, 2], [0, 0], None, "start at 0"),
        ([0, 2, 1], [0], None, "never fall"),
        ([], [], None, "start at 0"),
        ([0, 2], [0], None, "1 entries, indptr says 2"),
        ([0, 1], [3], None, r"range 0\.\.2"),
        ([0, 1], [-1], None, r"range 0\.\.2"),
        ([0, 1], [0], [1.0, 2.0], "differ in length"),
    ],
)
def test_a_shape_that_a_kernel_could_not_index_is_refused(
    indptr: list[int], indices: list[int], values: list[float] | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Csr(np.array(indptr, np.int64), np.array(indices, np.int32), 3, None if values is None else np.array(values))
