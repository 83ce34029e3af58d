"""What `buddies store` prints."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from spotify_buddies.clients.main import build_app
from spotify_buddies.serve_app.store.actions import Feedback
from spotify_buddies.serve_app.store.export import UnknownForm, export_follows
from spotify_buddies.serve_app.store.store import Store
from spotify_buddies.trainer.dataset.errors import Skipped
from spotify_buddies.trainer.dataset.reading.interactions import DISLIKE, FOLLOW, read_interactions
from spotify_buddies.trainer.dataset.reading.intern import Ids
from tests.serve_app.store.storing import PATIENT


@pytest.fixture
def lines(database: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs `buddies store` and gives the words of every line."""
    monkeypatch.setenv("BUDDIES_POSTGRES_URL", database.url)

    def run(*arguments: str) -> list[list[str]]:
        done = CliRunner().invoke(build_app(), ["store", *arguments])
        assert (done.exit_code, done.stderr) == (0, "")
        return [line.split() for line in done.stdout.splitlines()]

    return run


def test_status_is_a_table_with_a_row_for_each_table(database: Any, lines: Any) -> None:
    assert lines("status") == [["nothing", "is", "stored", "yet"]]

    async def store() -> None:
        async with Store(database.url, PATIENT) as opened:
            await opened.store(Feedback("rec", "ada", ("x", "y"), (), ("z",), "key", "7", "production"))

    asyncio.run(store())
    headers, *rows = lines("status")
    assert headers == ["table", "rows", "size", "partitions", "oldest"]
    assert [(row[0], row[1], row[3]) for row in rows] == [
        ("blocks", "1", "MiB"),
        ("feedback", "1", "MiB"),
        ("impressions", "0", "MiB"),
        ("reactions", "3", "MiB"),
        ("wishes", "0", "MiB"),
    ]


def test_reactions_to_a_recommendation_are_a_table(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUDDIES_POSTGRES_URL", database.url)

    def shown(recommendation: str) -> list[str]:
        done = CliRunner().invoke(build_app(), ["serve", "reactions", "--recommendation", recommendation])
        assert (done.exit_code, done.stderr) == (0, "")
        return done.stdout.splitlines()

    async def store() -> None:
        async with Store(database.url, PATIENT) as opened:
            await opened.store(Feedback("rec", "ada b", ("x",), ("y",), ("z",), "key", "7", "canary"))

    asyncio.run(store())
    headers, *rows = shown("rec")
    assert headers.split() == ["at", "user", "reaction", "score", "playlist", "version", "arm"]
    assert [row.split()[2:] for row in rows] == [
        ["ada", "b", "liked", "1", "x", "7", "canary"],
        ["ada", "b", "ignored", "0", "y", "7", "canary"],
        ["ada", "b", "disliked", "-1", "z", "7", "canary"],
    ]
    assert shown("none") == ["no reaction to recommendation none is stored"]


def test_maintain_says_what_it_did(lines: Any) -> None:
    (words,) = lines("maintain")
    text = " ".join(words)
    assert text.startswith("partitions: 12 created, 0 dropped, 0 sorted;")
    assert "reactions that got version and arm of their list: 0;" in text


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_feedback_is_exported_as_follows_with_the_last_word_of_everybody(
    database: Any, lines: Any, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"feedback.{suffix}"
    read_back = partial(pl.read_csv, try_parse_dates=True) if suffix == "csv" else pl.read_parquet
    assert lines("export-follows", str(path)) == [["0", "likes", "and", "dislikes", "in", str(path)]]
    assert read_back(path).height == 0

    async def store() -> None:
        async with Store(database.url, PATIENT) as opened:
            await opened.store(Feedback("one", "ada", ("x", "y"), ("i",), ("z",), "first", "7", "production"))
            await opened.store(Feedback("two", "ada", ("z",), (), ("x",), "second", "7", "production"))

    asyncio.run(store())
    lines("export-follows", str(path))
    found = read_back(path)
    assert found.columns == ["user_id", "playlist_id", "at", "weight", "kind"]
    assert found.select("user_id", "playlist_id", "weight", "kind").rows() == [
        ("ada", "x", 1.0, "dislike"),
        ("ada", "y", 1.0, "like"),
        ("ada", "z", 1.0, "like"),
    ]
    playlists = Ids()
    for name in ("x", "y", "z"):
        playlists.code(name)
    read = read_interactions([path], Ids(), (), playlists, Skipped(), lambda rows: None)
    assert [list(read.playlists), list(read.kinds)] == [[1, 2, 0], [FOLLOW, FOLLOW, DISLIKE]]
    assert read.times[0] == round(found["at"][1].timestamp() * 1000)


def test_a_file_whose_name_says_no_form_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(UnknownForm, match=r"feedback\.txt: the name must end in \.parquet or \.csv"):
        export_follows("postgresql://nobody@db.invalid/", tmp_path / "feedback.txt")
    assert list(tmp_path.iterdir()) == []
