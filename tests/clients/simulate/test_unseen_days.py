"""Days in which what was shown does not come back, against the bare server; and what their state file says of it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from spotify_buddies.clients.python import AsyncClient
from spotify_buddies.clients.simulate.weeks.command import default_start, settings_of
from spotify_buddies.clients.simulate.weeks.days import Calendar
from spotify_buddies.clients.simulate.weeks.living import DayTally, LivingPlan, live
from spotify_buddies.clients.simulate.weeks.options import DayOptions, WorldOptions, open_days, open_world
from spotify_buddies.clients.simulate.weeks.progress import Progress, ProgressError
from spotify_buddies.clients.simulate.weeks.world import World
from spotify_buddies.protos.buddies.v1.recommender_pb2 import RecommendRequest
from spotify_buddies.serve_app.baseline.server import serve_plain
from spotify_buddies.serve_app.settings.serve import ServeSettings
from spotify_buddies.serve_app.settings.services import Services
from tests.clients.simulate.conftest import PlantedTaste

# Beyond its budget a look-up of what was shown is left out; a busy machine must not decide this test.
SERVE = ServeSettings(
    grpc_port=0, feedback_timeout_s=30.0, request_timeout_s=60.0, store_budget_ms=30_000, event_times=True
)
PLAN = LivingPlan(limit=5, exclude_known=False)
CALENDAR = Calendar(default_start(datetime.now(UTC), 2), 60)


@pytest.fixture(scope="module")
def world(planted_taste: PlantedTaste) -> World:
    return open_world(planted_taste.dataset, WorldOptions(weeks=2, newcomers=0.2, bots=0), 1)


def days_of(bundle: Path, url: str, version: str, world: World, plan: LivingPlan, days: int = 3) -> None:
    """Each against a server of its own: at its end all that it showed is stored."""

    async def run(day: int) -> DayTally:
        tally = DayTally()
        async with (
            serve_plain(SERVE, bundle, version, Services(url)) as address,
            AsyncClient(address, timeout_s=60.0) as client,
        ):
            await live(client, world, CALENDAR, day, plan, tally)
        return tally

    for day in range(days):
        assert not asyncio.run(run(day)).people.failed


def shown(url: str, version: str) -> tuple[list[RecommendRequest], int]:
    """What was asked, and how many playlists a listener was shown on more than one day."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT user_id, date_trunc('day', at, 'UTC'), playlist_ids, asked FROM impressions"
            " WHERE model_version = %s", (version,),
        ).fetchall()  # fmt: skip
    on_days = {(user, day, playlist) for user, day, playlists, _ in rows for playlist in playlists}
    times = Counter((user, playlist) for user, _, playlist in on_days)
    return [RecommendRequest.FromString(asked) for *_, asked in rows], sum(count > 1 for count in times.values())


def test_what_a_listener_was_shown_does_not_come_back(
    planted_taste: PlantedTaste, postgres_url: str, world: World
) -> None:
    days_of(planted_taste.good, postgres_url, "never-again", world, replace(PLAN, unseen_days=7))
    asked, again = shown(postgres_url, "never-again")
    assert len(asked) > 100
    assert {request.exclude_seen.window.ToSeconds() for request in asked} == {7 * 86_400}
    assert again == 0
    # The same days without it.
    days_of(planted_taste.good, postgres_url, "may-return", world, PLAN)
    asked, again = shown(postgres_url, "may-return")
    assert len(asked) > 100
    assert not any(request.HasField("exclude_seen") for request in asked)
    assert again > 20


def test_the_settings_of_a_run_name_the_option_only_where_it_is_on(world: World) -> None:
    before = settings_of(world, CALENDAR, PLAN)
    assert "unseen_days" not in before
    assert settings_of(world, CALENDAR, replace(PLAN, unseen_days=7)) == {**before, "unseen_days": 7}


@pytest.mark.parametrize(
    ("made_with", "asked_for", "said"),
    [(0, 7, "None, here 7"), (7, 0, "7, here None"), (7, 14, "7, here 14")],
)
def test_a_state_file_of_another_option_is_refused(
    world: World, tmp_path: Path, made_with: int, asked_for: int, said: str
) -> None:
    path = tmp_path / "weeks.json"
    start = f"{CALENDAR.start:%Y-%m-%d}"
    options = DayOptions(visits_per_day=60, start=start, state=path)
    _, progress, _ = open_days(world, replace(PLAN, unseen_days=made_with), options)
    day = {"day": 0, "visits": 3}
    progress.add(day)
    with pytest.raises(ProgressError, match=rf"another unseen_days \({said}\); name another with --state"):
        open_days(world, replace(PLAN, unseen_days=asked_for), options)
    _, again, span = open_days(world, replace(PLAN, unseen_days=made_with), options)
    assert (again.days, span.first) == ([day], 1)


def test_a_file_from_before_there_was_the_option_goes_on_without_it(world: World, tmp_path: Path) -> None:
    settings = settings_of(world, CALENDAR, PLAN)
    (tmp_path / "weeks.json").write_text(json.dumps({"settings": settings, "days": [{"day": 0}]}), encoding="utf-8")
    assert Progress(tmp_path / "weeks.json", settings).days == [{"day": 0}]
