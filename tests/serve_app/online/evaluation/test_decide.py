"""A canary judged by a window of event times: promoted, taken back, held, or not there."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from spotify_buddies.serve_app.generations import ledger
from spotify_buddies.serve_app.generations.state import GenerationState, Wanted
from spotify_buddies.serve_app.online.decide import judged
from spotify_buddies.serve_app.online.evaluation.estimates import Estimate
from spotify_buddies.serve_app.online.evaluation.report import Difference, Report
from tests.serve_app.online.evaluation.conftest import Logged

MODEL = "organic-playlists"


def found(low: float | None, high: float | None, left: str = "8 canary") -> Report:
    value = 0.0 if low is None or high is None else (low + high) / 2
    return Report([], [Difference(left, "7 production", {"like_rate_per_listener": Estimate(value, low, high, 9)})], [])


@pytest.mark.parametrize(
    ("report", "action"),
    [
        (found(0.001, 0.02), "promote"),
        (found(-0.02, -0.001), "rollback"),
        (found(-0.001, 0.02), "hold"),
        (found(0.0, 0.02), "hold"),
        (found(None, None), "hold"),
        (found(0.001, 0.02, left="6 canary"), "hold"),
        (Report([], [], []), "hold"),
    ],
)
def test_only_an_interval_without_zero_changes_anything(report: Report, action: str) -> None:
    decision = judged(report, "8", "7")
    assert (decision.action, decision.canary, decision.production) == (action, "8", "7")


def begin(url: str, wanted: Wanted) -> None:
    """A generation that is served."""

    async def make() -> None:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute("TRUNCATE rollout_generations RESTART IDENTITY CASCADE")
            said = {"who": "a test", "action": "start", "why": ""}
            made = await ledger.propose(connection, MODEL, wanted, after=0, **said)
            await ledger.decide(connection, made.number, GenerationState.ACTIVE, "")

    asyncio.run(make())


def wanted(url: str) -> str | None:
    with psycopg.connect(url) as connection:
        ((production,),) = connection.execute(
            "SELECT production FROM rollout_generations ORDER BY number DESC LIMIT 1"
        ).fetchall()
    return str(production)


def test_a_better_canary_is_promoted_by_what_listeners_did_then(logged: Logged, told: Any) -> None:
    begin(logged.url, Wanted("7"))
    assert told("decide")["action"] == "no_canary"
    begin(logged.url, Wanted("7", canary="8", share=0.5, salt="s", paused=True))
    for number in range(12):
        better = number % 4 != 0
        logged.react(f"canary-{number}", rec=f"c{number}", version="8", arm="canary", a=int(better), b=1)
        logged.react(f"other-{number}", rec=f"p{number}", a=int(not better), b=0)
    assert told("decide", "--dry-run")["action"] == "promote"
    assert wanted(logged.url) == "7"
    decision = told("decide")
    assert decision["low"] > 0
    assert wanted(logged.url) == "8"
