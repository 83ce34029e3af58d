"""The click model and the arrivals, and whole windows against real servers with a good and a bad model."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from spotify_buddies.clients.python import AsyncClient
from spotify_buddies.clients.simulate.audience import AudienceError, SimulatedUser, open_audience
from spotify_buddies.clients.simulate.clicks import Clicks
from spotify_buddies.clients.simulate.tally import VisitTally
from spotify_buddies.clients.simulate.visits import VisitPlan, arrivals, simulate
from spotify_buddies.foundation.terminal.durations import seconds
from spotify_buddies.serve_app.baseline.server import serve_plain
from spotify_buddies.serve_app.settings.serve import ServeSettings
from spotify_buddies.serve_app.settings.services import Services
from tests.clients.buddies_process import called
from tests.clients.simulate.conftest import PlantedTaste

SERVE = ServeSettings(grpc_port=0, feedback_timeout_s=30.0, request_timeout_s=60.0)
ANN = SimulatedUser("ann", frozenset({"a", "c"}), ())


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_what_is_to_the_taste_is_liked_and_nothing_else_where_nothing_is_left_to_chance() -> None:
    clicks = Clicks(p_true=1.0, p_noise=0.0, falling=0.0)
    assert clicks.like(ANN, ["a", "b", "c"], rng()) == ["a", "c"]
    assert clicks.like(ANN, [], rng()) == []


def test_a_lower_place_is_looked_at_less_by_the_square_root_of_its_rank() -> None:
    clicks, draws = Clicks(p_true=1.0, p_noise=0.0, falling=0.5), rng()
    user = SimulatedUser("bob", frozenset({"p0", "p3"}), ())
    liked = [clicks.like(user, ["p0", "p1", "p2", "p3"], draws) for _ in range(4_000)]
    assert all("p0" in own for own in liked)
    # 4 ** -0.5 = 0.5, its standard error sqrt(0.25 / 4000) = 0.008
    assert sum("p3" in own for own in liked) / 4_000 == pytest.approx(0.5, abs=0.04)


def test_noise_is_liked_by_chance() -> None:
    clicks, draws = Clicks(p_true=1.0, p_noise=0.25, falling=0.0), rng()
    liked = [clicks.like(ANN, ["x"], draws) for _ in range(4_000)]
    assert sum(map(len, liked)) / 4_000 == pytest.approx(0.25, abs=0.035)


def test_arrivals_are_spread_over_the_window_in_the_number_expected() -> None:
    plan = VisitPlan(visits=10_000, over_s=600)
    times = list(arrivals(plan, rng()))
    assert len(times) == pytest.approx(10_000, abs=500)
    assert times == sorted(times)
    assert 0 <= times[0] < times[-1] <= 600
    # Exponential gaps: their standard deviation is their mean.
    gaps = np.diff(times)
    assert gaps.std() / gaps.mean() == pytest.approx(1.0, abs=0.1)
    assert set(arrivals(VisitPlan(visits=50, over_s=0), rng())) == {0.0}
    assert list(arrivals(VisitPlan(visits=0), rng())) == []


@pytest.mark.parametrize(("text", "expected"), [("90", 90), ("1.5h", 5_400), ("10m", 600), ("500ms", 0.5), ("0", 0)])
def test_times_are_read_with_their_units(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "ten", "-1s", "10 weeks", "1m30s"])
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="such as 30s"):
        seconds(text)


def test_users_are_those_with_test_likes_and_come_with_the_ones_that_training_saw(planted_taste: PlantedTaste) -> None:
    audience = open_audience(planted_taste.dataset)
    assert audience.size == 228  # every twentieth of 240 is cold
    draws = rng()
    for _ in range(50):
        drawn = audience.draw(draws)
        user = int(drawn.user_id.removeprefix("user-"))
        assert (len(drawn.likes), len(drawn.known)) == (1, 9)
        assert {int(name.removeprefix("playlist-")) % 6 for name in (*drawn.likes, *drawn.known)} == {user % 6}
        assert drawn.likes.isdisjoint(drawn.known)


def test_where_a_split_has_no_test_users_like_what_validation_holds(
    planted_taste: PlantedTaste, tmp_path: Path
) -> None:
    for name in ("5-liked", "2-songs"):
        (tmp_path / name).symlink_to(planted_taste.dataset / name)
    split = np.load(planted_taste.dataset / "6-split" / "split.npy")
    (tmp_path / "6-split").mkdir()
    np.save(tmp_path / "6-split" / "split.npy", np.where(split == 2, 3, split).astype(np.uint8))
    drawn = open_audience(tmp_path).draw(rng())
    assert (len(drawn.likes), len(drawn.known)) == (2, 7)
    assert drawn.likes.isdisjoint(drawn.known)


def test_what_is_no_data_set_is_said_with_what_to_do(planted_taste: PlantedTaste, tmp_path: Path) -> None:
    with pytest.raises(AudienceError, match="buddies data build"):
        open_audience(tmp_path)
    for name in ("5-liked", "6-split", "2-songs"):
        (tmp_path / name).symlink_to(planted_taste.dataset / name)
    (tmp_path / "6-split").unlink()
    (tmp_path / "6-split").mkdir()
    np.save(tmp_path / "6-split" / "split.npy", np.full(7, 2, np.uint8))
    with pytest.raises(AudienceError, match="do not fit"):
        open_audience(tmp_path)
    (tmp_path / "6-split" / "split.npy").write_bytes(b"no array")
    with pytest.raises(AudienceError, match="not readable"):
        open_audience(tmp_path)


def visit(planted_taste: PlantedTaste, bundle: Path, version: str, url: str | None, plan: VisitPlan) -> VisitTally:
    async def run() -> VisitTally:
        tally = VisitTally()
        async with (
            serve_plain(SERVE, bundle, version, Services(url)) as address,
            AsyncClient(address, timeout_s=60.0) as client,
        ):
            await simulate(client, open_audience(planted_taste.dataset), plan, tally, lambda _: None)
        return tally

    return asyncio.run(run())


def stored(url: str, version: str) -> tuple[int, int, int]:
    """Likes, reactions and listeners that the database holds of a version."""
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT count(*) FILTER (WHERE score = 1), count(*), count(DISTINCT user_id) FROM reactions"
            " WHERE model_version = %s AND arm = 'production'",
            (version,),
        ).fetchone()
    assert row is not None
    return row


def test_a_good_model_earns_more_likes_than_the_same_with_shuffled_factors(
    planted_taste: PlantedTaste, postgres_url: str
) -> None:
    plan = VisitPlan(visits=600, seed=3, callers=16)
    rates = {}
    for version, bundle in (("good", planted_taste.good), ("bad", planted_taste.shuffled)):
        tally = visit(planted_taste, bundle, version, postgres_url, plan)
        (arm,) = tally.arms.values()
        assert (tally.errors, arm.calls, arm.empty) == (0, tally.visits, 0)
        # Every reaction is committed, with the version that earned it.
        assert stored(postgres_url, version) == (arm.likes, arm.impressions, len(arm.users))
        rates[version] = arm.likes / arm.impressions
    assert rates["good"] > 2 * rates["bad"]


def test_a_seed_draws_the_same_users_and_likes_and_another_window_others(
    planted_taste: PlantedTaste, postgres_url: str
) -> None:
    windows = (("one", 1, 0), ("two", 32, 0), ("three", 32, 1))
    runs = []
    for name, callers, window in windows:
        plan = VisitPlan(visits=60, seed=4, callers=callers, window=window)
        runs.append(visit(planted_taste, planted_taste.good, name, postgres_url, plan))
    one, two, three = (next(iter(tally.arms.values())) for tally in runs)
    assert (one.users, one.likes, one.impressions) == (two.users, two.likes, two.impressions)
    assert one.users != three.users


def test_feedback_that_is_not_stored_is_an_error_and_the_visits_go_on(planted_taste: PlantedTaste) -> None:
    tally = visit(planted_taste, planted_taste.good, "v", None, VisitPlan(visits=20, seed=5))
    (arm,) = tally.arms.values()
    assert arm.errors == arm.calls == tally.visits > 0
    assert tally.to_json()["errors"] == arm.errors


def environment(state: Path) -> dict[str, str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("BUDDIES_", "MLFLOW_"))}
    paths = os.pathsep.join(filter(None, sys.path))
    return {**inherited, "PYTHONPATH": paths, "COLUMNS": "160", "BUDDIES_STATE_DIR": str(state),
            "BUDDIES_CLIENT__TIMEOUT_S": "60"}  # fmt: skip


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "spotify_buddies.clients.main", "simulate", "run", *arguments]


def buddies(state: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    settings = {"BUDDIES_STATE_DIR": str(state), "BUDDIES_CLIENT__TIMEOUT_S": "60"}
    return called("simulate", "run", *arguments, cwd=state, **settings)


@pytest.fixture(scope="module")
def address(planted_taste: PlantedTaste, postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The bare server as a process."""
    state = tmp_path_factory.mktemp("served")
    serve = [sys.executable, "-m", "spotify_buddies.clients.main", "serve", "plain", "--with-parent", "--json",
             "--version", "7",
             "--bundle", str(planted_taste.good)]  # fmt: skip
    process = subprocess.Popen(
        serve, env={**environment(state), "BUDDIES_POSTGRES_URL": postgres_url}, cwd=state, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    with process.stdout:
        yield json.loads(process.stdout.readline())["grpc"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


def test_the_command_says_what_was_shown_and_liked_by_version_and_arm(
    planted_taste: PlantedTaste, address: str, tmp_path: Path
) -> None:
    arguments = ("--address", address, "--dataset", str(planted_taste.dataset), "--over", "0", "--visits", "40")
    finished = buddies(tmp_path, *arguments, "--json")
    assert finished.returncode == 0, finished.stderr
    body = json.loads(finished.stdout)
    (arm,) = body["arms"]
    assert (arm["version"], arm["arm"], body["errors"], body["failed"]) == ("7", "production", 0, {})
    assert body["audience"] == 228
    assert arm["calls"] == body["visits"] == arm["sources"]["live"]
    assert arm["impressions"] == 5 * arm["calls"]
    assert arm["like_rate"] == pytest.approx(arm["likes"] / arm["impressions"], abs=1e-6)
    table = buddies(tmp_path, *arguments).stdout.splitlines()
    assert table[0].split() == ["version", "arm", "calls", "users", "shown", "likes", "like", "rate", "errors"]
    assert table[1].split()[:2] == ["7", "production"]


def test_as_a_service_it_visits_window_after_window_until_it_is_ended(
    planted_taste: PlantedTaste, address: str, tmp_path: Path
) -> None:
    arguments = ("--address", address, "--dataset", str(planted_taste.dataset), "--over", "0", "--visits", "5")
    process = subprocess.Popen(
        command(*arguments, "--every", "100ms", "--json"), env=environment(tmp_path), cwd=tmp_path,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    with process.stdout:
        windows = [json.loads(process.stdout.readline())["window"] for _ in range(3)]
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
    assert windows == [0, 1, 2]
    assert process.wait(timeout=60) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--over", "soon"), 2, "such as 30s"),
        (("--over", "10m", "--every", "5m"), 2, "shorter than the window"),
        (("--dataset", "nowhere"), 1, "buddies data build"),
    ],
)
def test_what_cannot_be_done_is_said(arguments: tuple[str, ...], code: int, said: str, tmp_path: Path) -> None:
    finished = buddies(tmp_path, *arguments)
    assert finished.returncode == code
    assert said in finished.stderr


def test_a_service_that_is_not_there_is_named_with_how_to_start_one(
    planted_taste: PlantedTaste, tmp_path: Path
) -> None:
    finished = buddies(tmp_path, "--address", "127.0.0.1:1", "--dataset", str(planted_taste.dataset))
    assert finished.returncode == 1
    assert "buddies serve start" in finished.stderr


def test_where_no_service_runs_it_visits_nobody(planted_taste: PlantedTaste, tmp_path: Path) -> None:
    finished = buddies(tmp_path, "--dataset", str(planted_taste.dataset))
    assert finished.returncode == 1
    assert finished.stderr.startswith("error: no service runs here")
