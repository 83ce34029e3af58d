"""Days of a world of weeks against the bare server: stored with their times, resumed, and told by day and week."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from spotify_buddies.clients.simulate.weeks.command import default_start
from spotify_buddies.clients.simulate.weeks.options import WorldOptions, open_world
from spotify_buddies.clients.simulate.weeks.progress import Progress, ProgressError, total
from spotify_buddies.serve_app.store.database.connections import connect
from spotify_buddies.serve_app.store.database.maintain import Retention, maintain
from tests.clients.buddies_process import called
from tests.clients.simulate.conftest import PlantedTaste
from tests.clients.simulate.test_simulate import environment
from tests.waiting import wait_until

START = default_start(datetime.now(UTC), 2)
WORLD = ("--world", "weeks", "--weeks", "2", "--start", f"{START:%Y-%m-%d}", "--newcomers", "0.2", "--bots", "1")


@pytest.fixture(scope="module")
def served(planted_taste: PlantedTaste, postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Starts the bare server with a version's name, and ends it after the tests; with event times, or without."""
    running: list[subprocess.Popen[bytes]] = []

    def start(version: str, *, event_times: bool = True) -> str:
        state = tmp_path_factory.mktemp("served")
        settings = {"BUDDIES_POSTGRES_URL": postgres_url, "BUDDIES_SERVE__EVENT_TIMES": str(event_times).lower()}
        process = subprocess.Popen(
            [sys.executable, "-m", "spotify_buddies.clients.main", "serve", "plain", "--with-parent", "--json",
             "--version", version, "--bundle", str(planted_taste.good)],
            env={**environment(state), **settings}, cwd=state, stdout=subprocess.PIPE,
        )  # fmt: skip
        running.append(process)
        assert process.stdout is not None
        return str(json.loads(process.stdout.readline())["grpc"])

    yield start
    for process in running:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture(scope="module")
def address(served: Any) -> str:
    return str(served("weeks-7"))


def ask(url: str, query: str, *values: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query.encode(), values).fetchall()


def written(url: str, table: str, lists: int) -> int:
    """How many lists a table holds, once it holds so many; they are written in the background."""

    def count() -> int:
        held: int = ask(url, f"SELECT count(*) FROM {table} WHERE model_version = 'weeks-7'")[0][0]
        return held if held >= lists else 0

    return wait_until(count, f"{lists} lists in {table}")


def simulate(planted_taste: PlantedTaste, address: str, cwd: Path, *arguments: str) -> Any:
    settings = {"BUDDIES_STATE_DIR": str(cwd), "BUDDIES_CLIENT__TIMEOUT_S": "60"}
    given = (*WORLD, "--address", address, "--dataset", str(planted_taste.dataset), "--visits-per-day", "30")
    return called("simulate", "run", *given, *arguments, cwd=cwd, **settings)


def lines(finished: Any) -> list[dict[str, Any]]:
    assert finished.returncode == 0, finished.stderr
    return [json.loads(line) for line in finished.stdout.splitlines()]


def test_days_are_lived_stored_at_their_time_and_told(
    planted_taste: PlantedTaste, address: str, postgres_url: str, tmp_path: Path
) -> None:
    *days, week = lines(simulate(planted_taste, address, tmp_path, "--json", "--until-day", "7"))
    assert [day["day"] for day in days] == list(range(7))
    assert [day["weekend"] for day in days] == [False] * 5 + [True] * 2
    assert all((day["errors"], day["bots"]["visits"], day["bots"]["likes"]) == (0, 20, 100) for day in days)
    (arm,) = week["arms"]
    assert (arm["version"], arm["arm"], week["days"], week["bots"]["visits"]) == ("weeks-7", "production", 7, 140)
    assert week["visits"] == sum(day["visits"] for day in days) == arm["calls"]
    assert arm["likes"] == sum(day["arms"][0]["likes"] for day in days) > 0
    assert week["truth"]["popular"] < week["truth"]["oracle"]
    # All of it lies in the week that was simulated, day by day, bots included.
    assert written(postgres_url, "impressions", week["visits"] + 140) == week["visits"] + 140
    stored = ask(
        postgres_url,
        "SELECT date_trunc('day', at, 'UTC'), count(*) FROM impressions WHERE model_version = 'weeks-7' GROUP BY 1 "
        "ORDER BY 1",
    )
    assert [at for at, _ in stored] == [START + timedelta(days=day) for day in range(7)]
    assert [count for _, count in stored] == [day["visits"] + 20 for day in days]
    (first, last, likes) = ask(
        postgres_url,
        "SELECT min(at), max(at), count(*) FILTER (WHERE score = 1) FROM reactions WHERE model_version = 'weeks-7'",
    )[0]
    assert START <= first <= last < START + timedelta(days=7, minutes=2)
    assert likes == arm["likes"] + week["bots"]["likes"]


def test_upkeep_gives_the_simulated_weeks_their_partitions_and_reports_read_them_all_the_same(
    planted_taste: PlantedTaste, address: str, postgres_url: str, tmp_path: Path
) -> None:
    default = "impressions_default"
    held = ask(postgres_url, f"SELECT count(*) FROM {default} WHERE model_version = 'weeks-7'")[0][0]
    (day,) = lines(simulate(planted_taste, address, tmp_path, "--json", "--from-day", "8", "--until-day", "9"))
    written(postgres_url, default, held + day["visits"] + 20)
    lists = "SELECT count(*), min(at), max(at) FROM online_lists WHERE model_version = 'weeks-7'"
    before = ask(postgres_url, lists)

    async def upkeep() -> Any:
        async with await connect(postgres_url, connect_s=60.0) as connection:
            return await maintain(connection, Retention())

    done = wait_until(lambda: asyncio.run(upkeep()), "the server's own upkeep is over")
    assert (done.dropped, done.stray_rows) == ((), 0)
    assert ask(postgres_url, lists) == before
    week = f"impressions_{START + timedelta(days=7):%Y%m%d}"
    assert week in done.created
    assert ask(postgres_url, f"SELECT count(*) FROM {default} WHERE model_version = 'weeks-7'") == [(0,)]
    # Days of a week that has its partition by now go there at once.
    held = written(postgres_url, week, day["visits"] + 20)
    (day,) = lines(simulate(planted_taste, address, tmp_path, "--json", "--from-day", "10", "--until-day", "11"))
    assert written(postgres_url, week, held + day["visits"] + 20) == held + day["visits"] + 20


def test_a_run_that_was_killed_goes_on_after_its_last_whole_day_with_the_same_visits(
    planted_taste: PlantedTaste, address: str, tmp_path: Path
) -> None:
    whole = lines(simulate(planted_taste, address, tmp_path, "--json", "--until-day", "4"))
    state = ("--json", "--state", str(tmp_path / "weeks.json"))
    process = subprocess.Popen(
        [sys.executable, "-m", "spotify_buddies.clients.main", "simulate", "run", *WORLD, "--address", address,
         "--dataset", str(planted_taste.dataset), "--visits-per-day", "30", *state],
        env=environment(tmp_path), cwd=tmp_path, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    with process.stdout:
        first = json.loads(process.stdout.readline())
        process.kill()
        process.wait(timeout=60)
    over = len(json.loads((tmp_path / "weeks.json").read_text())["days"])
    rest = lines(simulate(planted_taste, address, tmp_path, *state, "--until-day", str(max(over, 4))))
    days = [first, *json.loads((tmp_path / "weeks.json").read_text())["days"][1:]]
    assert [day["day"] for day in rest if "day" in day] == list(range(over, max(over, 4)))
    assert days[:4] == whole[:4]
    assert lines(simulate(planted_taste, address, tmp_path, *state, "--until-day", str(max(over, 4)))) == []
    refused = simulate(planted_taste, address, tmp_path, *state, "--seed", "9")
    assert (refused.returncode, "another seed (1, here 9)" in refused.stderr) == (1, True)


def test_a_service_that_does_not_accept_times_is_told_apart_with_what_to_do(
    planted_taste: PlantedTaste, served: Any, postgres_url: str, tmp_path: Path
) -> None:
    finished = simulate(planted_taste, served("weeks-off", event_times=False), tmp_path)
    assert finished.returncode == 1
    assert "BUDDIES_SERVE__EVENT_TIMES=true" in finished.stderr
    assert ask(postgres_url, "SELECT count(*) FROM impressions WHERE model_version = 'weeks-off'") == [(0,)]


def test_the_command_tells_the_truth_of_a_world_without_a_service(planted_taste: PlantedTaste, tmp_path: Path) -> None:
    given = ("simulate", "world", "--weeks", "3", "--dataset", str(planted_taste.dataset))
    told = lines(called(*given, "--json", cwd=tmp_path))
    assert [week["week"] for week in told] == [0, 1, 2]
    assert told == lines(called(*given, "--json", cwd=tmp_path))
    world = open_world(planted_taste.dataset, WorldOptions(weeks=3), 1)
    assert [week["new_playlist_ids"] for week in told] == [world.arrivals(week) for week in range(3)]
    assert "expected like rates: oracle" in called(*given, cwd=tmp_path).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--every", "10m"), "lived once"),
        (("--until-day", "15"), "the world has 14 days"),
        (("--start", "monday"), "no date"),
    ],
)
def test_wrong_options_are_told(
    planted_taste: PlantedTaste, arguments: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    finished = simulate(planted_taste, "127.0.0.1:1", tmp_path, *arguments)
    assert finished.returncode == 2
    assert said in finished.stderr


def test_sums_of_days_are_by_version_and_arm_and_empty_of_none() -> None:
    arm = {"version": "1", "arm": "canary", "calls": 2, "impressions": 10, "likes": 3, "empty": 0, "errors": 1}
    day = {
        "visits": 3, "failed": {"UNAVAILABLE": 1}, "errors": 2, "bots": {"visits": 1, "likes": 5, "errors": 0},
        "arms": [{**arm, "sources": {"live": 1, "popular": 1}}],
    }  # fmt: skip
    two = total([day, day])
    assert (two["visits"], two["failed"], two["errors"], two["bots"]["likes"]) == (6, {"UNAVAILABLE": 2}, 4, 10)
    assert (two["arms"][0]["likes"], two["arms"][0]["like_rate"], two["arms"][0]["cold_share"]) == (6, 0.3, 0.5)
    assert total([])["arms"] == []


def test_a_file_that_is_no_state_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("no state")
    with pytest.raises(ProgressError, match="not the state of a simulation"):
        Progress(tmp_path / "state", {})
    with pytest.raises(ProgressError, match="gap"):
        Progress(None, {}).keep(3)
