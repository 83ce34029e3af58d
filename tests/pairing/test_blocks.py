"""The loop over blocks of rows."""

from __future__ import annotations

import os

import pytest

from pairing.blocks import over_blocks, processors
from pairing.progress import silent


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
