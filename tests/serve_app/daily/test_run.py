from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis import Redis
from redis.exceptions import ConnectionError as Away

from spotify_buddies.foundation.stages.blocks import Threads
from spotify_buddies.serve_app.daily.index import look, read_index
from spotify_buddies.serve_app.daily.run import DailyReport
from spotify_buddies.serve_app.daily.space import DailyError, Space, pointer
from spotify_buddies.serve_app.embedded import valkey
from spotify_buddies.serve_app.ranking.engine import Engine

Run = Callable[..., DailyReport]


def values(store: Redis, space: Space) -> list[bytes | None]:
    return [store.get(space.key(block)) for block in range(space.blocks)]


class Failing:
    """A store that goes away after so many pipelines."""

    def __init__(self, store: Redis, pipelines: int) -> None:
        self._store, self._left = store, pipelines

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def pipeline(self, transaction: bool = True) -> Any:
        self._left -= 1
        if self._left < 0:
            raise Away("the store is gone")
        return self._store.pipeline(transaction)


def test_every_listener_with_a_pairing_gets_a_list(run: Run) -> None:
    report = run()
    # 60 listeners in blocks of 7; the last listener has no pairing.
    assert (report.space.users, report.space.blocks, report.space.lists) == (60, 9, 59)
    assert (report.written, report.kept, report.removed) == (9, 0, ())


@pytest.mark.parametrize("block_users", [1, 59, 60, 61, 1024])
def test_the_block_size_changes_no_list(run: Run, store: Redis, block_users: int) -> None:
    sevens = b"".join(values(store, run().space))
    assert b"".join(values(store, run(block_users=block_users).space)) == sevens


@pytest.mark.parametrize("threads", [1, 5])
def test_the_number_of_threads_changes_no_list(run: Run, store: Redis, threads: int) -> None:
    first = values(store, run().space)
    assert values(store, run(again=True, blocks=Threads(threads)).space) == first


def test_a_complete_day_is_left_as_it_is(run: Run, store: Redis) -> None:
    space = run().space
    again = run()
    assert (again.space, again.written, again.kept) == (space, 0, 9)


def test_again_writes_a_key_space_beside_the_old_one_and_then_removes_that(run: Run, store: Redis) -> None:
    first = run().space
    second = run(again=True)
    assert second.space.name == f"{first.name}.2"
    assert second.removed == (first,)
    assert values(store, first) == [None] * 9
    assert store.get(first.pointer) == second.space.pointed.encode()
    assert run(again=True).space.name == f"{first.name}.3"


@pytest.mark.parametrize("pipelines", [1, 2, 3])
def test_a_store_that_goes_away_leaves_readers_what_they_had_and_the_next_run_only_what_is_missing(
    run: Run, store: Redis, pipelines: int
) -> None:
    before = run().space
    with pytest.raises(DailyError, match=r"the store is gone.*rerun the command to resume"):
        run(again=True, store=Failing(store, pipelines), blocks=Threads(1))
    assert store.get(before.pointer) == before.pointed.encode()
    report = run()
    # 1: asked what is there; from 2 on, one task of 3 of the 9 blocks each.
    assert (report.kept, report.written) == (3 * (pipelines - 1), 9 - 3 * (pipelines - 1))
    assert report.space.lists == 59
    assert store.get(before.pointer) == report.space.pointed.encode()


def test_a_damaged_block_is_written_again(run: Run, store: Redis) -> None:
    with pytest.raises(DailyError):
        run(store=Failing(store, 4), blocks=Threads(1))
    (space,) = read_index(store, "m")
    whole = values(store, space)
    store.set(space.key(2), b"short")
    report = run()
    assert (report.space.name, report.written, report.kept) == (space.name, 1, 8)
    assert values(store, space) == whole


def test_the_next_day_replaces_the_day_before(run: Run, store: Redis, engine: Engine) -> None:
    yesterday = run().space
    today = run(now=yesterday.created + timedelta(days=1))
    assert today.removed == (yesterday,)
    assert [space.name for space in read_index(store, "m")] == [today.space.name]
    assert store.get(pointer("7", engine.bundle.sha256)) == today.space.pointed.encode()


def test_the_versions_that_an_alias_names_stay_and_the_newest_of_the_others(run: Run, store: Redis) -> None:
    now = run("1").space.created
    for version in "234":
        run(version, now=now + timedelta(seconds=int(version)), serving={"2"})
    # Version 2 is named, 3 was the newest of the rest when 4 was written, 1 went with 3's run.
    assert [space.version for space in read_index(store, "m")] == ["2", "3", "4"]
    assert sum(1 for _ in store.scan_iter("daily:*")) == 3 * (9 + 2) + 1


def test_another_model_is_left_alone(run: Run, store: Redis) -> None:
    theirs = run("1", model="theirs").space
    for version in "123":
        run(version)
    assert [space.field for space in read_index(store, "theirs")] == [theirs.field]
    assert None not in values(store, theirs)


def test_everything_but_the_index_expires_at_one_moment(run: Run, store: Redis) -> None:
    space = run().space
    keys = [*(space.key(block) for block in range(9)), space.counts, space.pointer]
    assert {store.execute_command("PEXPIRETIME", key) for key in keys} == {space.expires_ms}
    assert space.expires - space.created == timedelta(seconds=100)


def test_a_full_store_says_how_much_is_needed_and_the_run_goes_on_once_there_is_room(run: Run, store: Redis) -> None:
    store.config_set("maxmemory", 1)
    with pytest.raises(DailyError, match=r"full.*need 0.0 MiB.*maxmemory"):
        run()
    store.config_set("maxmemory", 0)
    assert run().space.complete


def test_lists_that_are_evicted_before_the_end_are_never_published(run: Run, store: Redis, engine: Engine) -> None:
    class Evicting(Failing):
        def pipeline(self, transaction: bool = True) -> Any:
            for key in list(self._store.scan_iter("daily:*:0")):
                self._store.delete(key)
            return self._store.pipeline(transaction)

    with pytest.raises(DailyError, match=r"1 of 9 blocks.*maxmemory"):
        run(store=Evicting(store, 0))
    assert store.get(pointer("7", engine.bundle.sha256)) is None


def test_what_is_stored_is_told(run: Run, store: Redis) -> None:
    space = run().space
    (state,) = look(store, "m")
    assert (state.space, state.blocks, state.read) == (space, 9, True)
    assert 60 * 50 * 4 < state.stored_bytes < 2 * 60 * 50 * 4
    store.delete(space.key(0))
    assert next(iter(look(store, "m"))).blocks == 8
    assert list(look(store, "another")) == []


def test_entries_of_another_release_are_left_alone(run: Run, store: Redis) -> None:
    store.hset("daily:spaces:m", "9:future", '{"shape": "unknown"}')
    store.hset("daily:spaces:m", "9:broken", "{")
    assert run().space.complete
    assert store.hlen("daily:spaces:m") == 3


KILLED = """
import os, signal, sys
from datetime import datetime
from pathlib import Path
from redis import Redis
from spotify_buddies.foundation.stages.blocks import Threads
from spotify_buddies.serve_app.daily import run
from spotify_buddies.trainer.bundle import open_bundle
store = run._store
def store_and_die(*arguments, done=[0]):
    store(*arguments)
    done[0] += 1
    if done[0] == 2:
        os.kill(os.getpid(), signal.SIGKILL)
run._store = store_and_die
run.run_daily(open_bundle(Path(sys.argv[1])), "7", Redis.from_url(sys.argv[2]), model="m",
              now=datetime.fromisoformat(sys.argv[3]), ttl_s=1000, block_users=7, blocks=Threads(1))
"""


def test_a_killed_run_is_gone_on_with(run: Run, now: datetime, bundle_dir: Path, redis_url: str, store: Redis) -> None:
    command = [sys.executable, "-c", KILLED, str(bundle_dir), redis_url, now.isoformat()]
    assert subprocess.run(command, timeout=120, check=False).returncode == -9
    report = run()
    assert (report.kept, report.written, report.space.lists) == (6, 3, 59)


def test_a_store_that_is_away_from_the_start_is_said(run: Run, tmp_path: Path) -> None:
    with pytest.raises(DailyError, match="does not answer, before anything was written"):
        run(store=Redis.from_url(f"unix://{tmp_path}/none.sock"))


def test_a_store_that_dies_in_the_middle_is_said(run: Run, tmp_path: Path) -> None:
    with valkey(tmp_path / "v") as url, Redis.from_url(url) as client:

        def stop_half_way(what: str, done: int, total: int, unit: str = "users") -> None:
            if done == 21:
                client.shutdown(nosave=True, now=True, force=True)

        with pytest.raises(DailyError, match=r"failed during the run.*rerun the command to resume"):
            run(store=client, blocks=Threads(1), progress=stop_half_way)


def test_progress_counts_listeners_of_this_run_and_of_the_one_before(run: Run, store: Redis) -> None:
    with pytest.raises(DailyError):
        run(store=Failing(store, 2), blocks=Threads(1))
    told: list[tuple[int, int]] = []
    run(progress=lambda what, done, total, unit="users": told.append((done, total)), blocks=Threads(1))
    assert told[0] == (21, 60)
    assert told[-1] == (60, 60)
    assert np.all(np.diff([done for done, _ in told]) >= 0)
