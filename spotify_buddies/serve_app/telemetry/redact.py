"""What logs may say: listeners by a keyed hash, stores' errors without the values they were given."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from functools import cache
from pathlib import Path

import psycopg

from spotify_buddies.foundation.addresses import scrubbed

TOKEN_PATH = "RAY_AUTH_TOKEN_PATH"  # noqa: S105 - a variable's name
_PURPOSE = b"user ids in logs"
# libpq quotes what it could not use, which of an address that was read wrongly is a part of the password. Hosts,
# sockets and names stay where they are plain.
_QUOTED = re.compile(
    r"""(server at |resolve host |host name |socket |user |database |role )?(["'])(.*?)\2""", re.DOTALL
)
_PLAIN = re.compile(r"[\w.:/-]+")


def hash_id(user_id: str) -> str:
    """12 hex digits that stand for a listener: the same in all logs of one state directory, and in no other's.

    HMAC-SHA256 with a key of its own, derived from the state directory's token, so that ids cannot be tried out
    without it. In a process without the token the key is random and dies with the process.
    """
    return hmac.new(_key(), user_id.encode(), hashlib.sha256).hexdigest()[:12]


def store_error(error: psycopg.Error) -> str:
    """A Postgres error for the log: its kind and its message, without the detail that repeats rows and ids.

    What the driver itself refuses is named by its kind alone: it may repeat the address, password and all. Of a failed
    connection it says where the server was looked for.
    """
    kind = type(error).__name__
    if error.diag.message_primary:
        return f"{kind}: {error.diag.message_primary} (SQLSTATE {error.sqlstate})"
    if isinstance(error, psycopg.OperationalError):
        return f"{kind}: {_QUOTED.sub(_unquoted, scrubbed(str(error)))}"
    return kind


def cause(error: Exception) -> str:
    """Any error of a store for the log: as store_error, and others by their kind alone."""
    return store_error(error) if isinstance(error, psycopg.Error) else type(error).__name__


def _unquoted(found: re.Match[str]) -> str:
    told, mark, said = found.groups()
    return f"{told or ''}{mark}{said if told and _PLAIN.fullmatch(said) else '***'}{mark}"


@cache
def _key() -> bytes:
    path = os.environ.get(TOKEN_PATH)
    if path is None or not Path(path).is_file():
        return secrets.token_bytes(32)
    return hmac.new(Path(path).read_bytes(), _PURPOSE, hashlib.sha256).digest()
