"""Versions that come and go beside the traffic: one at a time, freed with the last call, never half loaded."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
import weakref
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from spotify_buddies.serve_app.build import local
from spotify_buddies.serve_app.generations.state import Generation, GenerationState, Load, Wanted
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.query import Query
from spotify_buddies.serve_app.telemetry.metrics import Silent, Telemetry
from spotify_buddies.serve_app.versions.answers import Answers, Budgets
from spotify_buddies.serve_app.versions.parity import UNCHECKED, check_parity
from spotify_buddies.serve_app.versions.ranker import Loader, Ranker
from spotify_buddies.serve_app.versions.rotation import ArmAnswers, Assignment, Rotation
from spotify_buddies.serve_app.versions.table import Loaded, VersionTable
from spotify_buddies.trainer.bundle import BundleError, open_bundle
from spotify_buddies.trainer.bundle.golden import GOLDEN
from spotify_buddies.trainer.bundle.manifest import describe_files, read_manifest
from spotify_buddies.trainer.registry.registry import RegistryUnavailable
from tests.serve_app.versions.conftest import USER_IDS, lists

ASKED = Query(user_ids=tuple(USER_IDS))


def generation(number: int, production: str, **wanted: Any) -> Generation:
    now = datetime.now(UTC)
    return Generation(number, Wanted(production, **wanted), now, "ann", "start", "why", GenerationState.ACTIVE)


def make(engine: Engine) -> Answers:
    return Answers(engine, budgets=Budgets(5.0, 5.0), daily=None, history=None, telemetry=Silent())


async def settle(table: VersionTable[Any], *versions: str) -> None:
    """Wait until none of the versions is being loaded."""
    async with asyncio.timeout(60):
        while any(v not in table.held or table.held[v].state is Load.LOADING for v in versions):
            table.changed.clear()
            await table.changed.wait()


def mapped(directory: Path) -> bool:
    return str(directory) in Path("/proc/self/maps").read_text()


class Replica:
    """A ranker without Postgres: what is wanted is said by the test."""

    def __init__(self, fetch: Callable[[str], Path], telemetry: Telemetry | None = None) -> None:
        given = make(Engine(open_bundle(fetch("1"), check_hashes=False), "1"))
        self.table: VersionTable[Answers] = VersionTable()
        self.table.put("1", Loaded(given, "x"))
        self.table.load_with(Loader(lambda version: nullcontext(fetch(version)), make, local))
        self.rotation = Rotation(Assignment(ArmAnswers(given)))
        self.ranker = Ranker(self.rotation, self.table, telemetry or Silent())

    async def serve(self, wanted: Generation) -> bool:
        self.table.want(wanted.wanted.versions)
        await settle(self.table, *wanted.wanted.versions)
        return self.ranker.follow(wanted)


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
    versions: dict[str, Path], tmp_path: Path
) -> None:
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
        assert not mapped(own["3"]), "the shadow's thread has ended"
        await begun.aclose()
        assert engine() is None
        assert not mapped(own["2"])
        assert mapped(own["1"])
        await replica.table.close()

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
        for _ in range(1000):
            table.want(("a",))
            if (held := table.held.get("a")) is not None:
                assert held.state is not Load.FAILED
                assert held.message in ("", "the model registry does not answer")
            if table.get("a"):
                break
            await asyncio.sleep(0.005)
        assert table.get("a") == "there"
        assert len(tries) == 3
        await table.close()

    asyncio.run(work())


def tamper(directory: Path, change: Callable[[list[dict[str, Any]]], object]) -> Path:
    """Change the golden lists and hash the bundle again: what a kernel that computes wrongly looks like."""
    body = json.loads((directory / GOLDEN).read_bytes())
    change(body)
    (directory / GOLDEN).write_text(json.dumps(body))
    replace(read_manifest(directory), files=describe_files(directory)).write(directory)
    return directory


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda body: body[0]["playlists"].reverse(), "place 1 of golden user"),
        (lambda body: body[1]["playlists"][2].__setitem__(1, 99.0), "its writer 99"),
        (lambda body: body[2].__setitem__("user_id", "nobody-here"), "golden user 'nobody-here' has"),
        (lambda body: body[3]["playlists"].append(["list-1", -99.0]), "place 11 of"),
    ],
)
def test_an_engine_that_answers_otherwise_than_its_writer_is_refused(
    versions: dict[str, Path], tmp_path: Path, change: Callable[[list[dict[str, Any]]], object], said: str
) -> None:
    bundle = open_bundle(tamper(shutil.copytree(versions["1"], tmp_path / "bundle"), change))
    with pytest.raises(BundleError, match=said):
        check_parity(Engine(bundle, "5"))


def test_an_engine_that_answers_as_its_writer_passes_and_one_without_golden_users_says_so(
    versions: dict[str, Path],
) -> None:
    bundle = open_bundle(versions["1"], check_hashes=False)
    assert len(bundle.golden) == 8
    assert check_parity(Engine(bundle, "1")) == ""
    assert check_parity(Engine(replace(bundle, golden=()), "1")) == UNCHECKED


def test_a_version_that_does_not_answer_as_written_is_failed_on_the_replica(
    versions: dict[str, Path], tmp_path: Path
) -> None:
    wrong = tamper(shutil.copytree(versions["2"], tmp_path / "2"), lambda body: body[0]["playlists"].reverse())
    paths = {**versions, "2": wrong}

    async def work() -> None:
        replica = Replica(paths.__getitem__)
        assert not await replica.serve(generation(1, "2"))
        assert replica.table.held["2"].state is Load.FAILED
        assert "does not answer as its writer did" in replica.table.held["2"].message

    asyncio.run(work())
