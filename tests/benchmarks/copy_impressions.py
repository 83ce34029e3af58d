"""What writing impressions costs: the rows of our kernel beside psycopg's `write_row`, in one COPY each, in turn.

    python tests/benchmarks/copy_impressions.py                   100,000 lists, answers of 1 and of 500 users
    python tests/benchmarks/copy_impressions.py --rounds 9

All write the same lists of ten playlists, "bare" without what it takes to compute them again, into the same table of a
Postgres of its own, and give the event loop a turn after so many lists; a task that wants to run every millisecond
notes how late it is. Processor seconds are those of the process. Medians of the rounds; on a machine that does other
things as well the ratios say more than the figures.
Nothing here is a test.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psycopg

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.serve_app.embedded import postgres
from spotify_buddies.serve_app.ranking.history import Shown
from spotify_buddies.serve_app.ranking.kernels import fold
from spotify_buddies.serve_app.ranking.query import Source
from spotify_buddies.serve_app.store.database.migrate import migrate
from spotify_buddies.serve_app.store.impressions.copy_format import COLUMNS, HEADER, TRAILER, CopyEncoder
from spotify_buddies.trainer.bundle import StringTable

PLAYLISTS, LISTS_LONG = 100_000, 10
COPY = f"COPY impressions ({', '.join(COLUMNS)}) FROM STDIN BINARY"
TYPES = (
    "timestamptz", "text", "text", "text[]", "text", "text", "text", "float4[]", "float4[]", "text[]", "bytea", "bytea",
    "timestamptz",
)  # fmt: skip
# What a version holds for each of so many users.
USERS, CANDIDATES = 10_000, 75
HELD = Csr(
    np.arange(USERS + 1, dtype=np.int64) * CANDIDATES,
    np.random.default_rng(5).integers(0, PLAYLISTS, USERS * CANDIDATES, dtype=np.int32),
    PLAYLISTS,
)
# A request for ten playlists with some exclusions.
ASKED = b"\x18\x0a" + b"*\x14" * 3 + bytes(60)
# As a replica holds them; a list of strings for each version would take 6 MB more for each 100,000.
NAMES = [f"playlist-{row}" for row in range(PLAYLISTS)]
PACKED = StringTable.of(NAMES)
Figures = dict[str, float]
Writer = Callable[[psycopg.AsyncConnection, Sequence[Shown], int], Awaitable[None]]
TICK_S = 0.001


def answers(lists: int, users_each: int, names: Sequence[str], *, whole: bool = True) -> list[Shown]:
    """Answers that hold so many lists together; all of one version. whole: with what it takes to compute them again."""
    rng = np.random.default_rng(7)
    made = [
        Shown(
            user_ids=tuple(f"user-{first + n:08}" for n in range(users_each)),
            recommendation_ids=tuple(os.urandom(16).hex() for _ in range(users_each)),
            sources=(Source.LIVE,) * users_each,
            rows=rng.integers(0, PLAYLISTS, (users_each, LISTS_LONG), dtype=np.int32),
            counts=np.full(users_each, LISTS_LONG, np.int32),
            playlist_ids=names,
            model_version="0123456789ab",
            arm="production",
            at=datetime.now(UTC),
        )
        for first in range(0, lists, users_each)
    ]
    return made if not whole else [_whole(one, rng) for one in made]


def _whole(shown: Shown, rng: np.random.Generator) -> Shown:
    users = len(shown.user_ids)
    return replace(
        shown, scores=rng.random((users, LISTS_LONG), np.float32), skipped=((),) * users, held=HELD,
        held_rows=rng.integers(0, USERS, users, dtype=np.int32), asked=ASKED,
    )  # fmt: skip


ENCODER = CopyEncoder()


async def kernel(connection: psycopg.AsyncConnection, shown: Sequence[Shown], at_once: int) -> None:
    """As impressions/writer.py does it."""
    fit = [ENCODER.fit(one) for one in shown]
    async with connection.cursor() as cursor, cursor.copy(COPY) as copy:
        await copy.write(HEADER)
        for part in ENCODER.encode(fit, at_once):
            await copy.write(part)
            await asyncio.sleep(0)
        await copy.write(TRAILER)


async def write_row(connection: psycopg.AsyncConnection, shown: Sequence[Shown], at_once: int) -> None:
    """The library's way, row by row."""
    written = 0
    async with connection.cursor() as cursor, cursor.copy(COPY) as copy:
        copy.set_types(TYPES)
        for one in shown:
            names = one.playlist_ids
            for place, user_id in enumerate(one.user_ids):
                rows = one.rows[place, : one.counts[place]].tolist()
                playlists = [names[row] for row in rows]
                source = one.sources[place].name.lower()
                row = (one.at, one.recommendation_ids[place], user_id, playlists, one.model_version, one.arm, source)
                await copy.write_row((*row, *_rest(one, place)))
                written += 1
                if written % at_once == 0:
                    await asyncio.sleep(0)


def _rest(shown: Shown, place: int) -> tuple[object, ...]:
    if shown.scores is None or shown.held_rows is None:
        return (None,) * 6
    folded = int(fold(HELD.row(int(shown.held_rows[place])))).to_bytes(8, "big")
    return shown.scores[place, : shown.counts[place]].tolist(), None, None, folded, shown.asked, None


@asynccontextmanager
async def lateness() -> AsyncIterator[list[float]]:
    """Seconds by which a task that wants to run every TICK_S was late."""
    late: list[float] = []

    async def tick() -> None:
        while True:
            due = time.perf_counter() + TICK_S
            await asyncio.sleep(TICK_S)
            late.append(time.perf_counter() - due)

    task = asyncio.create_task(tick())
    try:
        yield late
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def once(url: str, writer: Writer, shown: Sequence[Shown], at_once: int) -> Figures:
    """Figures of one COPY into the emptied table."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("TRUNCATE impressions")
        async with lateness() as late:
            started, before = time.perf_counter(), time.process_time()
            await writer(connection, shown, at_once)
            spent, cpu = time.perf_counter() - started, time.process_time() - before
        lists = sum(len(one.user_ids) for one in shown)
        row = await (await connection.execute("SELECT count(*) FROM impressions")).fetchone()
        assert row == (lists,)
    ranked = sorted(late) or [0.0]
    return {
        "process s": cpu, "seconds": spent, "late p99 ms": ranked[len(ranked) * 99 // 100] * 1e3,
        "late max ms": ranked[-1] * 1e3,
    }  # fmt: skip


async def same_bytes(url: str) -> None:
    """Both write the same rows, or the comparison is worth nothing."""
    shown = answers(100, 10, NAMES)
    stored = []
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await migrate(connection)
        for writer in (kernel, write_row):
            await connection.execute("TRUNCATE impressions")
            await writer(connection, shown, 50)
            rows = await (await connection.execute("SELECT * FROM impressions ORDER BY user_id")).fetchall()
            stored.append(rows)
    assert len(stored[0]) == 100
    assert stored[0] == stored[1]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lists", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--at-once", type=int, nargs="+", default=[500, 50])
    given = parser.parse_args()
    print(f"psycopg {psycopg.__version__}, {psycopg.pq.__impl__}; {given.lists:,} lists")
    ENCODER.warm_up()
    found: dict[tuple[int, int, str], list[Figures]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="copy-") as directory:
        Path(directory).chmod(0o755)
        with postgres(Path(directory) / "data") as url, asyncio.Runner() as runner:
            runner.run(same_bytes(url))
            ways = [
                ("kernel", kernel, PACKED), ("kernel, bare", kernel, PACKED), ("write_row", write_row, PACKED),
                ("write_row, list", write_row, NAMES),
            ]  # fmt: skip
            for users in (1, 500):
                shown = {way: answers(given.lists, users, names, whole="bare" not in way) for way, _, names in ways}
                for _ in range(given.rounds):
                    for at_once in given.at_once:
                        for way, writer, _ in ways:
                            found[users, at_once, way].append(runner.run(once(url, writer, shown[way], at_once)))
    for (users, at_once, name), rounds in found.items():
        medians = {unit: statistics.median(figures[unit] for figures in rounds) for unit in rounds[0]}
        told = "  ".join(f"{unit} {median:8.2f}" for unit, median in medians.items())
        print(f"answers of {users:>3}, a turn every {at_once:>3}  {name:<15}  {told}")


if __name__ == "__main__":
    main()
