"""The short drills on a running service: parts die or are replaced under traffic, and nothing acknowledged is lost."""

import json

import pytest

from spotify_buddies.clients.command.endpoints import Endpoints
from spotify_buddies.clients.drills.framework.service import ServiceUnderTest
from spotify_buddies.clients.drills.framework.traffic import Traffic, Users
from tests.system.conftest import Commands
from tests.waiting import wait_until

pytestmark = [pytest.mark.ray, pytest.mark.timeout(1200)]


def test_parts_come_back_and_no_acknowledged_feedback_is_lost(trained: Commands, service: Endpoints) -> None:
    drills = ["redis", "postgres", "index", "garbage", "release"]
    outcomes = {}
    # On a busy machine a call may wait for the two seconds after which it counts as failed, more rarely at a low rate.
    # What the service does wrong fails in the same drill again, and lost feedback is excused never.
    for _ in range(3):
        wanted = [name for name in drills if name not in outcomes or not outcomes[name]["passed"]]
        output = trained.run("drill", "run", *wanted, "--attach", "--rate", "20", "--json", may_fail=True)
        found = {outcome["name"]: outcome for outcome in json.loads(output)}
        assert list(found) == wanted
        assert all(outcome["lost"] == 0 and outcome["requests"] > 50 for outcome in found.values()), found
        outcomes |= found
        if all(outcome["passed"] for outcome in outcomes.values()):
            break
    assert all(outcome["passed"] for outcome in outcomes.values()), outcomes
    assert outcomes["postgres"]["acknowledged"] > 0


def test_a_canary_goes_up_and_back_and_the_registry_is_as_before(trained: Commands, service: Endpoints) -> None:
    output = trained.run("drill", "run", "canary", "--attach", "--rate", "20", "--json", may_fail=True)
    (found,) = json.loads(output)
    # How soon everybody has the old version again depends on the machine.
    assert [problem for problem in found["problems"] if not problem.startswith("rollback: the new version")] == []
    assert (found["failed"], found["requests"] > 50) == (0, True)
    assert [step["name"] for step in found["figures"]["steps"]] == ["10 %", "50 %", "promote", "rollback"]
    versions = {
        version["number"]: version["aliases"] for version in json.loads(trained.ask("registry", "list", "--json"))
    }
    assert versions["1"] == ["production"]
    assert not any(aliases for number, aliases in versions.items() if number != "1")
    status = json.loads(trained.ask("rollout", "status", "--json"))
    assert (status["active"]["wanted"]["production"], status["active"]["wanted"]["canary"]) == ("1", None)


def test_while_haproxy_is_replaced_callers_are_told_unavailable_and_nothing_else(
    trained: Commands, service: Endpoints
) -> None:
    users = [one["user_id"] for one in json.loads(trained.ask("data", "listeners", "--count", "20", "--json"))]
    broken = ServiceUnderTest(service, trained.state_dir)
    with Traffic(service.grpc, Users(users), 30.0).running() as traffic:
        wait_until(lambda: len(traffic.calls) > 20, "calls", 60.0)
        before = broken.find("haproxy")
        before[0].kill()
        wait_until(lambda: [one for one in broken.find("haproxy") if one not in before], "another HAProxy", 60.0)
        reached = len(traffic.calls)
        wait_until(lambda: sum(not call.error for call in traffic.calls[reached:]) > 20, "calls again", 60.0)
    assert {call.error for call in traffic.calls} <= {"", "UNAVAILABLE"}


def test_a_drill_that_nobody_knows_is_named(trained: Commands) -> None:
    assert "no drill 'replcia'" in trained.run("drill", "run", "replcia", expect=2)


def test_a_drill_without_a_data_set_says_what_to_run(trained: Commands) -> None:
    elsewhere = Commands(trained.state_dir.parent / "elsewhere", trained.extra)
    assert "no finished stage '6-split' here" in elsewhere.run("drill", "run", "redis", "--attach", expect=1)
