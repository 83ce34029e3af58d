"""`buddies rollout` beside a controller at work."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spotify_buddies.serve_app.generations import ledger
from spotify_buddies.serve_app.generations.state import Wanted
from tests.clients.buddies_process import buddies, called
from tests.serve_app.rollout.conftest import Rollout
from tests.serve_app.rollout.proposals import say

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run_by(rollout: Rollout, state_dir: Path) -> Callable[[Run], Any]:
    """`buddies rollout` beside the loop, by a process or in this one; what it says."""
    environment = {
        "COLUMNS": "200",
        "BUDDIES_STATE_DIR": str(state_dir),
        "BUDDIES_POSTGRES_URL": rollout.url,
        "BUDDIES_ROLLOUT__PREPARE_WITHIN_S": "60",
    }

    def by(how: Run) -> Any:
        async def run(*words: str, expect: int = 0) -> str:
            done = await asyncio.to_thread(how, "rollout", *words, cwd=state_dir, **environment)
            assert done.returncode == expect, f"{words}: {done.stdout}{done.stderr}"
            assert "Traceback" not in done.stderr
            return done.stdout if expect == 0 else done.stderr

        return run

    return by


@pytest.fixture
def command(run_by: Callable[[Run], Any]) -> Any:
    return run_by(called)


@pytest.fixture
def process(run_by: Callable[[Run], Any]) -> Any:
    return run_by(buddies)


def test_without_a_generation_nothing_is_promoted_and_the_status_says_so(rollout: Rollout, process: Any) -> None:
    async def run() -> None:
        assert "nothing is served yet" in await process("promote", expect=1)
        assert "no generation yet" in await process("status")

    asyncio.run(run())


def test_a_canary_starts_by_hand_grows_and_stays_the_only_one(rollout: Rollout, command: Any) -> None:
    async def run() -> None:
        async with rollout.working(), rollout.replicas("r-1", "r-2"):
            await rollout.active(1)
            started = await command("start", "2", "--percent", "10", "--manual", "--why", "new songs", "--wait")
            assert started == "generation 2 active: production 1, canary 2 with 10 %, paused\n"
            status = json.loads(await command("status", "--json"))
            assert [(arm["arm"], arm["version"], arm["share"]) for arm in status["arms"]] == [
                ("production", "1", 0.9),
                ("canary", "2", 0.1),
            ]
            assert status["generation"]["why"] == "new songs"
            assert "@" in status["generation"]["who"]
            assert (status["controller"]["state"], status["registry"]["state"]) == ("works", "here")
            assert [(one["replica"], one["following"], sorted(one["versions"])) for one in status["replicas"]] == [
                ("r-1", 2, ["1", "2"]),
                ("r-2", 2, ["1", "2"]),
            ]
            assert "nothing to change" in await command("set-percent", "10")
            assert "canary 2 with 25 %" in await command("set-percent", "25", "--who", "bob", "--wait")
            assert "is the canary, with 25 %" in await command("start", "3", "--force", expect=1)
            history = json.loads(await command("history", "--json"))
            assert [one["action"] for one in history] == ["set-percent", "start", "registry"]
            assert history[0]["who"] == "bob"
            assert history[0]["changed"] == {"share": [0.1, 0.25]}

    asyncio.run(run())


def test_a_canary_is_started_with_lists_drafted_from_both_versions(rollout: Rollout, command: Any) -> None:
    async def run() -> None:
        async with rollout.working(), rollout.replicas("r-1"):
            await rollout.active(1)
            started = await command("start", "2", "--interleave", "--manual", "--wait")
            assert started == "generation 2 active: production 1, canary 2 with 5 % interleaved, paused\n"
            status = json.loads(await command("status", "--json"))
            assert status["arms"][1] == {"arm": "canary", "version": "2", "share": 0.05, "interleave": True}
            assert status["generation"]["wanted"]["interleave"] is True
            assert "canary, interleaved" in await command("status")
            assert "canary 2 with 5 %, paused" in await command("start", "2", "--percent", "5", "--wait")
            changed = json.loads(await command("history", "--json"))[0]["changed"]
            assert changed == {"interleave": [True, False]}

    asyncio.run(run())


def test_a_canary_is_promoted_and_rolled_back_and_the_history_shows_it(rollout: Rollout, command: Any) -> None:
    async def run() -> None:
        async with rollout.working(), rollout.replicas("r-1", "r-2"):
            await rollout.active(1)
            await say(rollout, Wanted("1", canary="2", share=0.25, salt="x"), 1)
            await rollout.active(2)
            promoted = json.loads(await command("promote", "--wait", "--json"))
            assert (promoted["state"], promoted["wanted"]["production"]) == ("active", "2")
            await rollout.aliases(production="2", previous="1")
            assert "nothing to change: version 2 is production already: promoted by" in await command("promote")
            assert "production 1, previous 2" in await command("rollback", "--wait")
            assert "version 2 was rolled back by" in await command("rollback", expect=1)
            history = json.loads(await command("history", "--json"))
            assert [one["action"] for one in history] == ["rollback", "promote", "start", "registry"]
            table = await command("history", "--limit", "2")
            assert "production 2 -> 1" in table
            assert "start" not in table
            shown = await command("status")
            assert "generation 4 active, rollback by" in shown
            assert "r-2" in shown
            assert "production 2, previous 1" in await command("rollback", "--force", "--wait")

    asyncio.run(run())


def test_what_is_refused_changes_nothing_and_says_why(rollout: Rollout, command: Any) -> None:
    async def run() -> None:
        async with rollout.working(), rollout.replicas("r-1", broken=("5",)):
            await rollout.active(1)
            assert (
                "20.0% below the 0.5 of version 1; 2.0% is allowed, and users and seeds explain 6.6%; use --force"
                in await command("start", "3", expect=1)
            )
            assert "no version '9'" in await command("start", "9", expect=1)
            assert "1 is production already" in await command("start", "1", expect=1)
            assert "neither a canary nor a previous" in await command("rollback", expect=1)
            assert "no canary" in await command("set-percent", "5", expect=1)
            assert "no version '9'" in await command("shadow", "9", expect=1)
            assert "name a version, or say --off" in await command("shadow", expect=2)
            await command("set-percent", "101", expect=2)
            async with rollout.asked() as connection:
                assert [one.number for one in await ledger.read_history(connection)] == [1]
            failed = await command("start", "5", "--force", "--wait", expect=1)
            assert "generation 2 failed: r-1 cannot serve version 5: no such file" in failed
            forced = await command("start", "3", "--force", "--wait")
            assert forced == "generation 3 active: production 1, canary 3 with 1 %\n"
            assert "shadow 2" in await command("shadow", "2")
            assert "shadow" not in await command("shadow", "--off")
            assert "paused" in await command("pause")
            assert "paused" not in await command("resume", "--wait")

    asyncio.run(run())


def test_of_two_people_one_is_told_who_was_faster(rollout: Rollout, process: Any) -> None:
    async def run() -> None:
        async with rollout.asked() as connection:
            said = {"who": "ann", "action": "start", "why": ""}
            await ledger.propose(connection, "m", Wanted("1", canary="2", share=0.1), after=0, **said)
        both = [process("set-percent", str(percent), "--who", f"p{percent}", expect=0) for percent in (20, 30)]
        done = await asyncio.gather(*both, return_exceptions=True)
        async with rollout.asked() as connection:
            history = await ledger.read_history(connection)
        lost = [outcome for outcome in done if isinstance(outcome, AssertionError)]
        assert len(history) == 3 - len(lost)
        for error in lost:
            assert f"{history[0].who} was faster: generation 2" in str(error)

    asyncio.run(run())


def test_without_a_service_and_a_database_the_command_says_what_to_do(tmp_path: Path) -> None:
    result = called("rollout", "status", cwd=tmp_path)
    assert result.returncode == 1
    assert "and BUDDIES_POSTGRES_URL is not set; start one first" in result.stderr
