"""Real workers of Ray Serve on a real broker. One Ray instance for all of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from redis import Redis

from spotify_buddies.foundation.process.children import left_of
from spotify_buddies.foundation.process.run_dir import OWNER
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.queue.broker import Producer, application
from spotify_buddies.serve_app.queue.jobs import DEAD, JOBS, UNPROCESSABLE, Jobs
from spotify_buddies.serve_app.queue.settings import QueueSettings
from spotify_buddies.serve_app.ranking.engine import Engine
from tests.strangers import reached
from tests.waiting import wait_until

pytestmark = pytest.mark.ray

HERE = Path(__file__).parent
WITHIN_S = 120.0


@pytest.fixture(scope="module")
def store(redis_url: str) -> Iterator[Redis]:
    """Emptied before the workers come, and never under them."""
    with Redis.from_url(redis_url) as client:
        client.flushdb()
        yield client


@pytest.fixture(scope="module")
def queue() -> QueueSettings:
    return QueueSettings(name="test", redeliver_s=2, attempts=2)


@pytest.fixture(scope="module")
def workers(
    bundle_dir: Path, tmp_path_factory: pytest.TempPathFactory, redis_url: str, queue: QueueSettings, store: Redis
) -> Iterator[subprocess.Popen[str]]:
    state = tmp_path_factory.mktemp("workers")
    command = [sys.executable, str(HERE / "poison.py"), str(bundle_dir), str(state), redis_url]
    path = os.pathsep.join([str(HERE), *filter(None, sys.path)])
    process = subprocess.Popen(
        [*command, queue.model_dump_json()], env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=WITHIN_S)
        process.stdout.close()
    alive = left_of(family, WITHIN_S)
    assert not alive, f"left running: {alive}"
    assert process.returncode == 0


def worker_of(process: subprocess.Popen[str]) -> psutil.Process | None:
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            if "ServeReplica:buddies-queue:QueueWorker" in " ".join(child.cmdline()):
                return child
        except psutil.NoSuchProcess:
            continue
    return None


def run_of(process: subprocess.Popen[str]) -> Path:
    """The directory of the workers' run."""
    (owner,) = (path for path in Path("/tmp").glob(f"b-*/{OWNER}") if path.read_text() == str(process.pid))
    return owner.parent


def test_another_user_reaches_nothing_of_running_workers(workers: subprocess.Popen[str]) -> None:
    assert reached([run_of(workers)], [workers.pid]) == []


def request(*users: str) -> bytes:
    return pb.RecommendRequest(user_ids=users, limit=3).SerializeToString(deterministic=True)


def test_every_job_is_answered_once_whatever_ends_the_worker_and_poison_ends_in_dead_letters(
    workers: subprocess.Popen[str], jobs: Jobs, queue: QueueSettings, redis_url: str, engine: Engine, store: Redis
) -> None:
    producer = Producer(queue, redis_url, jobs)
    users = [f"user-{user}" for user in range(59)]
    names = [f"batch.{i}" for i in range(100)]
    requests = {name: request(users[i % 59], users[(i + 1) % 59]) for i, name in enumerate(names)}
    for name, asked in requests.items():
        assert producer.submit(name, asked)

    # A worker that dies between taking a message and noting it takes it along: as if this one had been sent.
    names.append("batch.100")
    requests["batch.100"] = request(users[100 % 59], users[101 % 59])
    assert jobs.record("batch.100", requests["batch.100"])

    # In the middle of it the worker is killed.
    wait_until(lambda: jobs.counts().answered > 0, "the first answer", WITHIN_S)
    victim = worker_of(workers)
    assert victim is not None
    victim.kill()
    assert jobs.unanswered(names)
    wait_until(lambda: not jobs.unanswered(names), "all answers", WITHIN_S)
    assert jobs.counts().answered == len(names)
    for i, name in enumerate(names):
        answer = pb.RecommendResponse.FromString(jobs.answer(name) or b"")
        expected = engine.rank_known([users[i % 59], users[(i + 1) % 59]], 3, np.empty(0, np.int32))
        found = [[playlist.playlist_id for playlist in one.playlists] for one in answer.recommendations]
        assert found[0][0] == engine.bundle.playlist_ids.table[int(expected.rows[0, 0])]
        assert [one.user_id for one in answer.recommendations] == list(expected.user_ids)

    # The same again: nothing is queued, nothing changes.
    before = jobs.answer("batch.3")
    assert not producer.submit("batch.3", request(users[3], users[4]))
    assert (jobs.answer("batch.3"), jobs.counts().answered) == (before, 101)

    # Poison: raises at every attempt, ends the worker at every attempt, is no request, is a task of somebody else.
    producer.submit("raising", request("fails"))
    producer.submit("killing", request("kills"))
    producer.submit("invalid", pb.RecommendRequest(user_ids=["user-1"], limit=101).SerializeToString())
    producer.submit("garbage", b"\xff\xff")
    application(queue, redis_url).send_task("no.such.task", args=[], queue=JOBS, task_id="stranger")
    producer.submit("sound", request("user-1"))
    wait_until(lambda: len(jobs.letters()) == 5, "five dead letters", WITHIN_S)
    letters = {letter.job_id: letter for letter in jobs.letters()}
    assert {name: letter.queue for name, letter in letters.items()} == {
        "raising": DEAD,
        "killing": DEAD,
        "invalid": UNPROCESSABLE,
        "garbage": UNPROCESSABLE,
        "stranger": UNPROCESSABLE,
    }
    assert letters["raising"].error == "ZeroDivisionError: poison"
    assert "the worker died in each of the" in letters["killing"].error
    assert "limit" in letters["invalid"].error
    wait_until(lambda: jobs.answer("sound"), "the sound job beside them", WITHIN_S)
    assert jobs.answer("raising") is None

    # Queued again it has all its attempts, and fails again.
    producer.retry("raising")
    jobs.discard(letters["raising"])
    wait_until(lambda: len(jobs.letters()) == 5, "the dead letter again", WITHIN_S)
    assert store.hget("queue:test:job:raising", "attempts") == b"2"
