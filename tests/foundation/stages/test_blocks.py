"""The loop over blocks of rows."""

from __future__ import annotations

import os

import pytest

from spotify_buddies.foundation.stages.blocks import BlockError, Threads, cut, over_blocks, processors
from spotify_buddies.foundation.stages.progress import silent


@pytest.mark.parametrize("threads", [1, 3, None])
@pytest.mark.parametrize("users", [0, 1, 5, 23])
def test_blocks_cover_every_user_once_and_in_order(users, threads):
    blocks = list(over_blocks(users, 5, "x", silent, lambda first, last: list(range(first, last)), threads=threads))
    assert [user for block in blocks for user in block] == list(range(users))


def test_an_error_in_a_block_is_raised():
    with pytest.raises(ZeroDivisionError):
        list(over_blocks(3, 1, "x", silent, lambda first, last: 1 // (first - 1)))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not bind processes to processors")
def test_processors_are_those_that_this_process_may_use():
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert processors() == 1
    finally:
        os.sched_setaffinity(0, allowed)


def rows_of(inputs: tuple[int, list[int]], first: int, last: int) -> list[int]:
    """The rows, if there are no more of them than fit into memory; calls are noted."""
    most, sizes = inputs
    sizes.append(last - first)
    if last - first > most:
        raise MemoryError
    return list(range(first, last))


@pytest.mark.parametrize(("most", "sizes"), [(8, [8]), (4, [8, 4, 4]), (3, [8, 4, 2, 2, 4, 2, 2])])
def test_a_block_that_does_not_fit_into_memory_is_cut_in_two(most, sizes):
    called: list[int] = []
    with Threads(1).share((most, called)) as shared:
        blocks = list(shared.over(rows_of, 32, 8, "x", silent))
    assert [row for block in blocks for row in block] == list(range(32))
    assert called == sizes * 4


def test_a_row_that_does_not_fit_by_itself_is_named():
    with Threads(2).share((0, [])) as shared, pytest.raises(BlockError, match="scores: row 0 alone does not fit"):
        list(shared.over(rows_of, 5, 4, "scores", silent))


@pytest.mark.parametrize(
    ("rows", "block", "workers", "expected"), [(0, 5, 2, 1), (1, 5, 2, 1), (100, 5, 2, 5), (100, 50, 2, 13)]
)
def test_blocks_are_cut_so_that_every_worker_gets_four(rows, block, workers, expected):
    assert cut(rows, block, workers) == expected
