"""A listener planted wherever one can stand, and a search for the id through every table, key and file."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from psycopg import sql
from redis import Redis

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.daily.run import run_daily
from spotify_buddies.serve_app.queue.broker import Producer
from spotify_buddies.serve_app.queue.jobs import Jobs
from spotify_buddies.serve_app.queue.settings import QueueSettings
from spotify_buddies.serve_app.store.actions import Feedback, Snooze
from spotify_buddies.serve_app.store.rights.places import Places
from spotify_buddies.trainer.bundle import Bundle

# Both are listeners of the generated bundle.
ID, OTHER = "user-7", "user-8"
KEY = b"a key for tests, 32 bytes long.."
QUEUE = QueueSettings(name="rights")
NOW = datetime.now(UTC)
# This week, the next two, and long ago, for which there is no week: the default partition.
TIMES = (NOW, NOW + timedelta(days=7), NOW + timedelta(days=14), NOW - timedelta(days=60))

_IMPRESSION = """
INSERT INTO impressions (at, recommendation_id, user_id, playlist_ids, model_version, arm, source, asked)
VALUES (%s, %s, %s, '{list-1}', '7', 'production', 'live', 'asked')
"""


@dataclass(frozen=True)
class Planted:
    """Where the two listeners are."""

    places: Places
    redis: Redis
    jobs: Jobs


def action(user_id: str, key: str, **said: Any) -> Feedback:
    return Feedback("rec", user_id, **{"liked": (), "ignored": (), "disliked": (), **said}, idempotency_key=key)


def actions(user_id: str) -> list[Feedback]:
    """Likes, dislikes and wishes; the keys hold the listener's id."""
    wish = Snooze("list-5", NOW + timedelta(days=9))
    return [
        action(user_id, f"{user_id}:1", liked=("list-1",), ignored=("list-2",), disliked=("list-3",)),
        action(user_id, f"{user_id}:2", snoozes=(wish,)),
    ]


def plant_rows(url: str) -> None:
    """Impressions of several weeks and of none, and rows of reactions and wishes where no week is."""
    with psycopg.connect(url, autocommit=True) as connection:
        for number, at in enumerate(TIMES):
            for user_id in (ID, OTHER):
                connection.execute(_IMPRESSION, (at, f"old-{number}", user_id))
        for user_id in (ID, OTHER):
            values = (TIMES[-1], 10_000, "rec", user_id, "list-9")
            connection.execute("INSERT INTO feedback (idempotency_key, at, rows) VALUES (%s, %s, 1)", (user_id, NOW))
            connection.execute("UPDATE feedback SET at = %s WHERE idempotency_key = %s", (TIMES[-1], user_id))
            ((number,),) = connection.execute(
                "SELECT id FROM feedback WHERE idempotency_key = %s", (user_id,)
            ).fetchall()
            values = (TIMES[-1], number, "rec", user_id, "list-9")
            connection.execute("INSERT INTO reactions VALUES (%s, %s, %s, %s, %s, 1, '7', 'production')", values)
            connection.execute("INSERT INTO wishes VALUES (%s, %s, %s, %s, %s, now())", values)


def plant_redis(redis: Redis, url: str, bundle: Bundle) -> Jobs:
    """Lists of the day of everybody, a job of the listener alone, one of both, and one that is answered."""
    run_daily(bundle, "7", redis, model="m", now=NOW, ttl_s=3_600, block_users=7)  # type: ignore[arg-type]
    jobs = Jobs(redis, QUEUE)
    with Producer(QUEUE, url, jobs).ready() as producer:
        producer.submit(f"{ID}-alone", request(ID))
        producer.submit("both", request(ID, OTHER))
        producer.submit("answered", request(OTHER, ID))
    found = [pb.Recommendation(user_id=user_id, recommendation_id="r") for user_id in (OTHER, ID)]
    jobs.finish("answered", pb.RecommendResponse(recommendations=found).SerializeToString())
    return jobs


def request(*user_ids: str) -> bytes:
    return pb.RecommendRequest(user_ids=user_ids).SerializeToString()


def plant_extract(state_dir: Path) -> Path:
    """Two row groups with both listeners, and a manifest beside that knows the file's hash."""
    import hashlib

    folder = state_dir / "retrain" / "2026-11"
    folder.mkdir(parents=True)
    path = folder / "blocks.parquet"
    table = pa.table({"user_id": [ID, OTHER, OTHER, ID, OTHER], "liked": ["a", "b", "c", "d", "e"]})
    pq.write_table(table, path, row_group_size=3)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps({"files": {path.name: {"sha256": sha256, "rows": 5}}}))
    return path


def in_postgres(url: str, user_id: str) -> list[str]:
    """Tables of any schema but Postgres' own with a row whose text, or bytes in it, hold the id."""
    found = []
    with psycopg.connect(url, autocommit=True) as connection:
        tables = connection.execute(
            "SELECT table_schema, table_name FROM information_schema.tables"
            " WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        assert len(tables) > 20, "partitions are among them"
        for schema, name in tables:
            query = sql.SQL("SELECT count(*) FROM {} AS t WHERE strpos(t::text, %s) > 0 OR strpos(t::text, %s) > 0")
            values = (user_id, user_id.encode().hex())
            ((count,),) = connection.execute(query.format(sql.Identifier(schema, name)), values).fetchall()
            found += [f"{schema}.{name}"] if count else []
    return sorted(found)


def in_redis(redis: Redis, user_id: str) -> list[str]:
    """Keys that hold the id in their name or their value; bodies of messages, which are in base64, are looked into."""
    readers: dict[bytes, Any] = {
        b"string": redis.get,
        b"hash": redis.hgetall,
        b"list": lambda key: redis.lrange(key, 0, -1),
        b"zset": lambda key: redis.zrange(key, 0, -1),
        b"set": redis.smembers,
    }
    found = []
    for key in redis.scan_iter(count=1_000):
        value = readers[redis.type(key)](key)  # type: ignore[index]
        flat: list[bytes] = [key]
        if isinstance(value, dict):
            flat += [*value.keys(), *value.values()]
        else:
            flat += value if isinstance(value, (list, set)) else [value]
        flat += [body for raw in flat if (body := _body(raw))]
        if any(user_id.encode() in raw for raw in flat):
            found.append(key.decode())
    return sorted(found)


def _body(raw: bytes) -> bytes:
    try:
        message = json.loads(raw)
        message = message[0] if isinstance(message, list) else message
        return base64.b64decode(message["body"])
    except (ValueError, KeyError, TypeError, IndexError):
        return b""


def in_files(directory: Path, user_id: str) -> list[str]:
    """Files with the id in their bytes, and Parquet files with it in a value: those are compressed."""
    return sorted(
        str(path.relative_to(directory))
        for path in directory.rglob("*")
        if path.is_file()
        and (
            user_id.encode() in path.read_bytes()
            or (path.suffix == ".parquet" and user_id in str(pq.read_table(path).to_pylist()))
        )
    )
