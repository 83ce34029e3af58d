"""What `buddies store` prints."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from typer.testing import CliRunner

from spotify_buddies.clients.main import build_app
from spotify_buddies.serve_app.store.actions import Feedback
from spotify_buddies.serve_app.store.store import Store, StoreSettings


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
        async with Store(database.url, StoreSettings(timeout_s=10.0)) as opened:
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


def test_maintain_says_what_it_did(lines: Any) -> None:
    (words,) = lines("maintain")
    text = " ".join(words)
    assert text.startswith("partitions: 12 created, 0 dropped, 0 sorted;")
    assert "reactions that got version and arm of their list: 0;" in text
