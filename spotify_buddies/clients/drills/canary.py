"""A canary from 10 % to production and back under steady traffic: its share, who is in it, and how fast it ends."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from spotify_buddies.clients.drills.rehearsal import Rehearsal, Stage, markdown
from spotify_buddies.clients.drills.steady import Call, Steady, capacity, errors_of, half_of, unsigned
from spotify_buddies.clients.python import Arm, Client

# With 40,000 listeners the observed share is off by 0.25 points (one standard deviation) at 50 %.
LISTENERS = 40_000
BATCH = 500
FIRST, SECOND = 10.0, 50.0
MOST_OFF = 0.01
ROLLBACK_S = 1.0
STEADY_S = 3.0

Said = Mapping[str, tuple[str, Arm]]


@dataclass(frozen=True)
class Step:
    """What every listener was told by. share: of them by the new version; left: who had it the step before and has not.

    served_s: from the proposal until every replica served it, the command's end included; lingered_s: until the last
    answer that another step would have given, by the steady traffic.
    """

    name: str
    asked: float
    share: float
    left: int
    served_s: float
    lingered_s: float


def play(stage: Stage) -> Rehearsal:
    """The drill. DrillError, CommandFailed: it could not be brought to its end."""
    rollout = stage.rollout
    known = list(stage.user_ids)
    user_ids = [*known, *(f"nobody-{number}" for number in range(LISTENERS - len(known)))]
    with rollout.restored() as production:
        canary = rollout.derive(production, "same")
        asked = stage.rate or half_of(capacity(rollout.address, known, stage.tastes))
        stage.say(f"canary: version {canary} beside version {production}, {asked:.0f} calls/s")
        steps: list[Step] = []
        wrong = 0
        with Steady(rollout.address, known, stage.tastes, asked).running() as traffic:
            time.sleep(STEADY_S)
            before: set[str] = set()
            for name, share, command in _steps(canary):
                done = rollout.do(*command, "--wait", "--why", "a drill")
                proposed = done.ended_at - done.seconds
                said = ask(rollout.address, user_ids)
                chosen = {user_id for user_id, (version, _) in said.items() if version == canary}
                wrong += sum(not _fits(told, canary, production, share) for told in said.values())
                wrong += len(user_ids) - len(said)
                left = len(before - chosen) if name != "rollback" else 0
                late = [c.ended_at for c in traffic.between(proposed, done.ended_at) if _is_late(c, canary, share)]
                steps.append(
                    Step(name, share, len(chosen) / len(user_ids), left, done.seconds,
                         max([0.0, *(at - proposed for at in late)]))
                )  # fmt: skip
                stage.say(f"canary: {name}, {steps[-1].share:.2%} of {len(user_ids):,} listeners")
                before = chosen
            time.sleep(STEADY_S)
        problems = judge(traffic.calls, steps, wrong, expected={production, canary})
        return _told(traffic, steps, len(user_ids), problems)


def _steps(canary: str) -> Sequence[tuple[str, float, tuple[str, ...]]]:
    return (
        (f"{FIRST:g} %", FIRST / 100, ("start", canary, "--percent", f"{FIRST:g}", "--manual")),
        (f"{SECOND:g} %", SECOND / 100, ("set-percent", f"{SECOND:g}")),
        ("promote", 1.0, ("promote",)),
        ("rollback", 0.0, ("rollback",)),
    )


def _fits(told: tuple[str, Arm], canary: str, production: str, share: float) -> bool:
    """Whether an answer names a version and the arm that the version has in a step."""
    if share == 1:
        return told == (canary, Arm.PRODUCTION)
    return told == (production, Arm.PRODUCTION) or (share > 0 and told == (canary, Arm.CANARY))


def _is_late(call: Call, canary: str, share: float) -> bool:
    """Whether an answer can only be of the step before: of promote and rollback, where everybody changes."""
    if call.error or share not in (0.0, 1.0):
        return False
    return (call.version == canary) != (share == 1)


def ask(address: str, user_ids: Sequence[str]) -> dict[str, tuple[str, Arm]]:
    """Version and arm that answer each listener; who has no answer is left out. BuddiesError: a call failed."""
    said: dict[str, tuple[str, Arm]] = {}
    with Client(address, timeout_s=30.0) as client:
        for first in range(0, len(user_ids), BATCH):
            for one in client.recommend(user_ids[first : first + BATCH], limit=1, explain=False):
                if one.error is None:
                    said[one.user_id] = one.model_version, one.arm
    return said


def judge(calls: Sequence[Call], steps: Sequence[Step], wrong: int, *, expected: set[str]) -> tuple[str, ...]:
    """What breaks the limits, one sentence each. wrong: answers that name another version or arm than the step has."""
    if not calls:
        return ("no call was answered",)
    problems = []
    if errors := errors_of(calls):
        problems.append(f"{sum(errors.values()):,} of {len(calls):,} calls failed ({errors})")
    for step in steps:
        if abs(step.share - step.asked) > MOST_OFF:
            problems.append(f"{step.name}: {step.share:.2%} of the listeners instead of {step.asked:.0%}")
        if step.left:
            problems.append(f"{step.name}: {step.left:,} listeners left the new version again")
    if wrong or unsigned(calls):
        problems.append(f"{wrong + unsigned(calls):,} answers do not name the version and arm that they should have")
    if others := {call.version for call in calls if not call.error} - expected:
        problems.append(f"versions {', '.join(sorted(others))} answered, and were not asked to")
    problems += [
        f"rollback: the new version answered for {step.lingered_s:.1f} s more, limit {ROLLBACK_S:g} s"
        for step in steps
        if step.name == "rollback" and step.lingered_s > ROLLBACK_S
    ]
    return tuple(problems)


def _told(traffic: Steady, steps: Sequence[Step], listeners: int, problems: tuple[str, ...]) -> Rehearsal:
    calls, errors = traffic.calls, errors_of(traffic.calls)
    lines = markdown(
        ("step", f"share of {listeners:,} listeners", "left it", "served everywhere after", "last answer of before"),
        [
            (step.name, f"{step.share:.2%}", f"{step.left:,}", f"{step.served_s:.2f} s",
             f"{step.lingered_s:.2f} s" if step.asked in (0.0, 1.0) else "-")
            for step in steps
        ],
    )  # fmt: skip
    figures: dict[str, Any] = {
        "calls_per_s": round(traffic.rate, 1), "listeners": listeners, "steps": [asdict(step) for step in steps],
    }  # fmt: skip
    return Rehearsal("canary", len(calls), sum(errors.values()), errors, figures, tuple(lines), problems)
