"""Arbitrary bytes: the caller is told what is wrong with them, and the server answers others."""

from __future__ import annotations

import asyncio

from spotify_buddies.clients.drills.fuzz.play import fuzz

IDS = ("user-39", "user-5", "list-1", "list-2", "SO0004", "song 7")


def test_no_request_brings_out_an_internal_error(address: str) -> None:
    fuzzed = asyncio.run(fuzz(address, 1_500, seed=11, ids=IDS))
    assert fuzzed.worst == {}
    assert sum(fuzzed.statuses.values()) == 1_500
    assert fuzzed.statuses["OK"] > 100
    assert fuzzed.statuses["INVALID_ARGUMENT"] > 100
