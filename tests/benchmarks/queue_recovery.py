"""What a job costs the queue, and what a killed worker takes along: Celery's lists beside Redis Streams, in turn.

    python tests/benchmarks/queue_recovery.py                 1,000 jobs, five workers killed
    python tests/benchmarks/queue_recovery.py --jobs 3000 --kills 20

Both keep requests, attempts and answers as queue/jobs.py does, in a Valkey of their own, and answer each job with the
same few bytes. `lists` is what the queue uses: Celery's Redis transport, and our look for jobs that are nowhere.
`streams` is a consumer group: XREADGROUP takes a job and notes its worker in one step, XACK ends it, XAUTOCLAIM hands
on what a worker has not ended. Workers are killed (SIGKILL) at even distances while the jobs run and replaced at once.

`lost` are jobs that were in no list of the broker when everything else was done: what our look finds again.
`recovered s` is the time from the last kill until every job is answered. Processor ms a job are those of a worker that
is not killed. Medians of the rounds; nothing here is a test.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import psutil
from redis import Redis

from spotify_buddies.serve_app.embedded import valkey
from spotify_buddies.serve_app.queue.broker import Producer, application, broker_url, transport
from spotify_buddies.serve_app.queue.jobs import JOBS, TASK, Jobs
from spotify_buddies.serve_app.queue.settings import QueueSettings

STREAM, GROUP = "queue:bench:stream", "workers"
SETTINGS = QueueSettings(name="bench", redeliver_s=2, attempts=1_000)
ANSWER = b"answer" * 10
Figures = dict[str, float]


def submit_lists(redis: Redis, url: str, names: list[str]) -> None:
    """As `buddies queue submit`."""
    with Producer(SETTINGS, url, Jobs(redis, SETTINGS)) as producer:
        for name in names:
            producer.submit(name, b"request")


def submit_streams(redis: Redis, url: str, names: list[str]) -> None:
    """The same jobs into a stream."""
    del url
    jobs = Jobs(redis, SETTINGS)
    redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    for name in names:
        if jobs.record(name, b"request"):
            redis.xadd(STREAM, {"job": name})


def work_lists(url: str) -> None:
    """A Celery worker as Ray's adapter starts it: one thread, one message at a time."""
    app = application(SETTINGS, url)
    app.conf.update(
        broker_url=broker_url(url), broker_transport_options=transport(SETTINGS), worker_prefetch_multiplier=1,
        task_acks_late=True, task_reject_on_worker_lost=True, task_ignore_result=True,
    )  # fmt: skip
    jobs = Jobs(Redis.from_url(url), SETTINGS)

    @app.task(name=TASK)
    def recommend(job_id: str) -> None:
        if jobs.begin(job_id) is not None:
            jobs.finish(job_id, ANSWER)

    del recommend
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=ERROR"]
    app.worker_main(["worker", "--pool=threads", "--concurrency=1", f"--queues={JOBS}", *quiet])


def work_streams(url: str) -> None:
    """A consumer of the group, with what it would need and no more: no retries of errors, no dead letters."""
    redis = Redis.from_url(url)
    jobs, me = Jobs(redis, SETTINGS), f"worker-{os.getpid()}"
    claimed = 0.0

    def answer(message: bytes, fields: dict[bytes, bytes]) -> None:
        job_id = fields[b"job"].decode()
        if jobs.begin(job_id) is not None:
            jobs.finish(job_id, ANSWER)
        redis.xack(STREAM, GROUP, message)
        redis.xdel(STREAM, message)

    while True:
        if time.monotonic() - claimed > SETTINGS.redeliver_s / 4:
            claimed = time.monotonic()
            found = cast("Any", redis.xautoclaim(STREAM, GROUP, me, SETTINGS.redeliver_s * 1000, count=10))
            for message, fields in found[1]:
                answer(message, fields)
        taken = cast("Any", redis.xreadgroup(GROUP, me, {STREAM: ">"}, count=1, block=200))
        for _, messages in taken or ():
            for message, fields in messages:
                answer(message, fields)


WAYS: dict[str, tuple[Callable[[Redis, str, list[str]], None], Callable[[str], None]]] = {
    "lists": (submit_lists, work_lists),
    "streams": (submit_streams, work_streams),
}


def start(way: str, url: str) -> subprocess.Popen[bytes]:
    """A worker's process."""
    command = [sys.executable, str(Path(__file__).resolve()), "--worker", way, url]
    # Celery's banner.
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def until(condition: Callable[[], bool], within_s: float) -> bool:
    """Whether it held within that time."""
    end = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def measure(way: str, redis: Redis, url: str, count: int, kills: int) -> Figures:
    """One round with a worker that lives, and one in which workers are killed."""
    submit, _ = WAYS[way]
    jobs = Jobs(redis, SETTINGS)
    redis.flushdb()
    names = [f"job-{n}" for n in range(count)]
    before = time.process_time()
    submit(redis, url, names)
    submitted = time.process_time() - before
    worker = start(way, url)
    assert until(lambda: jobs.counts().answered >= 100, 60)
    times = psutil.Process(worker.pid).cpu_times()
    first, begun, cpu = jobs.counts().answered, time.monotonic(), times.user + times.system
    assert until(lambda: jobs.counts().answered >= count - 10, 120)
    times = psutil.Process(worker.pid).cpu_times()
    done, spent = jobs.counts().answered - first, time.monotonic() - begun
    figures = {
        "submit ms": submitted * 1e3 / count,
        "worker ms": (times.user + times.system - cpu) * 1e3 / done,
        "jobs/s": done / spent,
    }
    worker.kill()
    worker.wait()
    return figures | killed(way, redis, url, count, kills)


def killed(way: str, redis: Redis, url: str, count: int, kills: int) -> Figures:
    """Kill a worker every count / (kills + 1) answers."""
    submit, _ = WAYS[way]
    jobs = Jobs(redis, SETTINGS)
    redis.flushdb()
    submit(redis, url, [f"job-{n}" for n in range(count)])
    for number in range(kills):
        worker = start(way, url)
        # What is left to be taken over comes seconds later, so that few kills wait for it.
        assert until(lambda share=(number + 1) * count // (kills + 2): jobs.counts().answered >= share, 60)
        worker.kill()
        worker.wait()
    ended, worker = time.monotonic(), start(way, url)
    lost = 0
    names = [f"job-{n}" for n in range(count)]
    while open_ := jobs.unanswered(names):
        if until(lambda: not jobs.unanswered(names), 3.0 * SETTINGS.redeliver_s):
            break
        redis.delete("queue:bench:looked")
        found = jobs.lost() if way == "lists" else []
        if not found and time.monotonic() - ended > 60:
            raise SystemExit(f"{way}: {len(open_)} jobs are never answered")
        lost += len(found)
        with Producer(SETTINGS, url, jobs) as producer:
            for job_id in found:
                producer.retry(job_id)
    figures = {"lost": float(lost), "recovered s": time.monotonic() - ended}
    worker.kill()
    worker.wait()
    return figures


def main() -> None:
    """Measure and print; as a worker's process, answer jobs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1_000)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        way, url = given.worker
        WAYS[way][1](url)
        return
    rounds: dict[str, list[Figures]] = defaultdict(list)
    with (
        tempfile.TemporaryDirectory(prefix="queue-") as directory,
        valkey(Path(directory) / "data") as url,
        Redis.from_url(url) as redis,
    ):
        for _ in range(given.rounds):
            for way in WAYS:
                rounds[way].append(measure(way, redis, url, given.jobs, given.kills))
    for way, figures in rounds.items():
        told = "  ".join(f"{unit} {statistics.median(one[unit] for one in figures):8.2f}" for unit in figures[0])
        lost = sum(one["lost"] for one in figures)
        print(f"{way:<8} {told}  ({lost:.0f} lost in {given.rounds * given.kills} kills)")


if __name__ == "__main__":
    main()
