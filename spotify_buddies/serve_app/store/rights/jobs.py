"""A listener in the queue's entries in Redis; their layout: spotify_buddies/serve_app/queue/jobs.py.

Jobs of all queues are looked through: a job's name says nothing of its listeners.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any, cast

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from redis import Redis

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb

JOBS, ANSWERS = "queue:*:job:*", "queue:*:answer:*"
LISTS = ("jobs", "dead", "unprocessable")
_COUNT = 1_000


def read_jobs(redis: Redis, user_id: str) -> Iterator[dict[str, Any]]:
    """What jobs ask of a listener and what they were answered, without their other listeners. RedisError."""
    for key, queue, job in _keys(redis, JOBS, ":job:"):
        request = _request(redis, key)
        if request is not None and _asks(request, user_id):
            tastes = [MessageToDict(taste) for taste in request.tastes if taste.user_id == user_id]
            yield {"queue": queue, "job": job, "tastes": tastes}
    for key, queue, job in _keys(redis, ANSWERS, ":answer:"):
        answer = _answer(redis, key)
        for one in () if answer is None else answer.recommendations:
            if one.user_id == user_id:
                yield {"queue": queue, "job": job, "answer": MessageToDict(one)}


def erase_jobs(redis: Redis, user_id: str) -> dict[str, int]:
    """Take a listener out of jobs and answers, and delete jobs of nobody else; counts. Safe to repeat. RedisError.

    Other listeners of a job keep their answers. A job that a worker has taken may still be answered as it was asked.
    """
    counts = {"jobs": 0, "answers": 0}
    for key, queue, job in _keys(redis, JOBS, ":job:"):
        request = _request(redis, key)
        if request is None or not _asks(request, user_id):
            continue
        counts["jobs"] += 1
        rest = pb.RecommendRequest()
        rest.CopyFrom(request)
        del rest.user_ids[:], rest.tastes[:]
        rest.user_ids.extend(one for one in request.user_ids if one != user_id)
        rest.tastes.extend(taste for taste in request.tastes if taste.user_id != user_id)
        if rest.user_ids or rest.tastes:
            # Only where it is still kept: an expired job must not live again.
            if redis.hexists(key, "request"):
                redis.hset(key, "request", rest.SerializeToString())
        else:
            counts["answers"] += _delete(redis, queue, job)
    for key, _, _ in _keys(redis, ANSWERS, ":answer:"):
        answer = _answer(redis, key)
        if answer is None or all(one.user_id != user_id for one in answer.recommendations):
            continue
        counts["answers"] += 1
        kept = [one for one in answer.recommendations if one.user_id != user_id]
        redis.set(key, pb.RecommendResponse(recommendations=kept).SerializeToString(), xx=True, keepttl=True)
    return counts


def _delete(redis: Redis, queue: str, job: str) -> int:
    """Delete a job with its messages; returns how many answers there were."""
    for name in LISTS:
        for raw in cast("list[bytes]", redis.lrange(f"{queue}:{name}", 0, -1)):
            if job in _jobs_of(raw):
                redis.lrem(f"{queue}:{name}", 0, cast(str, raw))
    for tag, raw in cast("dict[bytes, bytes]", redis.hgetall(f"{queue}:unacked")).items():
        if job in _jobs_of(raw):
            redis.hdel(f"{queue}:unacked", cast(str, tag))
            redis.zrem(f"{queue}:unacked_index", tag)
    redis.zrem(f"{queue}:open", job)
    redis.unlink(f"{queue}:job:{job}", f"{queue}:celery-task-meta-{job}")
    return redis.unlink(f"{queue}:answer:{job}")


def _jobs_of(raw: bytes) -> set[str]:
    """The job ids that a message may be about: its own id, and its first argument."""
    try:
        message = json.loads(raw)
        message = message[0] if isinstance(message, list) else message
        named = {str(message["headers"]["id"])}
        arguments = json.loads(base64.b64decode(message["body"]))[0]
        return named | {str(argument) for argument in arguments[:2]}
    except (ValueError, KeyError, TypeError, IndexError):
        return set()


def _keys(redis: Redis, pattern: str, between: str) -> Iterator[tuple[bytes, str, str]]:
    """Keys with the queue's prefix and the job's id. No name of a queue holds a colon."""
    for key in redis.scan_iter(match=pattern, count=_COUNT):
        queue, found, job = key.decode(errors="replace").partition(between)
        if found:
            yield key, queue, job


def _request(redis: Redis, key: bytes) -> pb.RecommendRequest | None:
    raw = cast("bytes | None", redis.hget(cast(str, key), "request"))
    try:
        return None if raw is None else pb.RecommendRequest.FromString(raw)
    except DecodeError:
        return None


def _answer(redis: Redis, key: bytes) -> pb.RecommendResponse | None:
    raw = cast("bytes | None", redis.get(key))
    try:
        return None if raw is None else pb.RecommendResponse.FromString(raw)
    except DecodeError:
        return None


def _asks(request: pb.RecommendRequest, user_id: str) -> bool:
    return user_id in request.user_ids or any(taste.user_id == user_id for taste in request.tastes)
