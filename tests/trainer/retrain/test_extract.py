"""Extracts from a real Postgres: every block is in it or counted, and nothing is half written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest

from spotify_buddies.foundation.terminal.durations import moment
from spotify_buddies.serve_app.store.rights.extracts import erase_extracts
from spotify_buddies.trainer.retrain import extract as extracting
from spotify_buddies.trainer.retrain.extract import (
    BLOCKS,
    FEEDBACK,
    Extract,
    ExtractError,
    make,
    open_extract,
)
from spotify_buddies.trainer.retrain.store import StoreError, postgres_url
from spotify_buddies.trainer.retrain.window import Window, whole_hour
from spotify_buddies.trainer.settings import RetrainSettings
from tests.trainer.retrain.conftest import NOW, Block

React = Callable[[Iterable[Block]], None]
WINDOW = Window.ending(NOW, 30 * 86_400.0)
ERASE = "INSERT INTO erasures (listener, key, at, change) VALUES ('\\x01', '\\x02', now(), 1)"
SETTINGS = RetrainSettings(most_blocks=3, bot_blocks_a_day=10, bot_blocks=5)


def made(store: str, dataset: Path, directory: Path, window: Window = WINDOW) -> Extract:
    return make(store, window, dataset, directory, SETTINGS)


def blocks(directory: Path) -> list[tuple[Any, ...]]:
    return pl.read_parquet(directory / BLOCKS).select("user_id", "liked", "ignored", "split").rows()


def test_every_block_that_is_left_out_is_counted_with_its_reason(
    store: str, react: React, dataset: Path, tmp_path: Path
) -> None:
    react([
        ("ann", 90, "a", "bc", "", ""), ("bob", 80, "b", "ax", "", ""),
        ("", 70, "a", "b", "", ""),
        *(("busy", 60 + place, "a", "b", "", "") for place in range(11)),
        *(("glad", 1_500 * place, "abc", "", "", "") for place in range(1, 6)),
        ("cat", 50, "", "ab", "c", ""), ("cat", 49, "ab", "c", "", ""), ("cat", 48, "x", "a", "", ""),
        ("dan", 40, "c", "d", "", "once"), ("dan", 39, "d", "c", "", "once"),
        ("eve", 30, "e", "f", "", ""), ("eve", 29, "e", "g", "", ""),
        *(("fay", 20 - place, name, "j", "", "") for place, name in enumerate("abcde")),
        ("old", 60 * 24 * 31, "a", "b", "", ""),
    ])  # fmt: skip
    out = made(store, dataset, tmp_path / "out").manifest
    assert out["left_out"] == {
        "no_user": 1, "bot_too_many_a_day": 11, "bot_likes_everything": 5, "nothing_liked": 1, "several_liked": 1,
        "liked_and_ignored": 0, "unknown_playlist": 1, "answered_again": 1, "liked_again": 1,
        "beyond_the_most_of_a_user": 2,
    }  # fmt: skip
    assert out["blocks_read"] == 31 == out["blocks"] + sum(out["left_out"].values())
    assert [(user, liked, ignored) for user, liked, ignored, _ in blocks(tmp_path / "out")] == [
        ("ann", ["a"], ["b", "c"]), ("bob", ["b"], ["a"]), ("dan", ["d"], ["c"]), ("eve", ["e"], ["g"]),
        ("fay", ["c"], ["j"]), ("fay", ["d"], ["j"]), ("fay", ["e"], ["j"]),
    ]  # fmt: skip


def test_the_oldest_blocks_train_and_those_of_one_moment_stay_together(
    store: str, react: React, dataset: Path, tmp_path: Path
) -> None:
    react((f"u{place}", 100 - 10 * place, "a", "b", "", "") for place in range(10))
    assert made(store, dataset, tmp_path / "out").manifest["splits"] == {"train": 7, "validation": 2, "test": 1}
    react((f"v{place}", 10, "a", "b", "", "") for place in range(10))
    splits = [split for *_, split in blocks(made(store, dataset, tmp_path / "out").directory)]
    assert splits == ["train"] * 9 + ["test"] * 11


def test_likes_and_dislikes_are_interactions_with_the_last_word_on_each_playlist(
    store: str, react: React, dataset: Path, tmp_path: Path
) -> None:
    react([("ann", 30, "a", "b", "", ""), ("ann", 20, "c", "", "a", ""), ("bob", 10, "", "", "x", "")])
    rows = pl.read_parquet(made(store, dataset, tmp_path / "out").directory / FEEDBACK)
    assert rows.columns == ["user_id", "playlist_id", "at", "weight", "kind"]
    assert rows.select("user_id", "playlist_id", "kind").rows() == [
        ("ann", "a", "dislike"), ("ann", "c", "like"), ("bob", "x", "dislike")
    ]  # fmt: skip
    assert rows["at"][0] == NOW - timedelta(minutes=20)


def test_the_same_feedback_gives_the_same_bytes_and_a_later_window_lets_older_ones_go(
    store: str, react: React, dataset: Path, tmp_path: Path
) -> None:
    react([("ann", 30, "a", "b", "", ""), ("bob", 20, "c", "d", "", "")])
    one, two = (made(store, dataset, tmp_path / name) for name in ("one", "two"))
    assert one.manifest == two.manifest
    assert (tmp_path / "one" / BLOCKS).read_bytes() == (tmp_path / "two" / BLOCKS).read_bytes()
    assert open_extract(tmp_path / "one") == one
    later = made(store, dataset, tmp_path / "one", Window(NOW - timedelta(minutes=25), NOW))
    assert [user for user, *_ in blocks(later.directory)] == ["bob"]


def test_without_valid_feedback_nothing_is_written_and_what_was_there_stays(
    store: str, react: React, dataset: Path, tmp_path: Path
) -> None:
    with pytest.raises(ExtractError, match=r"teaches anything \(0 read\); take a longer --window"):
        made(store, dataset, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    react([("ann", 30, "a", "b", "", "")])
    before = made(store, dataset, tmp_path / "out")
    with psycopg.connect(store) as connection:
        connection.execute("DELETE FROM reactions")
    react([("ann", 30, "", "b", "", "")])
    with pytest.raises(ExtractError, match=r"1 read: 1 nothing_liked"):
        made(store, dataset, tmp_path / "out")
    assert open_extract(tmp_path / "out") == before


def test_a_kill_while_it_is_written_leaves_the_extract_before(
    store: str, react: React, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    react([("ann", 30, "a", "b", "", "")])
    before = made(store, dataset, tmp_path / "out")
    react([("bob", 20, "a", "b", "", "")])

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(extracting, "swap", killed)
        with pytest.raises(KeyboardInterrupt):
            made(store, dataset, tmp_path / "out")
    assert open_extract(tmp_path / "out") == before
    assert made(store, dataset, tmp_path / "out").manifest["users"] == 2


def test_blocks_from_the_future_are_told(store: str, react: React, dataset: Path, tmp_path: Path) -> None:
    ahead = (NOW - datetime.now(UTC)).total_seconds() / 60 - 60
    react([("ann", 30, "a", "b", "", ""), ("bob", ahead, "a", "b", "", "")])
    assert made(store, dataset, tmp_path / "out").manifest["from_the_future"] == 1


def test_an_erased_listener_is_taken_out_of_the_extracts_that_are_there(
    store: str, react: React, dataset: Path, tmp_path: Path
) -> None:
    react([("ann", 30, "a", "b", "c", ""), ("bob", 20, "c", "d", "", "")])
    made(store, dataset, tmp_path / "retrain" / "out")
    assert erase_extracts(tmp_path / "retrain", "ann") == {f"out/{BLOCKS}": 1, f"out/{FEEDBACK}": 2}
    manifest = open_extract(tmp_path / "retrain" / "out").manifest
    assert [manifest["files"][name]["rows"] for name in (BLOCKS, FEEDBACK)] == [1, 1]
    assert [user for user, *_ in blocks(tmp_path / "retrain" / "out")] == ["bob"]
    assert all(b"ann" not in path.read_bytes() for path in (tmp_path / "retrain" / "out").iterdir())


def test_an_erasure_while_an_extract_is_made_keeps_it_from_being_published(
    store: str, react: React, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    react([("ann", 30, "a", "b", "", "")])
    read = extracting.read_blocks

    def erased_after(url: str, window: Window) -> object:
        found = read(url, window)
        with psycopg.connect(url) as connection:
            connection.execute(ERASE)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(extracting, "read_blocks", erased_after)
        with pytest.raises(ExtractError, match="a listener was erased while the extract was made"):
            made(store, dataset, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".out*"))
    assert made(store, dataset, tmp_path / "out").manifest["blocks"] == 1


def test_what_is_no_extract_or_changed_is_refused(store: str, react: React, dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ExtractError, match="no extract here"):
        open_extract(tmp_path)
    react([("ann", 30, "a", "b", "", "")])
    made(store, dataset, tmp_path / "out")
    (tmp_path / "out" / BLOCKS).write_bytes(b"x")
    with pytest.raises(ExtractError, match=r"blocks\.parquet: not what was written"):
        open_extract(tmp_path / "out")


def test_a_store_that_is_away_or_not_known_is_said(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"Postgres cannot be read .* nothing was written"):
        made("postgresql://127.0.0.1:1/x", dataset, tmp_path / "out")
    with pytest.raises(StoreError, match="set BUDDIES_POSTGRES_URL"):
        postgres_url(None, tmp_path)
    (tmp_path / "serving.json").write_text(json.dumps({"postgres": "postgresql://here"}))
    assert postgres_url(None, tmp_path) == "postgresql://here"
    assert postgres_url("postgresql://there", tmp_path) == "postgresql://there"


def test_without_a_data_set_it_says_what_to_do(store: str, tmp_path: Path) -> None:
    with pytest.raises(ExtractError, match="run `buddies data build`"):
        made(store, tmp_path / "none", tmp_path / "out")


def test_windows_have_names_and_times_are_utc() -> None:
    assert WINDOW.id == "20261021T120000Z-20261120T120000Z"
    assert moment("2026-11-20T14:00:00+02:00") == NOW
    assert moment("2026-11-20") == datetime(2026, 11, 20, tzinfo=UTC)
    assert whole_hour(NOW + timedelta(minutes=59)) == NOW
    with pytest.raises(ValueError, match="'yesterday' is no date"):
        moment("yesterday")
    with pytest.raises(ValueError, match="longer than nothing"):
        Window.ending(NOW, 0)
