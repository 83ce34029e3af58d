"""The drills of the rollout by name, and the service that they are played on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager

from spotify_buddies.clients.drills import canary, gates, rollout_faults, swaps
from spotify_buddies.clients.drills.rehearsal import Act, Rehearsal, Stage
from spotify_buddies.clients.drills.rollout import Rollout
from spotify_buddies.clients.drills.run import Plan
from spotify_buddies.clients.drills.service_under_test import Served, attached, serving

REPLICAS: Mapping[str, str] = {"BUDDIES_SERVE__REPLICAS": "2"}

ACTS: dict[str, Act] = {
    act.name: act
    for act in (
        Act("swaps", "20 swaps of production in a row: errors, p99 and memory", swaps.play),
        Act("canary", "10 %, 50 %, promoted, rolled back: shares and who is in them", canary.play),
        Act("gates", "a failing, a worse and an equal version, before simulated listeners", gates.play, gates.SETTINGS),
        Act("rollout-faults", "a rollout with the registry, a replica or a version broken", rollout_faults.play),
    )
}


def rehearse(
    acts: Sequence[Act], plan: Plan, model: str, stage: Callable[[Rollout], Stage], say: Callable[[str], None]
) -> Iterator[Rehearsal]:
    """Play one after the other; yields each as it is known.

    model: its name in the registry. DrillError, CommandFailed, BuddiesError: one could not be brought to its end.
    """
    shared = [act for act in acts if not act.environment]
    if shared:
        say("attaching to the service" if plan.attach else "starting the service")
        with _service(plan) as served:
            for act in shared:
                say(f"{act.name}: {act.about}")
                yield act.play(stage(Rollout.of(served, model)))
    for act in acts:
        if not act.environment:
            continue
        if plan.attach:
            yield Rehearsal(act.name, skipped="its service has settings of its own; run it without --attach")
            continue
        say(f"{act.name}: {act.about}; starting the service")
        with serving(plan.state_dir, environment={**REPLICAS, **act.environment}) as served:
            yield act.play(stage(Rollout.of(served, model)))


def _service(plan: Plan) -> AbstractContextManager[Served]:
    return attached(plan.state_dir) if plan.attach else serving(plan.state_dir, environment=REPLICAS)
