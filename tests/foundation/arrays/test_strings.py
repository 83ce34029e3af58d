"""From a string to its row and back, for any strings."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from spotify_buddies.foundation.arrays import strings
from spotify_buddies.trainer.bundle import KeyIndex, StringTable

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(st.lists(TEXT))
def test_a_table_gives_back_every_string(values):
    table = StringTable.of(values)
    assert len(table) == len(values)
    assert [table[row] for row in range(len(table))] == values


@given(st.lists(TEXT), st.lists(TEXT))
def test_find_is_the_first_row_or_minus_one(values, others):
    index = KeyIndex.of(StringTable.of(values))
    keys = values + others
    assert index.find(keys).tolist() == [values.index(key) if key in values else -1 for key in keys]
    assert index.find([]).tolist() == []


@given(st.lists(TEXT, max_size=20), st.lists(TEXT, max_size=5))
def test_colliding_hashes_never_give_a_wrong_row(values, others):
    class Colliding:
        @staticmethod
        def xxh3_64_intdigest(key: bytes) -> int:
            return len(key) % 2

    original = strings.xxhash
    strings.xxhash = Colliding
    try:
        index = KeyIndex.of(StringTable.of(values))
        keys = values + others
        assert index.find(keys).tolist() == [values.index(key) if key in values else -1 for key in keys]
    finally:
        strings.xxhash = original


@settings(deadline=None)
@given(st.lists(TEXT, max_size=8))
def test_a_saved_index_finds_the_same(values):
    with tempfile.TemporaryDirectory() as name:
        KeyIndex.of(StringTable.of(values)).save(Path(name), "ids")
        loaded = KeyIndex.load(Path(name), "ids")
        assert loaded.find(values).tolist() == [values.index(value) for value in values]
        assert sorted(p.name for p in Path(name).iterdir()) == [
            f"ids.{part}.npy" for part in ("bytes", "hashes", "offsets", "rows")
        ]


def test_a_lone_surrogate_is_not_found():
    assert KeyIndex.of(StringTable.of(["a"])).find(["\ud800", "a"]).tolist() == [-1, 0]


def test_hashes_are_ascending_and_rows_follow_them():
    index = KeyIndex.of(StringTable.of([str(i) for i in range(1_000)]))
    assert np.all(np.diff(index.hashes.astype(object)) > 0)
    assert sorted(index.rows.tolist()) == list(range(1_000))
    assert index.rows.dtype == np.int32
