"""Running drills: a service, traffic on it, the fault, and the account afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from spotify_buddies.clients.command.endpoints import running
from spotify_buddies.clients.drills.drills import Drill
from spotify_buddies.clients.drills.machine import CannotRun
from spotify_buddies.clients.drills.outcome import Outcome, judge
from spotify_buddies.clients.drills.service_under_test import Served, attached, serving
from spotify_buddies.clients.drills.traffic import Call, Listeners, Traffic, count_lost, errors_of

STEADY_S = 2.0
QUIET_S = 3.0
TICK_S = 0.1


@dataclass(frozen=True)
class Plan:
    """Where drills run. attach: on the service that runs there. patience_s: longest wait for a recovery."""

    state_dir: Path
    listeners: Listeners
    attach: bool = False
    patience_s: float = 90.0


def run(drills: Sequence[Drill], plan: Plan, say: Callable[[str], None]) -> Iterator[Outcome]:
    """Run one after the other; yields each outcome as it is known. DrillError: there is no service to break."""
    shared = [drill for drill in drills if not drill.needs_own_service]
    with ExitStack() as stack:
        served: Served | None = None
        for drill in shared:
            if served is None or running(plan.state_dir) is None:
                stack.close()
                say("starting the service" if not plan.attach else "attaching to the service")
                served = stack.enter_context(service(plan))
            say(f"{drill.name}: {drill.about}")
            yield drilled(drill, served, plan)
    for drill in drills:
        if drill.needs_own_service:
            say(f"{drill.name}: {drill.about}")
            yield _alone(drill, plan)


def service(plan: Plan) -> AbstractContextManager[Served]:
    """The service that the plan names. DrillError when there is none, or it does not start."""
    return attached(plan.state_dir) if plan.attach else serving(plan.state_dir)


def _alone(drill: Drill, plan: Plan) -> Outcome:
    if plan.attach:
        return Outcome(drill.name, skipped="it starts a service of its own; run it without --attach")
    try:
        with (
            drill.setting(plan.state_dir) as setting,
            serving(plan.state_dir, prefix=setting.prefix, environment=setting.environment) as served,
        ):
            return drilled(drill, served, plan)
    except CannotRun as reason:
        return Outcome(drill.name, skipped=str(reason))


def drilled(drill: Drill, served: Served, plan: Plan) -> Outcome:
    """Break the service under traffic, wait until calls succeed again, and audit what was acknowledged."""
    traffic = Traffic(served.endpoints.grpc, plan.listeners)
    with traffic.running():
        _wait(lambda: traffic.quiet_since_s() >= STEADY_S, plan.patience_s)
        fault_s = time.monotonic()
        healed_s = None
        with drill.fault(served) as healed:
            if _wait(healed, plan.patience_s):
                healed_s = time.monotonic() - fault_s
            _wait(lambda: traffic.quiet_since_s() >= QUIET_S, plan.patience_s)
            steady_until = time.monotonic() + QUIET_S
            _wait(lambda: time.monotonic() >= steady_until, QUIET_S * 2)
    found = _account(drill.name, traffic.calls, fault_s)
    alive = running(plan.state_dir) is not None
    if alive:
        lost = count_lost(served.endpoints.grpc, traffic.acknowledged)
    found = replace(
        found,
        acknowledged=len(traffic.acknowledged),
        lost=lost if alive else len(traffic.acknowledged),
        healed_s=healed_s,
    )
    problems = judge(found, drill.limits)
    return replace(found, problems=problems if alive else (*problems, "the service ended"))


def _account(name: str, calls: Sequence[Call], fault_s: float) -> Outcome:
    failed = [call for call in calls if call.error]
    return Outcome(
        name,
        requests=len(calls),
        failed=len(failed),
        degraded=sum(call.degraded for call in calls),
        recovery_s=max((call.ended_s - fault_s for call in failed), default=0.0),
        slowest_s=max((call.ended_s - call.began_s for call in calls), default=0.0),
        errors=errors_of(calls),
    )


def _wait(condition: Callable[[], bool], patience_s: float) -> bool:
    """Poll until the condition holds; False when patience ends first."""
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(TICK_S)
    return True
