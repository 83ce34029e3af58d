"""Redaction of logs: users as a keyed hash, errors of stores without the values they were given."""

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
# libpq quotes what it could not use. Of an address that was parsed wrongly, that can be a part of the password. Plain
# hosts, sockets and names stay.
_QUOTED = re.compile(
    r"""(server at |resolve host |host name |socket |user |database |role )?(["'])(.*?)\2""", re.DOTALL
)
_PLAIN = re.compile(r"[\w.:/-]+")


def hash_id(user_id: str) -> str:
    """12 hexadecimal digits for a user: the same in all logs of one state directory, and in no other's.

    HMAC-SHA256 with a key of its own, derived from the state directory's token, so that ids cannot be guessed
    without it. A process without the token uses a random key of its own.
    """
    return hmac.new(_key(), user_id.encode(), hashlib.sha256).hexdigest()[:12]


def store_error(error: psycopg.Error) -> str:
    """A Postgres error for the log: kind and message, without the detail that repeats rows and ids.

    Of the driver's own errors only the kind, since the text may repeat the address with its password; of a failed
    connection also where the server was sought.
    """
    kind = type(error).__name__
    if error.diag.message_primary:
        return f"{kind}: {error.diag.message_primary} (SQLSTATE {error.sqlstate})"
    if isinstance(error, psycopg.OperationalError):
        return f"{kind}: {_QUOTED.sub(_unquoted, scrubbed(str(error)))}"
    return kind


def cause(error: Exception) -> str:
    """Any error of a store for the log: as store_error; of other errors only the kind."""
    return store_error(error) if isinstance(error, psycopg.Error) else type(error).__name__


def _unquoted(match: re.Match[str]) -> str:
    prefix, mark, quoted = match.groups()
    return f"{prefix or ''}{mark}{quoted if prefix and _PLAIN.fullmatch(quoted) else '***'}{mark}"


@cache
def _key() -> bytes:
    path = os.environ.get(TOKEN_PATH)
    if path is None or not Path(path).is_file():
        return secrets.token_bytes(32)
    return hmac.new(Path(path).read_bytes(), _PURPOSE, hashlib.sha256).digest()
