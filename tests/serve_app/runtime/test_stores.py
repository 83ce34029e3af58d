"""Which configured stores do not answer at the start, and what will not work without them."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from spotify_buddies.serve_app.runtime.stores import unreachable


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that is taken and not listened on: connections are refused, and nobody else can open it meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def test_stores_that_answer_or_are_not_configured_are_passed_over(postgres_url: str, redis_url: str) -> None:
    assert list(unreachable(postgres_url, redis_url)) == []
    assert list(unreachable(None, None)) == []


def test_an_unreachable_postgres_is_named_with_what_does_not_work_and_without_its_password(closed_port: int) -> None:
    (said,) = unreachable(f"postgresql://me:secret@127.0.0.1:{closed_port}/likes", None)
    assert f"127.0.0.1:{closed_port}" in said
    assert "is unreachable: Connection refused. Until it answers, " in said
    assert "Feedback is UNAVAILABLE, exclude_seen" in said
    assert "no rollout is followed" in said
    assert "secret" not in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("postgres", "redis"),
    [("postgresql://me:secret@a..b/likes", None), (None, "redis://:secret@a..b:6379/0"), (None, "redis://a:port/0")],
)
def test_an_address_that_can_be_none_is_said_like_one_that_does_not_answer(
    postgres: str | None, redis: str | None
) -> None:
    (said,) = unreachable(postgres, redis)
    assert " is unreachable: " in said
    assert "secret" not in said


def test_an_unreachable_redis_is_named_with_what_does_not_work_and_without_its_password(closed_port: int) -> None:
    (said,) = unreachable(None, f"redis://:secret@127.0.0.1:{closed_port}/0")
    assert f"127.0.0.1:{closed_port}" in said
    assert "is unreachable: Connection refused. Until it answers, " in said
    assert "daily lists are answered live and the queue takes no jobs" in said
    assert "secret" not in said
