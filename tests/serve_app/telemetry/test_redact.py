"""What logs say of listeners and of stores."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from spotify_buddies.serve_app.errors import FeedbackUnavailable
from spotify_buddies.serve_app.settings.services import Services
from spotify_buddies.serve_app.store.actions import Feedback
from spotify_buddies.serve_app.store.store import Store, StoreSettings
from spotify_buddies.serve_app.telemetry.redact import TOKEN_PATH, hash_id, store_error

LISTENER = "listener-4e6a1"


def hashed(token: Path) -> str:
    code = f"from spotify_buddies.serve_app.telemetry.redact import hash_id; print(hash_id({LISTENER!r}))"
    environment = {**os.environ, TOKEN_PATH: str(token), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_a_listener_has_one_hash_in_a_state_directory_and_another_in_the_next(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(f"token {name}")
    found = [hashed(tmp_path / name) for name in ("a", "a", "b")]
    assert found[0] == found[1] != found[2]
    assert all(len(one) == 12 for one in found)
    assert hash_id("") != hash_id(LISTENER) == hash_id(LISTENER)


def test_an_error_of_postgres_is_told_without_the_row_that_it_repeats(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TEMP TABLE once (user_id text PRIMARY KEY)")
        connection.execute("INSERT INTO once VALUES (%s)", (LISTENER,))
        with pytest.raises(psycopg.errors.UniqueViolation) as caught:
            connection.execute("INSERT INTO once VALUES (%s)", (LISTENER,))
    assert LISTENER in str(caught.value)
    said = store_error(caught.value)
    assert said == 'UniqueViolation: duplicate key value violates unique constraint "once_pkey" (SQLSTATE 23505)'


def test_an_address_that_the_driver_refuses_is_not_repeated() -> None:
    with pytest.raises(psycopg.ProgrammingError) as caught:
        psycopg.connect("postgrsql://app:s3cret@db/x")
    assert "s3cret" in str(caught.value)
    assert store_error(caught.value) == "ProgrammingError"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://app:Summer@2026!@db.invalid/x",
        "postgresql://app:Summer 2026@Spring@db.invalid/x",
        "service=Summer",
        "host=/nowhere sslmode=Summer",
    ],
)
def test_what_libpq_took_for_a_host_or_a_name_is_not_repeated(url: str) -> None:
    with pytest.raises(psycopg.Error) as caught:
        psycopg.connect(url, connect_timeout=2)
    said = store_error(caught.value)
    assert said.startswith(type(caught.value).__name__)
    assert not [part for part in ("Sum", "mer", "202", "026", "Spr", "ing@") if part in said]


def test_passwords_are_not_printed_with_the_services() -> None:
    assert "s3cret" not in repr(Services("postgresql://a:s3cret@b/c", "redis://:s3cret@d", "https://e:s3cret@f"))


async def fail(url: str) -> None:
    async with Store(url, StoreSettings(timeout_s=5.0)) as store:
        await store.store(Feedback("r1", LISTENER, ("p1",), (), (), "key"))


def test_a_feedback_that_is_lost_is_logged_without_listener_and_password(caplog: pytest.LogCaptureFixture) -> None:
    import asyncio

    with caplog.at_level(logging.WARNING), pytest.raises(FeedbackUnavailable):
        asyncio.run(fail("postgresql://app:s3cret@127.0.0.1:1/x"))
    assert f"#{hash_id(LISTENER)}" in caplog.text
    assert "127.0.0.1" in caplog.text
    assert LISTENER not in caplog.text
    assert "s3cret" not in caplog.text
