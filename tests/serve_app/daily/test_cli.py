"""What `buddies daily` prints of what is stored."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from typer.testing import CliRunner

from spotify_buddies.clients.main import build_app
from spotify_buddies.serve_app.daily.run import DailyReport


def test_status_is_a_table_of_the_stored_lists(
    run: Callable[..., DailyReport], redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUDDIES_REDIS_URL", redis_url)
    monkeypatch.setenv("BUDDIES_REGISTRY__MODEL", "m")
    space = run().space
    done = CliRunner().invoke(build_app(), ["daily", "status"])
    assert (done.exit_code, done.stderr) == (0, "")
    first, headers, row = [line.split() for line in done.stdout.splitlines()]
    assert first[:4] == ["1", "sets", "of", "lists"]
    assert headers == ["version", "day", "state", "lists", "users", "blocks", "memory", "age", "time", "left"]
    assert row[:6] == ["7", space.name, "read", f"{space.lists}", f"{space.users}", f"{space.blocks}/{space.blocks}"]
