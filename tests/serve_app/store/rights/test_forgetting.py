"""Blocks of an erased user in memory, whatever order news comes in."""

from __future__ import annotations

import pytest

from spotify_buddies.serve_app.store.actions import FOREVER, Change
from spotify_buddies.serve_app.store.block_arrays import merge
from spotify_buddies.serve_app.store.blocklist import Blocklist


def held(blocks: Blocklist, user_id: str = "ada") -> list[str]:
    return sorted(blocks.find([user_id], 0.0).get(0, ()))


def filled(*numbers: int) -> Blocklist:
    blocks = Blocklist()
    blocks.apply(Change("ada", f"list-{number}", FOREVER, number) for number in numbers)
    blocks.apply([Change("bob", "list-1", FOREVER, 1)])
    return blocks


def merged(blocks: Blocklist) -> None:
    blocks.thaw(merge(*blocks.freeze(), 0.0))


@pytest.mark.parametrize("merges", [0, 1])
def test_a_forgotten_user_has_no_blocks_but_newer_ones(merges: int) -> None:
    blocks = filled(3, 4, 9)
    for _ in range(merges):
        merged(blocks)
    blocks.forget("ada", 5)
    assert (held(blocks), held(blocks, "bob")) == (["list-9"], ["list-1"])
    # News of before the erasure that comes late.
    blocks.apply([Change("ada", "list-2", FOREVER, 2), Change("ada", "list-3", FOREVER, 6)])
    assert held(blocks) == ["list-3", "list-9"]


def test_the_next_merge_frees_what_is_forgotten() -> None:
    blocks = filled(3, 4)
    merged(blocks)
    assert (len(blocks), blocks.due) == (3, False)
    blocks.forget("ada", 5)
    assert blocks.due
    merged(blocks)
    assert (len(blocks), blocks.due) == (1, False)


def test_what_is_merged_while_a_user_is_forgotten_is_forgotten_too() -> None:
    blocks = filled(3)
    frozen = blocks.freeze()
    blocks.forget("ada", 5)
    assert held(blocks) == []
    blocks.thaw(merge(*frozen, 0.0))
    assert (held(blocks), blocks.due) == ([], True)


def test_what_is_read_after_the_erasure_counts_whatever_its_numbers() -> None:
    blocks = filled()
    blocks.forget("ada", 5)
    blocks.begin_reload()
    blocks.replace(merge(*filled(2).freeze(), 0.0))
    assert held(blocks) == ["list-2"], "a database that was restored begins again with small numbers"


def test_a_user_who_is_erased_while_the_database_is_read_stays_forgotten() -> None:
    blocks = filled(3)
    blocks.begin_reload()
    blocks.forget("ada", 5)
    blocks.replace(merge(*filled(3).freeze(), 0.0))
    assert held(blocks) == []
