from __future__ import annotations

import base64
import json
import time

import pytest
from redis import Redis

from spotify_buddies.serve_app.queue.broker import broker_url, tls
from spotify_buddies.serve_app.queue.errors import JobConflict, JobFailed, UnprocessableJob
from spotify_buddies.serve_app.queue.jobs import DEAD, TASK, JobCounts, Jobs, Letter
from spotify_buddies.serve_app.queue.settings import QueueSettings


@pytest.fixture
def queue() -> QueueSettings:
    """Longer times than a busy machine takes between two lines."""
    return QueueSettings(name="test", redeliver_s=600, attempts=2)


def test_the_first_answer_stays_and_is_counted_once(jobs: Jobs) -> None:
    assert jobs.record("a", b"request")
    assert jobs.begin("a") == b"request"
    assert jobs.finish("a", b"first")
    assert not jobs.finish("a", b"second")
    assert (jobs.answer("a"), jobs.counts()) == (b"first", JobCounts(0, 0, 1, 0, 0))


def test_an_answered_job_is_not_begun_or_queued_again(jobs: Jobs) -> None:
    jobs.record("a", b"request")
    jobs.finish("a", b"answer")
    assert jobs.begin("a") is None
    assert not jobs.record("a", b"request")


def test_a_job_that_is_not_answered_may_be_recorded_again(jobs: Jobs) -> None:
    assert jobs.record("a", b"request")
    assert jobs.record("a", b"request")


def test_an_id_belongs_to_one_request(jobs: Jobs) -> None:
    jobs.record("a", b"request")
    with pytest.raises(JobConflict, match="'a' is already used for another request"):
        jobs.record("a", b"another")
    assert jobs.begin("a") == b"request"


def test_attempts_are_counted_and_end(jobs: Jobs) -> None:
    jobs.record("a", b"request")
    assert [jobs.begin("a"), jobs.begin("a")] == [b"request"] * 2
    with pytest.raises(JobFailed, match="2 attempts"):
        jobs.begin("a")
    jobs.revive("a")
    assert jobs.begin("a") == b"request"


def test_a_job_that_is_not_there_cannot_be_processed(jobs: Jobs) -> None:
    with pytest.raises(UnprocessableJob, match="request has expired"):
        jobs.begin("never")
    with pytest.raises(UnprocessableJob, match="submit it again"):
        jobs.revive("never")


def test_unanswered_keeps_the_order(jobs: Jobs) -> None:
    assert jobs.unanswered([]) == []
    jobs.finish("b", b"answer")
    assert jobs.unanswered(["c", "b", "a"]) == ["c", "a"]


def test_a_job_that_is_nowhere_is_told_once_in_a_while(jobs: Jobs, store: Redis, queue: QueueSettings) -> None:
    def look(age_s: float = 3_000.0) -> list[str]:
        store.delete("queue:test:looked")
        store.zadd("queue:test:open", {name: time.time() - age_s for name in store.zrange("queue:test:open", 0, -1)})
        return jobs.lost()

    for job in ("nowhere", "taken", "dead", "answered", "expired"):
        jobs.record(job, b"request")
    jobs.finish("answered", b"answer")
    store.delete("queue:test:job:expired")
    store.hset("queue:test:unacked", "tag", json.dumps([{"headers": {"id": "taken"}}, "", "jobs"]))
    body = base64.b64encode(json.dumps([["dead", "why", "", "", ""], {}, {}]).encode()).decode()
    store.lpush("queue:test:dead", json.dumps({"body": body, "headers": {"task": TASK}}))
    assert look(age_s=queue.redeliver_s / 2) == []
    assert look() == ["nowhere"]
    assert jobs.lost() == []
    store.delete("queue:test:looked")
    assert jobs.lost() == [], "it was queued again a moment ago"
    assert store.zscore("queue:test:open", "expired") is None
    store.lpush("queue:test:jobs", "a message")
    assert look() == [], "what waits may be it"
    store.delete("queue:test:jobs")
    (letter,) = jobs.letters()
    jobs.discard(letter)
    assert look() == ["nowhere"]
    jobs.finish("nowhere", b"answer")
    assert look() == []


def test_jobs_and_answers_expire(jobs: Jobs, store: Redis, queue: QueueSettings) -> None:
    jobs.record("a", b"request")
    jobs.finish("a", b"answer")
    for key in ("queue:test:job:a", "queue:test:answer:a"):
        assert 0 < store.ttl(key) <= queue.result_ttl_s


def test_queues_of_other_names_do_not_meet(jobs: Jobs, store: Redis) -> None:
    jobs.finish("a", b"answer")
    other = Jobs(store, QueueSettings(name="other"))
    assert (other.answer("a"), other.counts()) == (None, JobCounts(0, 0, 0, 0, 0))


@pytest.mark.parametrize("raw", [b"", b"{}", b"[1]", b'{"body": "e30="}', b'{"body": "W10="}', b"\xff"])
def test_a_message_of_another_form_is_shown_and_can_be_dropped(jobs: Jobs, store: Redis, raw: bytes) -> None:
    store.lpush("queue:test:dead", raw)
    (letter,) = jobs.letters()
    assert letter == Letter(DEAD, "", "not a message of this queue", raw)
    jobs.discard(letter)
    assert jobs.letters() == []


@pytest.mark.parametrize(
    ("redis", "celery"),
    [
        ("redis://:secret@host:6379/2", "redis://:secret@host:6379/2"),
        ("redis://me:p%40s%2Fs%20x@host", "redis://me:p%40s%2Fs%20x@host:6379/0"),
        ("redis://host/1?db=3&password=p%40ss", "redis://:p%40ss@host:6379/3"),
        ("redis://[::1]:7/1", "redis://[::1]:7/1"),
        ("rediss://host:6379/0", "rediss://host:6379/0"),
        ("rediss://:a@host:6379/0?ssl_ca_certs=c.pem&ssl_check_hostname=false", "rediss://:a@host:6379/0"),
        ("unix:///run/valkey.sock", "redis+socket:///run/valkey.sock?virtual_host=0"),
        ("unix://:secret@/run/valkey.sock?db=3", "redis+socket://:secret@/run/valkey.sock?virtual_host=3"),
    ],
)
def test_addresses_are_written_as_celery_reads_them(redis: str, celery: str) -> None:
    assert broker_url(redis) == celery


def test_options_of_tls_keep_their_types_and_the_certificate_is_asked_for() -> None:
    options = {"ssl_ca_certs": "c d.pem", "ssl_check_hostname": False, "ssl_cert_reqs": "required"}
    assert tls("rediss://host?ssl_ca_certs=c%20d.pem&ssl_check_hostname=false") == {
        "broker_use_ssl": options,
        "redis_backend_use_ssl": options,
    }
    assert tls("redis://host") == tls("unix:///run/valkey.sock") == {}
