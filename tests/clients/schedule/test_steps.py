"""Jobs of more than one command beside a real Postgres, where there is nothing to do or something fails."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest

from spotify_buddies.clients.schedule import steps
from spotify_buddies.clients.schedule.leader import RUNNING
from spotify_buddies.clients.schedule.steps import TRAINING
from tests.clients.buddies_process import buddies, called
from tests.clients.schedule.conftest import Field


def retrain(place: Field, *words: str) -> Any:
    return called(
        "schedule", "retrain", *words, "--until", "2026-11-28T06:00:00Z", "--json", cwd=place.home,
        BUDDIES_POSTGRES_URL=place.url, BUDDIES_STATE_DIR=str(place.home),
    )  # fmt: skip


def test_without_a_cause_nothing_is_trained_and_a_training_that_fails_leaves_the_cause_pending(place: Field) -> None:
    done = retrain(place, "--when-caused")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"outcome": "no_cause", "cause": None})
    place.ask("INSERT INTO drift_causes (kind, message, began, seen) VALUES ('drift', 'genres', now(), now())")
    failed = retrain(place, "--when-caused")
    assert failed.returncode == 1
    assert "`buddies retrain run` failed with exit code" in failed.stderr
    assert place.ask("SELECT taken_at FROM drift_causes") == [(None,)]


@pytest.mark.parametrize(
    "said", ['{\n "outcome": "kept",\n "version": "7"\n}', '{"step": "extract"}\n{"outcome": "kept", "version": "7"}']
)
def test_a_cause_is_taken_by_the_retraining_that_succeeded_and_by_no_other(
    place: Field, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    asked: list[tuple[str, ...]] = []

    def answer(*arguments: str) -> Any:
        done = called(*arguments, "--json", cwd=place.home, BUDDIES_POSTGRES_URL=place.url)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def trained(*arguments: str) -> list[str]:
        """In the place of a training, which takes minutes: what it says in the end."""
        asked.append(arguments)
        return ["/bin/echo", said]

    monkeypatch.setattr(steps, "answer", answer)
    monkeypatch.setattr(steps, "command", trained)
    place.ask("INSERT INTO drift_causes (kind, message, began, seen) VALUES ('drift', 'genres', now(), now())")
    done = steps.retrain("30d", "2026-11-28T06:00:00Z", when_caused=True)
    assert (done["outcome"], done["version"], done["cause"]["message"]) == ("kept", "7", "genres")
    assert steps.retrain("30d", "2026-11-28T06:00:00Z", when_caused=True) == {"outcome": "no_cause", "cause": None}
    assert asked == [("retrain", "run", "--window", "30d", "--until", "2026-11-28T06:00:00Z", "--json")]
    assert place.ask("SELECT taken_by FROM drift_causes") == [("buddies schedule, kept",)]


def test_two_retrainings_never_run_at_the_same_time(place: Field) -> None:
    with psycopg.connect(place.url, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s, hashtext(%s))", (RUNNING, TRAINING))
        done = retrain(place)
    assert (done.returncode, done.stderr) == (1, "error: a retraining runs already; wait for its end\n")


def test_a_cause_is_shown_and_taken_once(place: Field) -> None:
    def drift(*words: str) -> Any:
        done = called("drift", *words, "--json", cwd=place.home, BUDDIES_POSTGRES_URL=place.url)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    place.ask("INSERT INTO drift_causes (kind, message, began, seen) VALUES ('drift', 'genres', now(), now())")
    cause = drift("cause")["cause"]
    assert (cause["kind"], cause["message"]) == ("drift", "genres")
    take = ("take", "--cause", str(cause["id"]), "--by", "a test", "--until", "2026-11-28T06:00:00Z")
    assert drift(*take) == {"taken": 1}
    assert drift("cause") == {"cause": None}
    assert drift(*take) == {"taken": 0}
    assert place.ask("SELECT kind, taken_by FROM drift_causes ORDER BY id") == [
        ("drift", "a test"),
        ("other", "a test"),
    ]


def test_migrate_says_what_it_applied(place: Field) -> None:
    place.ask("DROP SCHEMA public CASCADE")
    place.ask("CREATE SCHEMA public")

    def migrate() -> list[int]:
        done = called("store", "migrate", "--json", cwd=place.home, BUDDIES_POSTGRES_URL=place.url)
        return list(json.loads(done.stdout)["applied"])

    assert {1, 13} <= set(migrate())
    assert migrate() == []


def test_without_an_address_of_postgres_the_error_says_so(place: Field) -> None:
    done = buddies("schedule", "status", cwd=place.home)
    assert done.returncode == 1
    assert done.stderr == "error: no service runs in .buddies and BUDDIES_POSTGRES_URL is not set\n"
