"""Everything that is held of a listener as one JSON document, written part by part."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from spotify_buddies.serve_app.store.rights.jobs import read_jobs
from spotify_buddies.serve_app.store.rights.lists import daily_lists, read_list
from spotify_buddies.serve_app.store.rights.places import Places
from spotify_buddies.serve_app.store.rights.rows import read_rows

FORMAT = 1


def export(places: Places, user_id: str) -> Iterator[str]:
    """The document in parts, in the order of its text; {"rows": {}} and so on of a listener of whom nothing is held.

    user_id, at (UTC), format; rows: by table, as they are in Postgres; daily_lists, jobs: in Redis, null without one;
    extracts: rows of the files for retraining. psycopg.Error, RedisError, OSError: what was yielded is no document.
    """
    head = {"format": FORMAT, "user_id": user_id, "at": datetime.now(UTC).isoformat()}
    yield json.dumps(head, ensure_ascii=False).removesuffix("}") + ',\n"rows": {'
    yield from _tables(places, user_id)
    yield "},\n"
    if places.redis_url is None:
        yield '"daily_lists": null,\n"jobs": null'
    else:
        with places.redis() as redis:
            yield '"daily_lists": '
            lists = ((one, read_list(redis, one)) for one in daily_lists(redis, user_id, places.finder()))
            yield from _array(
                {"version": one.version, "day": one.day, "playlists": playlists}
                for one, playlists in lists
                if playlists
            )
            yield ',\n"jobs": '
            yield from _array(read_jobs(redis, user_id))
    yield ',\n"extracts": '
    yield from _array(_extracts(places, user_id))
    yield "\n}\n"


def _tables(places: Places, user_id: str) -> Iterator[str]:
    table = ""
    for name, row in read_rows(places.postgres_url, user_id):
        if name != table:
            yield f"{']' if table else ''}{',' if table else ''}\n{json.dumps(name)}: [\n{row}"
        else:
            yield f",\n{row}"
        table = name
    if table:
        yield "]"


def _extracts(places: Places, user_id: str) -> Iterator[dict[str, Any]]:
    # Without extracts nobody needs what reads them.
    if places.extracts is None:
        return iter(())
    from spotify_buddies.serve_app.store.rights.extracts import read_extracts

    return read_extracts(places.extracts, user_id)


def _array(items: Iterator[dict[str, Any]]) -> Iterator[str]:
    first = next(items, None)
    if first is None:
        yield "[]"
        return
    yield "[\n"
    for place, item in enumerate(chain([first], items)):
        yield f"{',' if place else ''}{json.dumps(item, ensure_ascii=False, default=str)}\n"
    yield "]"
