"""The stores that the settings name, asked once at the start."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from spotify_buddies.foundation.addresses import AddressKind, masked, scrubbed

ANSWER_WITHIN_S = 5
# What psycopg, libpq and redis-py put before the reason: the address again.
_ADDRESS = re.compile(
    r"^((connection (failed|is bad): )?connection to server (at|on) .*? failed:|Error -?\d+ connecting to \S+\.) "
)
# What does not work while a store is unreachable; all of it comes back with the store, without a restart.
WITHOUT = {
    AddressKind.POSTGRES: (
        "Feedback is UNAVAILABLE, exclude_seen and stored dislikes are left out, impressions wait in memory, "
        "and no rollout is followed"
    ),
    AddressKind.REDIS: "daily lists are answered live and the queue takes no jobs",
}


def unreachable(postgres_url: str | None, redis_url: str | None) -> Iterator[str]:
    """A sentence for each of these stores that does not answer: why, and what will not work. None: not asked."""
    checks: tuple[tuple[AddressKind, str | None, Callable[[str], str]], ...] = (
        (AddressKind.POSTGRES, postgres_url, _ask_postgres),
        (AddressKind.REDIS, redis_url, _ask_redis),
    )
    for kind, url, ask in checks:
        if url and (problem := ask(url)):
            reason = _ADDRESS.sub("", scrubbed(problem).splitlines()[0]).strip(" .")
            yield f"{masked(url, kind)} is unreachable: {reason}. Until it answers, {WITHOUT[kind]}"


def _ask_postgres(url: str) -> str:
    """Why it does not answer; empty: it does."""
    import psycopg

    try:
        psycopg.connect(url, connect_timeout=ANSWER_WITHIN_S).close()
    # ValueError: a host that is no name, such as a..b, which Python cannot encode.
    except (psycopg.Error, OSError, ValueError) as error:
        return str(error) or type(error).__name__
    return ""


def _ask_redis(url: str) -> str:
    """Why it does not answer; empty: it does."""
    from redis import Redis
    from redis.exceptions import RedisError

    try:
        with Redis.from_url(url, socket_connect_timeout=ANSWER_WITHIN_S, socket_timeout=ANSWER_WITHIN_S) as redis:
            redis.ping()
    except (RedisError, OSError, ValueError) as error:
        return str(error) or type(error).__name__
    return ""
