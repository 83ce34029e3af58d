"""One fault under traffic: what it costs the callers, and whether acknowledged feedback is kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from spotify_buddies.clients.command.endpoints import running
from spotify_buddies.clients.drills.framework.account import count_lost, errors_by_method
from spotify_buddies.clients.drills.framework.drill import Stage
from spotify_buddies.clients.drills.framework.result import DrillResult, FaultCost, Limits, judge
from spotify_buddies.clients.drills.framework.traffic import Call, Mix, Traffic
from spotify_buddies.clients.drills.framework.waiting import wait
from spotify_buddies.clients.drills.processes.faults import Fault
from spotify_buddies.clients.python import Retry

# Far below what one replica answers.
CALLS_PER_S = 100.0
MIX = Mix(taste_every=4, daily_every=8, feedback_every=2)
# As the client's defaults: a call counts as failed when its retries were of no use.
TIMEOUT_S = 2.0
STEADY_S, QUIET_S = 2.0, 3.0


def under_traffic(name: str, fault: Fault, limits: Limits) -> Callable[[Stage], DrillResult]:
    """A drill that breaks the service, waits until calls succeed again, and audits what was acknowledged."""

    def play(stage: Stage) -> DrillResult:
        rate = recommends_per_s(stage.options.rate)
        traffic = Traffic(stage.address, stage.users, rate, mix=MIX, timeout_s=TIMEOUT_S, retry=Retry())
        with traffic.running():
            wait(lambda: traffic.quiet_since_s() >= STEADY_S, stage.patience_s)
            broken_at = time.time()
            healed_s = None
            with fault(stage.service) as healed:
                if wait(healed, stage.patience_s):
                    healed_s = time.time() - broken_at
                wait(lambda: traffic.quiet_since_s() >= QUIET_S, stage.patience_s)
                time.sleep(QUIET_S)  # as long again, so that a late failure is seen
        alive = running(stage.service.state_dir) is not None
        kept = traffic.acknowledged
        lost = count_lost(stage.address, kept) if alive else len(kept)
        result = _counted(name, traffic.calls, broken_at)
        cost = replace(result.cost or FaultCost(), acknowledged=len(kept), lost=lost, healed_s=healed_s)
        result = replace(result, cost=cost)
        problems = judge(result, limits)
        return replace(result, problems=problems if alive else (*problems, "the service ended"))

    return play


def recommends_per_s(calls_per_s: float | None) -> float:
    """Calls of Recommend a second for so many calls a second in all: a Feedback follows each second one."""
    return (calls_per_s or CALLS_PER_S) * MIX.feedback_every / (MIX.feedback_every + 1)


def _counted(name: str, calls: Sequence[Call], broken_at: float) -> DrillResult:
    failed = [call for call in calls if call.error]
    cost = FaultCost(
        degraded=sum(call.degraded for call in calls),
        recovery_s=max((call.ended - broken_at for call in failed), default=0.0),
        slowest_s=max((call.latency_s for call in calls), default=0.0),
    )
    return DrillResult(name, len(calls), len(failed), errors_by_method(calls), cost)
