"""Jobs and their answers in Redis. The broker carries only ids, so a message may come twice, late or never.

queue:<name>:job:<id>      hash: request (RecommendRequest), attempts; lives for result_ttl_s
queue:<name>:answer:<id>   RecommendResponse, written once; lives for result_ttl_s
queue:<name>:answered      how many answers were written
queue:<name>:open          ids without an answer, by the Unix time at which they were last queued or begun
queue:<name>:looked        exists while a look for lost jobs is recent
queue:<name>:*             Celery's: the queues as lists, and messages that are not acknowledged
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from redis import Redis

from spotify_buddies.serve_app.queue.errors import JobConflict, JobFailed, UnprocessableJob
from spotify_buddies.serve_app.queue.settings import QueueSettings

TASK = "buddies.recommend"
JOBS, DEAD, UNPROCESSABLE = "jobs", "dead", "unprocessable"

# In one step, so that the count is the number of answers whatever ends the worker.
_ANSWER = """
redis.call('ZREM', KEYS[3], ARGV[3])
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'EX', ARGV[2]) then return redis.call('INCR', KEYS[2]) end
return 0
"""


@dataclass(frozen=True)
class Letter:
    """A dead letter. queue: DEAD (every attempt failed) or UNPROCESSABLE. raw: the message as it lies in Redis."""

    queue: str
    job_id: str
    error: str
    raw: bytes


@dataclass(frozen=True)
class JobCounts:
    """Jobs by state. taken: given to a worker and not acknowledged, including those that wait for a retry."""

    waiting: int
    taken: int
    answered: int
    dead: int
    unprocessable: int


class Jobs:
    """The store of one queue."""

    def __init__(self, redis: Redis, settings: QueueSettings) -> None:
        self._redis = redis
        self._settings = settings
        self._prefix = prefix(settings)
        self._answer = redis.register_script(_ANSWER)

    def record(self, job_id: str, request: bytes) -> bool:
        """Keep a request under an id; False: it is already answered. JobConflict: the id has another request."""
        key = self._key("job", job_id)
        self._redis.hsetnx(key, "request", request)
        self._redis.expire(key, self._settings.result_ttl_s)
        if self._redis.hget(key, "request") != request:
            raise JobConflict(
                f"job id {job_id!r} is already used for another request; use another id, or wait until it has expired"
            )
        if self._redis.exists(self._key("answer", job_id)):
            return False
        self._open(job_id)
        return True

    def is_known(self, job_id: str) -> bool:
        """Whether a request is kept under the id."""
        return bool(self._redis.hexists(self._key("job", job_id), "request"))

    def withdraw(self, job_id: str) -> None:
        """Close a job whose message did not reach the queue. Its request stays until it expires."""
        self._redis.zrem(f"{self._prefix}open", job_id)

    def begin(self, job_id: str) -> bytes | None:
        """Count an attempt and return the request; None: it is already answered.

        UnprocessableJob: its request has expired. JobFailed: its attempts are used up.
        """
        key = self._key("job", job_id)
        request = cast("bytes | None", self._redis.hget(key, "request"))
        if self._redis.exists(self._key("answer", job_id)):
            return None
        if request is None:
            raise UnprocessableJob("its request has expired")
        self._open(job_id)
        attempts = self._redis.hincrby(key, "attempts", 1)
        self._redis.expire(key, self._settings.result_ttl_s)
        if attempts > self._settings.attempts:
            raise JobFailed(f"the worker died in each of the {self._settings.attempts} attempts")
        return request

    def finish(self, job_id: str, answer: bytes) -> bool:
        """Keep the answer; False: another worker was first, and its answer stays."""
        keys = [self._key("answer", job_id), f"{self._prefix}answered", f"{self._prefix}open"]
        return bool(self._answer(keys=keys, args=[answer, self._settings.result_ttl_s, job_id]))

    def lost(self) -> list[str]:
        """Jobs whose message is lost, to be queued again: no answer, and not queued or begun for redeliver_s.

        Celery takes a message off the list and only then notes its worker; a worker killed in between loses it. That a
        message is nowhere is certain only while the queue is empty. Returns jobs to one caller in redeliver_s / 2, and
        a job again if it is still nowhere.
        """
        settings = self._settings
        every_ms = max(1, settings.redeliver_s * 500)
        if self._redis.llen(f"{self._prefix}{JOBS}") or not self._redis.set(
            f"{self._prefix}looked", b"", nx=True, px=every_ms
        ):
            return []
        old = cast(
            "list[bytes]", self._redis.zrangebyscore(f"{self._prefix}open", "-inf", self._now() - settings.redeliver_s)
        )
        if not old:
            return []
        taken = cast("Sequence[bytes]", self._redis.hvals(f"{self._prefix}unacked"))
        somewhere = {_task_id(raw) for raw in taken} | {letter.job_id for letter in self.letters()}
        lost = []
        for job_id in (raw.decode() for raw in old):
            if job_id in somewhere:
                continue
            if not self._redis.hexists(self._key("job", job_id), "request") or self._redis.exists(
                self._key("answer", job_id)
            ):
                self._redis.zrem(f"{self._prefix}open", job_id)
                continue
            self._open(job_id)
            lost.append(job_id)
        return lost

    def answer(self, job_id: str) -> bytes | None:
        """The serialized RecommendResponse; None: there is none, or it has expired."""
        return cast("bytes | None", self._redis.get(self._key("answer", job_id)))

    def unanswered(self, job_ids: Iterable[str]) -> list[str]:
        """The jobs without an answer, in the order given."""
        asked = list(job_ids)
        pipeline = self._redis.pipeline(transaction=False)
        for job_id in asked:
            pipeline.exists(self._key("answer", job_id))
        return [job_id for job_id, there in zip(asked, pipeline.execute(), strict=True) if not there]

    def counts(self) -> JobCounts:
        """The number of jobs in each state."""
        pipeline = self._redis.pipeline(transaction=False)
        for queue in (JOBS, DEAD, UNPROCESSABLE):
            pipeline.llen(f"{self._prefix}{queue}")
        pipeline.hlen(f"{self._prefix}unacked")
        pipeline.get(f"{self._prefix}answered")
        waiting, dead, unprocessable, taken, answered = pipeline.execute()
        return JobCounts(waiting, taken, int(answered or 0), dead, unprocessable)

    def letters(self) -> list[Letter]:
        """Every dead letter, the newest first of each queue."""
        return [
            _letter(queue, raw)
            for queue in (DEAD, UNPROCESSABLE)
            for raw in cast("Sequence[bytes]", self._redis.lrange(f"{self._prefix}{queue}", 0, -1))
        ]

    def revive(self, job_id: str) -> None:
        """Give a job all its attempts again. UnprocessableJob: its request has expired."""
        key = self._key("job", job_id)
        if not self._redis.hexists(key, "request"):
            raise UnprocessableJob(f"the request of job {job_id!r} has expired; submit it again")
        self._redis.hdel(key, "attempts")
        self._open(job_id)

    def discard(self, letter: Letter, *, forget: bool = True) -> None:
        """Remove a dead letter. forget: its job is cancelled; else it was queued again."""
        self._redis.lrem(f"{self._prefix}{letter.queue}", 1, cast(str, letter.raw))
        if forget and letter.job_id:
            self._redis.zrem(f"{self._prefix}open", letter.job_id)

    def _open(self, job_id: str) -> None:
        key = f"{self._prefix}open"
        self._redis.zadd(key, {job_id: self._now()})
        self._redis.expire(key, self._settings.result_ttl_s)

    def _now(self) -> float:
        # Redis' clock: that of one machine for all of them.
        seconds, microseconds = self._redis.time()
        return seconds + microseconds / 1e6

    def _key(self, kind: str, job_id: str) -> str:
        return f"{self._prefix}{kind}:{job_id}"


def prefix(settings: QueueSettings) -> str:
    """Common prefix of all keys of a queue, including Celery's."""
    return f"queue:{settings.name}:"


def _task_id(raw: bytes) -> str:
    """The job id in a message that Celery has given to a worker; empty where there is none."""
    try:
        return str(json.loads(raw)[0]["headers"]["id"])
    except (ValueError, KeyError, TypeError, IndexError):
        return ""


def _letter(queue: str, raw: bytes) -> Letter:
    """Read a message as the adapter writes it; its arguments are job id and error for our tasks, another order else."""
    try:
        message: dict[str, Any] = json.loads(raw)
        (first, second, _, fourth, *_), *_ = json.loads(base64.b64decode(message["body"]))
        ours = message["headers"]["task"] == TASK
    except (ValueError, KeyError, TypeError):
        return Letter(queue, "", "not a message of this queue", raw)
    return Letter(queue, str(first), str(second), raw) if ours else Letter(queue, str(second), str(fourth), raw)
