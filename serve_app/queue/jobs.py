"""Jobs and their answers in Redis. The broker carries ids alone, so a message may come twice, late or never again.

queue:<name>:job:<id>      hash: request (RecommendRequest), attempts; lives for result_ttl_s
queue:<name>:answer:<id>   RecommendResponse, written once; lives for result_ttl_s
queue:<name>:answered      how many answers were written
queue:<name>:*             what Celery keeps: the queues as lists, and messages that are not acknowledged
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from redis import Redis

from serve_app.queue.errors import JobConflict, JobFailed, UnprocessableJob
from serve_app.queue.settings import QueueSettings

TASK = "buddies.recommend"
JOBS, DEAD, UNPROCESSABLE = "jobs", "dead", "unprocessable"

# Together, so that the count is the number of answers whatever ends the worker.
_ANSWER = """
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
class Counts:
    """Jobs by where they are. taken: given to a worker and not acknowledged, those that wait for a retry among them."""

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
        """Keep a request under an id; False: it is answered already. JobConflict: the id has another request."""
        key = self._key("job", job_id)
        self._redis.hsetnx(key, "request", request)
        self._redis.expire(key, self._settings.result_ttl_s)
        if self._redis.hget(key, "request") != request:
            raise JobConflict(f"job {job_id!r} has another request; take another id, or wait until it has expired")
        return not self._redis.exists(self._key("answer", job_id))

    def begin(self, job_id: str) -> bytes | None:
        """Count an attempt and return the request; None: it is answered already.

        UnprocessableJob: there is no such job any more. JobFailed: its attempts are used up.
        """
        key = self._key("job", job_id)
        request = cast("bytes | None", self._redis.hget(key, "request"))
        if self._redis.exists(self._key("answer", job_id)):
            return None
        if request is None:
            raise UnprocessableJob("its request is not in Redis any more")
        attempts = self._redis.hincrby(key, "attempts", 1)
        self._redis.expire(key, self._settings.result_ttl_s)
        if attempts > self._settings.attempts:
            raise JobFailed(
                f"{self._settings.attempts} attempts ended without an answer or an error: they end the worker"
            )
        return request

    def finish(self, job_id: str, answer: bytes) -> bool:
        """Keep the answer; False: another worker was first, and its answer stays."""
        keys = [self._key("answer", job_id), f"{self._prefix}answered"]
        return bool(self._answer(keys=keys, args=[answer, self._settings.result_ttl_s]))

    def answer(self, job_id: str) -> bytes | None:
        """The serialized RecommendResponse; None: there is none, or not any more."""
        return cast("bytes | None", self._redis.get(self._key("answer", job_id)))

    def unanswered(self, job_ids: Iterable[str]) -> list[str]:
        """Those without an answer."""
        asked = list(job_ids)
        pipeline = self._redis.pipeline(transaction=False)
        for job_id in asked:
            pipeline.exists(self._key("answer", job_id))
        return [job_id for job_id, there in zip(asked, pipeline.execute(), strict=True) if not there]

    def counts(self) -> Counts:
        """How many jobs there are, by where they are."""
        pipeline = self._redis.pipeline(transaction=False)
        for queue in (JOBS, DEAD, UNPROCESSABLE):
            pipeline.llen(f"{self._prefix}{queue}")
        pipeline.hlen(f"{self._prefix}unacked")
        pipeline.get(f"{self._prefix}answered")
        waiting, dead, unprocessable, taken, answered = pipeline.execute()
        return Counts(waiting, taken, int(answered or 0), dead, unprocessable)

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

    def discard(self, letter: Letter) -> None:
        """Take a dead letter away."""
        self._redis.lrem(f"{self._prefix}{letter.queue}", 1, cast(str, letter.raw))

    def _key(self, kind: str, job_id: str) -> str:
        return f"{self._prefix}{kind}:{job_id}"


def prefix(settings: QueueSettings) -> str:
    """What every key of a queue begins with, Celery's own among them."""
    return f"queue:{settings.name}:"


def _letter(queue: str, raw: bytes) -> Letter:
    """Read a message of Celery's as the adapter writes it: of a task of ours its id and error, else what there is."""
    try:
        message: dict[str, Any] = json.loads(raw)
        (first, second, _, fourth, *_), *_ = json.loads(base64.b64decode(message["body"]))
        ours = message["headers"]["task"] == TASK
    except (ValueError, KeyError, TypeError):
        return Letter(queue, "", "not a message of this queue", raw)
    return Letter(queue, str(first), str(second), raw) if ours else Letter(queue, str(second), str(fourth), raw)
