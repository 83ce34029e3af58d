"""The runner: drills of one setting share a service, and what cannot be run is skipped with the reason."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from spotify_buddies.clients.drills.catalogue import DRILLS, FAULTS, ROLLOUTS, chosen
from spotify_buddies.clients.drills.framework.drill import Drill, Group, Options, Stage
from spotify_buddies.clients.drills.framework.result import DrillResult
from spotify_buddies.clients.drills.framework.runner import NOT_ATTACHED, Ground, run
from spotify_buddies.clients.drills.framework.service import CannotRun, DrillError, Launch, Setting
from spotify_buddies.clients.drills.framework.traffic import Users


@contextmanager
def impossible(state_dir: Path) -> Iterator[Launch]:
    raise CannotRun("it takes root")
    yield Launch()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory whose service is this process."""
    places = dict.fromkeys(("grpc", "http", "dashboard", "mlflow", "postgres", "redis", "model_version"), "")
    (tmp_path / "serving.json").write_text(json.dumps({**places, "pid": os.getpid()}))
    return tmp_path


def ground(state_dir: Path, *, attach: bool, said: list[str]) -> Ground:
    return Ground(state_dir, Options("m"), lambda count: Users([f"u{count}"]), said.append, attach)


def drill(name: str, group: Group = Group.FAULTS, **changes: object) -> Drill:
    def play(stage: Stage) -> DrillResult:
        return DrillResult(name, figures={"users": list(stage.users.user_ids)})

    return Drill(name, f"about {name}", group, play, **changes)  # type: ignore[arg-type]


def test_drills_of_one_setting_are_attached_once_and_get_as_many_users_as_they_need(state: Path) -> None:
    said: list[str] = []
    results = list(run([drill("a"), drill("b", users=9)], ground(state, attach=True, said=said)))
    assert [(one.name, one.figures["users"]) for one in results] == [("a", ["u50"]), ("b", ["u9"])]
    assert said == ["attaching to the service", "a: about a", "b: about b"]


def test_a_drill_that_needs_its_own_service_is_skipped_where_one_is_attached(state: Path) -> None:
    own = Setting.of({"BUDDIES_SERVE__REPLICAS": "2"})
    skipped = [drill("a", setting=own), drill("b", Group.ROLLOUTS, setting=own)]
    fault, rollout = run(skipped, ground(state, attach=True, said=[]))
    assert (fault.skipped, rollout.skipped) == (NOT_ATTACHED, NOT_ATTACHED)
    assert "lost" in fault.plain()
    assert "figures" in rollout.plain()


def test_a_drill_that_this_machine_cannot_run_is_skipped_with_the_reason(tmp_path: Path) -> None:
    (result,) = run([drill("disk", setting=Setting(impossible))], ground(tmp_path, attach=False, said=[]))
    assert (result.skipped, result.passed) == ("it takes root", False)


def test_a_skipped_fault_has_the_json_of_a_fault_that_was_played() -> None:
    none = {"degraded": 0, "acknowledged": 0, "lost": 0, "recovery_s": 0.0, "healed_s": None, "slowest_s": 0.0}
    for fault in FAULTS:
        if fault.name != "flood":
            assert fault.skipped("it takes root").plain() == {
                **none, "name": fault.name, "requests": 0, "failed": 0, "errors": {}, "note": "", "problems": [],
                "skipped": "it takes root", "passed": False,
            }  # fmt: skip


def test_without_a_service_to_attach_to_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DrillError, match=r"no service runs in .*; start one, or leave --attach out"):
        list(run([drill("a")], ground(tmp_path, attach=True, said=[])))


def test_every_drill_has_one_name_and_a_group_names_all_of_its_own() -> None:
    assert len(DRILLS) == len(FAULTS) + len(ROLLOUTS)
    assert chosen(["faults"]) == list(FAULTS)
    assert [one.name for one in chosen(["rollouts"])] == ["swaps", "canary", "gates", "rollout-faults"]
    assert [one.name for one in chosen(["redis", "faults"])][:2] == ["redis", "replica"]
    with pytest.raises(KeyError, match="replcia"):
        chosen(["replcia"])
