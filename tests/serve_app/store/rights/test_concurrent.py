"""An erasure and what others do with the same listener at the same time."""

from __future__ import annotations

import threading
from typing import Any

import psycopg
import pytest

from spotify_buddies.serve_app.store.rights.rows import Erasure, erase_rows
from tests.serve_app.store.rights.planted import ID, OTHER
from tests.waiting import WITHIN_S, wait_until

# Of other transactions of the store: they hold until they end what an erasure must wait for.
FEEDBACK = ("SELECT admit_feedback(%s, '', 'key')", (ID,))
IMPRESSIONS = ("SELECT enter_impressions()", ())
_WAITS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


class Erasing(threading.Thread):
    """An erasure in a thread."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self.done: Erasure | None = None

    def run(self) -> None:
        self.done = erase_rows(self._url, ID, b"listener", b"key")


@pytest.mark.parametrize("statement", [FEEDBACK, IMPRESSIONS], ids=["feedback", "impressions"])
def test_an_erasure_waits_for_what_is_being_stored_of_the_listener_and_takes_it_too(
    maintained: Any, statement: Any
) -> None:
    erasing = Erasing(maintained.url)
    with psycopg.connect(maintained.url) as storing:
        storing.execute(*statement)
        storing.execute("INSERT INTO blocks (user_id, playlist_id, disliked) VALUES (%s, 'x', true)", (ID,))
        storing.execute("INSERT INTO impressions VALUES (now(), 'r', %s, '{x}', '7', 'production', 'live')", (ID,))
        erasing.start()
        wait_until(lambda: maintained.ask(_WAITS) == [(1,)], "the erasure waits")
        assert erasing.done is None
        storing.commit()
    erasing.join(WITHIN_S)
    assert erasing.done is not None
    assert erasing.done.rows["impressions"] == 1
    assert maintained.count("impressions") == 0


def test_feedback_of_others_does_not_wait_for_an_erasure(maintained: Any) -> None:
    with psycopg.connect(maintained.url) as storing:
        storing.execute("SELECT admit_feedback(%s, '', 'key')", (OTHER,))
        erasing = Erasing(maintained.url)
        erasing.start()
        erasing.join(WITHIN_S)
        assert erasing.done is not None


def test_a_table_of_a_release_to_come_is_erased_as_the_others(maintained: Any) -> None:
    maintained.ask("CREATE TABLE later (user_id text, at timestamptz, note jsonb)")
    maintained.ask("INSERT INTO later VALUES (%s, now(), '{}'), (%s, now(), '{}')", ID, OTHER)
    done = erase_rows(maintained.url, ID, b"listener", b"key")
    assert done.rows["later"] == 1
    assert maintained.ask("SELECT user_id FROM later") == [(OTHER,)]
