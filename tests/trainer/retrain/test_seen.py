"""What people looked at, by list, rank and age; where the liked playlist stood; and the file that holds it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from spotify_buddies.trainer.retrain.extract import LOOKS, follows, write
from spotify_buddies.trainer.retrain.rules import RANK, SEEN, Chosen, choose, seen
from spotify_buddies.trainer.retrain.store import _SCHEMA
from spotify_buddies.trainer.settings import RetrainSettings

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
BIAS, DAY, EVER = 0.5, 86_400.0, float("inf")
SETTINGS = RetrainSettings(bot_blocks_a_day=10)
# user, hours before NOW, liked, the whole list; the rest of the list is ignored.
Said = tuple[str, float, str, str | None]


def chosen(said: list[Said], disliked: str = "") -> Chosen:
    rows = []
    for number, (user, hours, liked, shown) in enumerate(sorted(said, key=lambda one: -one[1])):
        ignored = [name for name in shown or "z" if name not in liked + disliked]
        whole = None if shown is None else list(shown)
        rows.append((
            NOW - timedelta(hours=hours), number, f"r{number}", user, "1", "production", list(liked), ignored,
            list(disliked), whole,
        ))  # fmt: skip
    return choose(pl.DataFrame(rows, schema=_SCHEMA, orient="row"), pl.Series(list("abcdefghz")), SETTINGS)


def by_pair(found: pl.DataFrame) -> dict[tuple[str, str], tuple[float, float]]:
    return {
        (user, name): (looks, likes)
        for user, name, looks, likes in found.select("user_id", "playlist_id", "looks", "likes").rows()
    }


def test_a_look_is_the_chance_of_its_rank_and_a_like_is_whole() -> None:
    found = seen(chosen([("ann", 0, "c", "abcd")]), BIAS, EVER)
    assert found.schema == pl.Schema(SEEN)
    assert by_pair(found) == {
        ("ann", name): (pytest.approx(rank**-0.5), float(name == "c")) for rank, name in enumerate("abcd", 1)
    }
    assert by_pair(seen(chosen([("ann", 0, "c", "abcd")]), 0, EVER))["ann", "d"] == (1, 0)


def test_the_looks_of_one_playlist_in_several_lists_add_up() -> None:
    found = by_pair(seen(chosen([("ann", 0, "a", "ab"), ("ann", 0, "b", "ba"), ("bob", 0, "a", "a")]), BIAS, EVER))
    both = 1 + 2**-0.5
    assert found == {
        ("ann", "a"): (pytest.approx(both), 1),
        ("ann", "b"): (pytest.approx(both), 1),
        ("bob", "a"): (1, 1),
    }


@pytest.mark.parametrize("half_life_s", [DAY, 7 * DAY])
def test_looks_and_likes_count_half_by_each_half_life_before_the_newest_block(half_life_s: float) -> None:
    ages = {"ann": 0.0, "bob": half_life_s / 3_600, "cat": 3 * half_life_s / 3_600}
    # The newest block is three hours old: time counts from there.
    found = by_pair(seen(chosen([(user, age + 3, "b", "ab") for user, age in ages.items()]), BIAS, half_life_s))
    for user, factor in (("ann", 1), ("bob", 1 / 2), ("cat", 1 / 8)):
        assert found[user, "a"] == (pytest.approx(factor), 0)
        assert found[user, "b"] == (pytest.approx(factor * 2**-0.5), pytest.approx(factor))


def test_lists_count_without_a_like_and_with_several_but_neither_bots_nor_lists_that_are_not_stored() -> None:
    said: list[Said] = [("ann", 9, "", "ab"), ("ann", 8, "ab", "ab"), ("bob", 7, "c", None), ("cat", 6, "d", "d")]
    said += [("bot", 1, "e", "ef") for _ in range(11)]
    found = by_pair(seen(chosen(said), 0, EVER))
    assert found == {("ann", "a"): (2, 1), ("ann", "b"): (2, 1), ("cat", "d"): (1, 1)}


def test_a_look_is_of_the_part_of_the_split_in_which_it_was() -> None:
    said: list[Said] = [(f"u{hours}", hours, "a", "ab") for hours in range(10)]
    # Between the blocks that teach, and no valid ones themselves.
    said += [("old", 5.5, "", "c"), ("mid", 1.5, "", "c"), ("new", 0.5, "", "c")]
    made = chosen(said)
    assert made.blocks.height == 10
    found = seen(made, BIAS, EVER)
    parts = dict(found.select("user_id", "split").rows())
    valid = dict(made.blocks.select("user_id", "split").rows())
    assert set(valid.values()) == {"train", "validation", "test"}
    assert {user: parts[user] for user in valid} == valid
    assert (parts["old"], parts["mid"], parts["new"]) == ("train", "validation", "validation")


def test_one_person_and_playlist_have_a_row_in_each_part() -> None:
    said: list[Said] = [(f"u{hours}", hours, "a", "ab") for hours in range(10)]
    said += [("ann", 9, "", "c"), ("ann", 0, "", "c")]
    found = seen(chosen(said), BIAS, EVER)
    assert found.filter(user_id="ann")["split"].to_list() == ["test", "train"]
    assert found.rows() == found.sort("user_id", "playlist_id", "split").rows()


def test_where_no_block_teaches_there_is_no_row() -> None:
    for nothing in (chosen([]), chosen([("ann", 0, "", "ab")])):
        found = seen(nothing, BIAS, DAY)
        assert (found.height, found.schema) == (0, pl.Schema(SEEN))


def test_a_block_says_where_its_liked_playlist_stood() -> None:
    blocks = chosen([("ann", 3, "c", "abc"), ("bob", 2, "a", None), ("cat", 1, "a", "ab")]).blocks
    assert dict(blocks.select("user_id", RANK).rows()) == {"ann": 3, "bob": None, "cat": 1}


def test_the_file_holds_what_was_seen_and_the_manifest_its_rows(tmp_path: Path) -> None:
    made = chosen([("ann", 30, "c", "abcd"), ("bob", 0, "a", "ab")])
    looks = seen(made, BIAS, DAY)
    written = write(tmp_path / "out", (made.blocks, follows(made), looks), {})
    assert pl.read_parquet(written.directory / LOOKS).equals(looks)
    assert written.manifest["files"][LOOKS]["rows"] == 6
