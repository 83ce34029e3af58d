"""The report reads what the store writes: lists and actions go in by the store's own ways."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from spotify_buddies.clients.main import build_app
from spotify_buddies.serve_app.ranking.history import Shown
from spotify_buddies.serve_app.ranking.query import Source
from spotify_buddies.serve_app.store.actions import Feedback
from spotify_buddies.serve_app.store.store import Store
from tests.serve_app.store.storing import PATIENT, run


def test_what_the_store_writes_is_reported(logged: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def use() -> None:
        async with Store(logged.url, PATIENT) as store:
            store.record(
                Shown(
                    user_ids=("ann", "bob"),
                    recommendation_ids=("1", "2"),
                    sources=(Source.LIVE, Source.DAILY),
                    rows=np.array([[0, 1], [1, 0]], np.int32),
                    counts=np.array([2, 2], np.int32),
                    playlist_ids=["x", "y"],
                    model_version="7",
                    arm="production",
                    at=datetime.now(UTC),
                    computed=int(time.time()) - 7_200,
                )
            )
            await store.store(Feedback("1", "ann", ("y",), ("x",), (), "one", "7", "production"))
            await store.store(Feedback("2", "bob", (), ("x",), ("y",), "two", "7", "production"))

    run(use())
    monkeypatch.setenv("BUDDIES_POSTGRES_URL", logged.url)
    done = CliRunner().invoke(build_app(), ["online", "report", "--since", "1h", "--json"])
    assert (done.exit_code, done.stderr) == (0, "")
    (row,) = json.loads(done.stdout)["rows"]
    assert (row["lists"], row["impressions"], row["reactions"]) == (2, 4, 4)
    assert (row["like_rate"]["value"], row["mrr"]["value"]) == (0.25, 0.25)
    assert row["sources"] == {"live": 0.5, "daily": 0.5}
    assert (row["freshness"]["daily"]["lists"], row["freshness"]["daily"]["median_s"] // 3600) == (1, 2)
    assert row["freshness"].keys() == {"daily"}
    done = CliRunner().invoke(build_app(), ["online", "worth", "--since", "1h", "--version", "8"])
    assert "no estimate: no propensity below 1 is logged" in done.stdout
