"""What `buddies queue` prints, and what scripts get of it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import pytest
from click.testing import Result
from redis import Redis
from typer.testing import CliRunner

from spotify_buddies.clients.main import build_app
from spotify_buddies.serve_app.queue.jobs import DEAD, TASK, UNPROCESSABLE, Jobs
from spotify_buddies.serve_app.queue.settings import QueueSettings

Command = Callable[..., Result]


@pytest.fixture
def command(store: Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs `buddies queue` with an empty queue."""
    monkeypatch.setenv("BUDDIES_REDIS_URL", redis_url)
    return lambda *arguments: CliRunner().invoke(build_app(), ["queue", *arguments])


@pytest.fixture
def jobs(store: Redis) -> Jobs:
    return Jobs(store, QueueSettings())


def bury(store: Redis, job_id: str, queue: str = DEAD) -> None:
    """A dead letter as the adapter writes it."""
    body = base64.b64encode(json.dumps([[job_id, "ValueError: why", "", "", ""], {}, {}]).encode()).decode()
    store.rpush(f"queue:buddies:{queue}", json.dumps({"body": body, "headers": {"task": TASK}}))


def test_retry_prints_json_of_what_was_queued_and_what_could_not_be(command: Command, jobs: Jobs, store: Redis) -> None:
    jobs.record("monday.3", b"request")
    bury(store, "monday.3")
    bury(store, "expired", UNPROCESSABLE)
    done = command("retry", "--all", "--json")
    assert json.loads(done.stdout) == {
        "queued": ["monday.3"],
        "forgotten": [],
        "failed": [
            {
                "queue": "unprocessable",
                "job": "expired",
                "error": "the request of job 'expired' has expired; submit it again",
            }
        ],
    }
    assert (done.exit_code, done.stderr) == (1, "")
    assert (jobs.counts().waiting, [letter.job_id for letter in jobs.letters()]) == (1, ["expired"])


def test_retry_prints_json_of_what_was_forgotten(command: Command, jobs: Jobs, store: Redis) -> None:
    bury(store, "a")
    bury(store, "b")
    done = command("retry", "b", "--drop", "--json")
    assert json.loads(done.stdout) == {"queued": [], "forgotten": ["b"], "failed": []}
    assert done.exit_code == 0
    assert (jobs.counts().waiting, [letter.job_id for letter in jobs.letters()]) == (0, ["a"])


def test_retry_of_nothing_prints_empty_lists(command: Command) -> None:
    assert json.loads(command("retry", "--all", "--json").stdout) == {"queued": [], "forgotten": [], "failed": []}


def test_retry_tells_people_why_a_job_cannot_be_queued(command: Command, store: Redis) -> None:
    bury(store, "expired")
    done = command("retry", "expired")
    assert done.stderr == "expired: the request of job 'expired' has expired; submit it again\n"
    assert done.stdout == "0 of 1 dead letters queued again\n"
    assert done.exit_code == 1


def test_dead_letters_are_a_table(command: Command, store: Redis) -> None:
    assert command("dead").stdout == "0 dead letters\n"
    bury(store, "monday.3")
    bury(store, "x", UNPROCESSABLE)
    lines = [line.split() for line in command("dead").stdout.splitlines()]
    assert lines == [
        ["2", "dead", "letters"],
        ["queue", "job", "error"],
        ["dead", "monday.3", "ValueError:", "why"],
        ["unprocessable", "x", "ValueError:", "why"],
    ]
