"""Writing the lists of the day: only missing blocks; readers see the lists once all are there."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from redis.exceptions import OutOfMemoryError, RedisError

from spotify_buddies.foundation.stages.blocks import THREADS, Blocks
from spotify_buddies.foundation.stages.progress import Counting, Progress, silent
from spotify_buddies.foundation.text.lines import first_line
from spotify_buddies.serve_app.daily.index import ListStore, read_index, remove
from spotify_buddies.serve_app.daily.score import Block, inputs, score
from spotify_buddies.serve_app.daily.space import BLOCK_USERS, ENTRY_BYTES, DailyError, Space, index, new_space
from spotify_buddies.trainer.bundle import Bundle

# Blocks of one task: some 3 MiB of lists, and one round trip to Redis.
TASK_BLOCKS = 16
_MIB = 2**20


@dataclass(frozen=True)
class DailyReport:
    """Result of a run. written, kept: blocks written now and before. removed: key spaces of earlier runs."""

    space: Space
    written: int
    kept: int
    removed: tuple[Space, ...]


def run_daily(
    bundle: Bundle,
    version: str,
    store: ListStore,
    *,
    model: str,
    now: datetime,
    ttl_s: int,
    again: bool = False,
    serving: Collection[str] = (),
    block_users: int = BLOCK_USERS,
    blocks: Blocks = THREADS,
    progress: Progress = silent,
) -> DailyReport:
    """Precompute the lists of all users of the bundle and publish them to the readers of this version.

    Resumes a run of the same day that was cut off: blocks that are there are not written again. A complete run stays
    as it is, unless `again`. Afterwards removes earlier key spaces: those of this version, and those of versions that
    are not in `serving`, except the newest. DailyError: Redis failed or is full; what was written stays for the next
    run, and readers see the lists they had.
    """
    spaces = _asked(lambda: read_index(store, model), "before anything was written")
    day = now.date().isoformat()
    fresh = new_space(version, bundle, day, now=now, ttl_s=ttl_s, block_users=block_users)
    space = _choose(spaces, fresh, again=again)
    if space.complete:
        return DailyReport(space, 0, space.blocks, ())
    with _explained(space):
        store.hset(index(model), space.field, space.to_json())
        missing = _missing(store, space)
        _write(bundle, store, space, missing, blocks, progress)
        space = _publish(store, space, model)
        others = [other for other in spaces if other.field != space.field]
        removed = _superseded(others, space, serving)
        remove(store, model, removed)
    return DailyReport(space, len(missing), space.blocks - len(missing), tuple(removed))


def _choose(spaces: Sequence[Space], fresh: Space, *, again: bool) -> Space:
    """The key space of the day to resume, or the fresh one under a name that is not taken."""
    day = fresh.name
    version = (fresh.version, fresh.sha256)
    today = [s for s in spaces if (s.version, s.sha256) == version and s.name.split(".")[0] == day]
    if not today:
        return fresh
    last = today[-1]
    same = (last.length, last.block_users, last.users) == (fresh.length, fresh.block_users, fresh.users)
    if same and last.expires > fresh.created and not (again and last.complete):
        return last
    taken = {space.name for space in today}
    return replace(fresh, name=next(f"{day}.{n}" for n in range(2, len(taken) + 3) if f"{day}.{n}" not in taken))


def _missing(store: ListStore, space: Space) -> tuple[int, ...]:
    """Blocks that are not complete in Redis."""
    pipeline = store.pipeline(transaction=False)
    pipeline.hkeys(space.counts)
    for block in range(space.blocks):
        pipeline.strlen(space.key(block))
    counted, *lengths = pipeline.execute()
    known = {int(field) for field in counted}
    return tuple(
        block for block, length in enumerate(lengths) if block not in known or length != space.block_bytes(block)
    )


def _write(
    bundle: Bundle, store: ListStore, space: Space, missing: tuple[int, ...], blocks: Blocks, progress: Progress
) -> None:
    there = space.blocks - len(missing)

    def users(what: str, done: int, total: int, unit: str = "users") -> None:
        del total
        progress(what, min((there + done) * space.block_users, space.users), space.users, unit)

    with blocks.share(inputs(bundle, space, missing)) as shared:
        for done in shared.over(score, len(missing), TASK_BLOCKS, "daily lists", Counting(users, progress)):
            _store(store, space, done)


def _store(store: ListStore, space: Space, done: Sequence[Block]) -> None:
    """One round trip. A block is finished once its count is set, which happens after its value."""
    pipeline = store.pipeline(transaction=False)
    for block in done:
        pipeline.set(space.key(block.number), block.value, pxat=space.expires_ms)
    pipeline.hset(space.counts, mapping={str(block.number): block.lists for block in done})
    pipeline.pexpireat(space.counts, space.expires_ms)
    for answer in pipeline.execute(raise_on_error=False):
        # Raised by redis-py itself, an error would repeat the whole command in its text, with all values.
        if isinstance(answer, RedisError):
            raise answer


def _publish(store: ListStore, space: Space, model: str) -> Space:
    """Switch readers over, if every block is there."""
    if gone := _missing(store, space):
        raise DailyError(
            f"{len(gone):,} of {space.blocks:,} blocks of lists have gone from Redis: it evicts keys because memory is "
            "short, or somebody deletes them; give it more memory (maxmemory) or a policy without eviction, and rerun "
            "the command"
        )
    pipeline = store.pipeline(transaction=False)
    pipeline.hvals(space.counts)
    pipeline.set(space.pointer, space.pointed, pxat=space.expires_ms)
    counts, _ = pipeline.execute()
    complete = space.finished(sum(int(count) for count in counts))
    store.hset(index(model), complete.field, complete.to_json())
    return complete


def _superseded(others: Sequence[Space], space: Space, serving: Collection[str]) -> list[Space]:
    """Key spaces that nobody reads. The newest version without an alias stays: a replica may still serve it."""
    mine = (space.version, space.sha256)
    foreign = [other for other in others if (other.version, other.sha256) != mine]
    unnamed = [other for other in foreign if other.version not in serving]
    last = max((other for other in unnamed if other.complete), key=lambda other: other.created, default=None)
    return [other for other in others if (other.version, other.sha256) == mine] + [
        other for other in unnamed if other is not last
    ]


@contextmanager
def _explained(space: Space) -> Iterator[None]:
    """The store's errors as sentences that say what to do."""
    try:
        yield
    except OutOfMemoryError as error:
        need = space.users * space.length * ENTRY_BYTES / _MIB
        raise DailyError(
            f"Redis is full ({error}): the lists of version {space.version} need {need:,.1f} MiB; raise its maxmemory "
            "or shorten serve.daily_ttl_s, and rerun the command to resume; readers still see the lists they had"
        ) from error
    except (RedisError, OSError) as error:
        raise DailyError(
            f"Redis failed during the run: {first_line(error)}; rerun the command to resume once Redis answers; "
            "readers still see the lists they had"
        ) from error


def _asked(call: Any, when: str) -> Any:
    try:
        return call()
    except (RedisError, OSError) as error:
        raise DailyError(f"Redis does not answer, {when}: {first_line(error)}") from error
