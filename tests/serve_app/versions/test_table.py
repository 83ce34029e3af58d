"""Versions that come and go beside the traffic: one at a time, freed with the last call, never half loaded."""

from __future__ import annotations

import asyncio
import shutil
import threading
import weakref
from pathlib import Path

import pytest

from spotify_buddies.serve_app.generations.state import Load
from spotify_buddies.serve_app.telemetry.metrics import Silent
from spotify_buddies.serve_app.versions.table import Loaded, VersionTable
from spotify_buddies.trainer.registry.registry import RegistryUnavailable
from tests.serve_app.versions.conftest import ASKED, Replica, generation, lists, settle
from tests.waiting import until


def mapped(directory: Path) -> bool:
    return str(directory) in Path("/proc/self/maps").read_text()


def test_a_swap_goes_to_new_calls_and_leaves_those_that_run_with_theirs(versions: dict[str, Path]) -> None:
    async def work() -> None:
        replica = Replica(versions.__getitem__)
        before = lists(await replica.rotation.route(ASKED))
        running = replica.rotation.stream(ASKED, 60)
        assigned = replica.rotation.current
        assert await replica.serve(generation(1, "2", canary="3", share=0.5, salt="s", previous="1"))
        now = replica.rotation.current
        assert (now.generation, now.production.answers.version, now.share, now.salt) == (1, "2", 0.5, "s")
        assert {row[1] for row in lists(await replica.rotation.route(ASKED))} == {"2", "3"}
        assert [data async for _, data in running]
        assert lists(
            (await assigned.production.answers.rank_and_encode(ASKED, assigned.production.answers.exclude(ASKED))).data
        )
        # Back again: nothing is loaded, previous is still there.
        started = threading.active_count()
        assert replica.ranker.follow(generation(2, "1", previous="2"))
        assert lists(await replica.rotation.route(ASKED)) == before
        assert threading.active_count() == started
        replica.ranker.close()
        await replica.table.close()

    asyncio.run(work())


def test_arms_are_told_by_what_came_since(versions: dict[str, Path]) -> None:
    class Told(Silent):
        def __init__(self) -> None:
            self.generations: list[int] = []
            self.arms: list[tuple[str, str, int, int]] = []

        def set_generation(self, number: int) -> None:
            self.generations.append(number)

        def count_arm(self, arm: str, version: str, lists: int, errors: int) -> None:
            self.arms.append((arm, version, lists, errors))

    async def work() -> None:
        told = Told()
        replica = Replica(versions.__getitem__, told)
        assert await replica.serve(generation(1, "1", canary="2", share=1.0, salt="s"))
        replica.ranker.counted(whole=True)
        told.arms.clear()
        await replica.rotation.route(ASKED)
        replica.ranker.counted(whole=False)
        await replica.rotation.route(ASKED.part(0, 3))
        now = replica.rotation.current
        assert now.canary is not None
        assert now.canary.counts is not None
        now.canary.counts.fail(2)
        replica.ranker.counted(whole=True)
        assert [one for one in told.arms if one[0] == "canary"] == [
            ("canary", "2", len(ASKED), 0),
            ("canary", "2", 3, 2),
        ]
        assert told.generations == [1]
        replica.ranker.close()
        await replica.table.close()

    asyncio.run(work())


def test_a_version_is_freed_when_nobody_wants_it_and_its_last_call_has_ended(
    versions: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spotify_buddies.serve_app.versions.table.LINGER_S", 0.01)
    own = {version: shutil.copytree(path, tmp_path / version) for version, path in versions.items()}

    async def work() -> None:
        replica = Replica(own.__getitem__)
        assert await replica.serve(generation(1, "2", shadow="3", previous="1"))
        await replica.rotation.route(ASKED)
        engine = weakref.ref(replica.rotation.current.production.answers.engine)
        begun = replica.rotation.stream(ASKED, 7)
        await anext(begun)
        assert await replica.serve(generation(2, "1"))
        assert await replica.serve(generation(3, "1")), "counts of the generation before are let go as well"
        assert list(replica.table.held) == ["1"]
        assert engine() is not None, "a call has begun with it"
        assert mapped(own["2"])
        await asyncio.to_thread(wait_for_threads)
        await until(lambda: not mapped(own["3"]), "the shadow's thread has ended")
        assert mapped(own["2"])
        await begun.aclose()
        await until(lambda: engine() is None, "the last call has ended")
        assert not mapped(own["2"])
        assert mapped(own["1"])
        await replica.table.close()

    asyncio.run(work())


def test_the_thread_that_loads_is_the_one_that_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever drops the last reference unmaps the bundle, and the loop answers nobody meanwhile."""
    monkeypatch.setattr("spotify_buddies.serve_app.versions.table.LINGER_S", 0.01)
    threads: list[str] = []

    class Version:
        def __del__(self) -> None:
            threads.append(threading.current_thread().name)

    async def work() -> None:
        table: VersionTable[Version] = VersionTable()
        table.put("a", Loaded(Version(), ""))
        table.want(("b",))
        await until(lambda: bool(threads), "the version is closed")
        await table.close()

    asyncio.run(work())
    assert threads == ["load_0"]


def test_the_thread_closes_a_version_that_a_call_held_for_long_and_one_that_was_loaded_for_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("spotify_buddies.serve_app.versions.table.LINGER_S", 0.01)
    threads: dict[str, str] = {}

    class Version:
        def __init__(self, name: str) -> None:
            self.name = name

        def __del__(self) -> None:
            threads[self.name] = threading.current_thread().name

    async def work() -> None:
        table: VersionTable[Version] = VersionTable()
        going, gone = threading.Event(), threading.Event()

        def load(version: str) -> Loaded[Version]:
            going.set()
            assert gone.wait(30)
            return Loaded(Version(version), "")

        table.load_with(load)
        table.put("held", Loaded(Version("held"), ""))
        call = table.get("held")
        table.want(("late",))
        await asyncio.to_thread(going.wait, 30)
        table.want(())
        gone.set()
        await until(lambda: "late" in threads, "what nobody wants any more is closed")
        assert "held" not in threads
        del call
        await until(lambda: "held" in threads, "the call has ended")
        await table.close()

    asyncio.run(work())
    assert threads == {"late": "load_0", "held": "load_0"}


def test_a_table_that_is_closed_still_lets_go_of_what_it_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spotify_buddies.serve_app.versions.table.LINGER_S", 0.01)

    class Version:
        pass

    async def work() -> None:
        table: VersionTable[Version] = VersionTable()
        version = Version()
        held = weakref.ref(version)
        table.put("a", Loaded(version, ""))
        del version
        table.want(())
        await table.close()
        await until(lambda: held() is None, "the version is let go")

    asyncio.run(work())


def wait_for_threads() -> None:
    for thread in threading.enumerate():
        if thread.name.startswith("shadow-"):
            thread.join(30)


def test_a_version_that_cannot_be_loaded_is_never_taken_and_says_why(versions: dict[str, Path], tmp_path: Path) -> None:
    broken = shutil.copytree(versions["2"], tmp_path / "broken")
    (broken / "owner.npy").write_bytes(b"no array")
    paths = {**versions, "2": broken}

    async def work() -> None:
        replica = Replica(paths.__getitem__)
        before = lists(await replica.rotation.route(ASKED))
        assert not await replica.serve(generation(1, "2", previous="1"))
        held = replica.table.held["2"]
        assert held.state is Load.FAILED
        assert str(broken) in held.message
        assert replica.rotation.current.generation == 0
        assert lists(await replica.rotation.route(ASKED)) == before
        # With a canary that is broken production goes on for everybody, and the replica says that it is not whole.
        assert not await replica.serve(generation(2, "1", canary="2", share=0.5, salt="s"))
        assert (replica.rotation.current.generation, replica.rotation.current.canary) == (2, None)
        assert [row[:2] for row in lists(await replica.rotation.route(ASKED))] == [row[:2] for row in before]
        # Mended, and wanted by a new generation, it is tried at once.
        paths["2"] = versions["2"]
        replica.table.want(("1", "2"), anew=True)
        await settle(replica.table, "2")
        assert replica.ranker.follow(generation(2, "1", canary="2", share=0.5, salt="s"))
        assert {row[1] for row in lists(await replica.rotation.route(ASKED))} == {"1", "2"}
        await replica.table.close()

    asyncio.run(work())


def test_versions_are_loaded_one_after_another_and_the_loop_goes_on_meanwhile() -> None:
    begun, go = [], threading.Event()

    def load(version: str) -> Loaded[str]:
        begun.append(version)
        assert go.wait(60)
        return Loaded(version * 2, version)

    async def work() -> None:
        table: VersionTable[str] = VersionTable()
        table.load_with(load)
        table.want(("a", "b"))
        await table.changed.wait()
        assert {v: held.state for v, held in table.held.items()} == {"a": Load.LOADING}
        assert table.get("a") is None
        table.want(("b", "c"))
        go.set()
        await settle(table, "b", "c")
        assert begun == ["a", "b", "c"]
        assert list(table.held) == ["b", "c"], "a was loaded for nobody"
        assert (table.get("b"), table.has(["b", "c"]), table.has(["a", "b"])) == ("bb", True, False)
        await table.close()

    asyncio.run(work())


def test_a_registry_that_is_away_is_waited_for_and_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spotify_buddies.serve_app.versions.table.AWAY_S", 0.0)
    tries = []

    def load(version: str) -> Loaded[str]:
        tries.append(version)
        if len(tries) < 3:
            raise RegistryUnavailable("the model registry does not answer")
        return Loaded("there", "")

    async def work() -> None:
        table: VersionTable[str] = VersionTable()
        table.load_with(load)

        def there() -> bool:
            table.want(("a",))
            if (held := table.held.get("a")) is not None:
                assert held.state is not Load.FAILED
                assert held.message in ("", "the model registry does not answer")
            return table.get("a") == "there"

        await until(there, "the version is loaded")
        assert len(tries) == 3
        await table.close()

    asyncio.run(work())
