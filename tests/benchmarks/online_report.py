"""How long `buddies online report` takes over generated lists of ten playlists.

Run `python tests/benchmarks/online_report.py`; it has a Postgres of its own. Of --lists lists of the last week, from a
fifth as many listeners, all playlists of --reacted lists have a reaction, and half of the reactions are repeated two
weeks before, as the listeners' past.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

from spotify_buddies.serve_app.embedded import postgres
from spotify_buddies.serve_app.online.evaluation.read import open_logs
from spotify_buddies.serve_app.online.evaluation.window import Window
from spotify_buddies.serve_app.store.database.connections import connect
from spotify_buddies.serve_app.store.database.maintain import Retention, maintain
from spotify_buddies.serve_app.store.database.migrate import migrate

_LISTS = """
INSERT INTO impressions (at, recommendation_id, user_id, playlist_ids, model_version, arm, source, scores)
SELECT now() - interval '6.9 days' * (n::float8 / {lists}), md5(n::text), 'user-' || u,
  array(SELECT 'playlist-' || (power(random() + 0 * n, 3) * 50000)::int FROM generate_series(1, 10)),
  (7 + u % 2)::text, (ARRAY['production', 'canary'])[1 + u % 2],
  CASE WHEN n % 10 = 0 THEN 'daily' ELSE 'live' END, array_fill(1::real, ARRAY[10])
FROM (SELECT n, (random() * {lists} / 5)::int AS u FROM generate_series(1, {lists}) AS n) AS drawn
"""
_REACTIONS = """
INSERT INTO reactions
SELECT at + interval '5 minutes', 1, recommendation_id, user_id, playlist_id, (random() < 0.3)::int, model_version, arm
FROM (SELECT * FROM impressions LIMIT {reacted}) AS shown, unnest(playlist_ids) AS playlist_id
"""
_PAST = """
INSERT INTO reactions
SELECT at - interval '14 days', 1, 'earlier', user_id, playlist_id, score, '6', 'production'
FROM reactions WHERE random() < 0.5
"""
QUERIES = ("lists", "shown_to", "shown", "reacted", "ranks")


async def _prepare(url: str) -> None:
    async with await connect(url, connect_s=60.0) as connection:
        await migrate(connection)
        await maintain(connection, Retention())


def _generate(url: str, lists: int, reacted: int) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for query in (_LISTS, _REACTIONS, _PAST, "VACUUM ANALYZE"):
            connection.execute(query.format(lists=lists, reacted=reacted).encode())
        counts = "SELECT (SELECT count(*) FROM impressions), (SELECT count(*) FROM reactions)"
        print("lists, reactions:", connection.execute(counts.encode()).fetchone(), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lists", type=int, default=100_000)
    parser.add_argument("--reacted", type=int, default=100_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pg-") as directory, postgres(Path(directory) / "data") as url:
        asyncio.run(_prepare(url))
        _generate(url, asked.lists, asked.reacted)
        now = datetime.now(UTC)
        with open_logs(url, Window(now - timedelta(days=7), now, now - timedelta(days=35))) as logs:
            for name in QUERIES:
                begin = time.perf_counter()
                getattr(logs, name)()
                print(f"{name}: {time.perf_counter() - begin:.2f} s", flush=True)
        begin = time.perf_counter()
        command = [sys.executable, "-m", "spotify_buddies.clients.main", "online", "report"]
        subprocess.run(command, env=os.environ | {"BUDDIES_POSTGRES_URL": url}, check=True)
        print(f"the command: {time.perf_counter() - begin:.2f} s; load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
