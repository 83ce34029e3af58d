"""The drill `canary`: from 10 % to production and back; its share, who is in it, and how fast it ends."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from spotify_buddies.clients.drills.framework.account import errors_of, unsigned
from spotify_buddies.clients.drills.framework.drill import Stage
from spotify_buddies.clients.drills.framework.result import DrillResult
from spotify_buddies.clients.drills.framework.traffic import Call, Traffic
from spotify_buddies.clients.drills.rollout.driven import Rollout
from spotify_buddies.clients.python import Arm, Client
from spotify_buddies.foundation.terminal.tables import table

# With 40,000 users the observed share is off by 0.25 points (one standard deviation) at 50 %.
USERS = 40_000
BATCH = 500
FIRST, SECOND = 10.0, 50.0
MOST_OFF = 0.01
ROLLBACK_S = 1.0
STEADY_S = 3.0


@dataclass(frozen=True)
class Step:
    """Which version answered whom. share: of users by the new version; left: had it a step before, and no longer.

    served_s: from the proposal until every replica served it, the command's end included; lingered_s: until the last
    answer that another step would have given, by the steady traffic.
    """

    name: str
    asked: float
    share: float
    left: int
    served_s: float
    lingered_s: float


def play(stage: Stage) -> DrillResult:
    """The drill. DrillError, CommandFailed: it could not be brought to its end."""
    rollout = Rollout.of(stage.service, stage.options.model)
    known = list(stage.users.user_ids)
    user_ids = [*known, *(f"nobody-{number}" for number in range(USERS - len(known)))]
    with rollout.restored() as production:
        canary = rollout.derive(production, "same")
        rate = stage.rate()
        stage.say(f"canary: version {canary} beside version {production}, {rate:.0f} calls/s")
        with Traffic(stage.address, stage.users, rate).running() as traffic:
            time.sleep(STEADY_S)
            climb = _Climb(rollout, traffic, user_ids, production, canary)
            for name, share, command in _steps(canary):
                step = climb.take(name, share, command)
                stage.say(f"canary: {name}, {step.share:.2%} of {len(user_ids):,} users")
            time.sleep(STEADY_S)
        problems = judge(traffic.calls, climb.steps, climb.wrong, expected={production, canary})
        return _result(traffic, climb.steps, len(user_ids), problems)


class _Climb:
    """The steps taken so far. wrong: answers that name another version or arm than their step has, or nothing."""

    def __init__(
        self, rollout: Rollout, traffic: Traffic, user_ids: Sequence[str], production: str, canary: str
    ) -> None:
        self.steps: list[Step] = []
        self.wrong = 0
        self._rollout, self._traffic, self._user_ids = rollout, traffic, user_ids
        self._production, self._canary = production, canary
        self._before: set[str] = set()

    def take(self, name: str, share: float, command: Sequence[str]) -> Step:
        """Run the command of a step, wait until it is served, and ask who answers every user."""
        done = self._rollout.do(*command, "--wait", "--why", "a drill")
        proposed = done.ended_unix - done.seconds
        answered = ask(self._rollout.address, self._user_ids)
        chosen = {user_id for user_id, (version, _) in answered.items() if version == self._canary}
        self.wrong += sum(not _fits(one, self._canary, self._production, share) for one in answered.values())
        self.wrong += len(self._user_ids) - len(answered)
        # Shares only grow until the rollback, and a user who is in a share stays in every larger one.
        left = len(self._before - chosen) if name != "rollback" else 0
        # From the proposal on: how long answers of the step before linger counts from there.
        calls = self._traffic.between(proposed, done.ended_unix)
        late = [call.ended - proposed for call in calls if _is_late(call, self._canary, share)]
        self.steps.append(
            Step(name, share, len(chosen) / len(self._user_ids), left, done.seconds, max(late, default=0.0))
        )
        self._before = chosen
        return self.steps[-1]


def _steps(canary: str) -> Sequence[tuple[str, float, tuple[str, ...]]]:
    return (
        (f"{FIRST:g} %", FIRST / 100, ("start", canary, "--percent", f"{FIRST:g}", "--manual")),
        (f"{SECOND:g} %", SECOND / 100, ("set-percent", f"{SECOND:g}")),
        ("promote", 1.0, ("promote",)),
        ("rollback", 0.0, ("rollback",)),
    )


def _fits(answer: tuple[str, Arm], canary: str, production: str, share: float) -> bool:
    """Whether an answer names a version and the arm that the version has in a step."""
    if share == 1:
        return answer == (canary, Arm.PRODUCTION)
    return answer == (production, Arm.PRODUCTION) or (share > 0 and answer == (canary, Arm.CANARY))


def _is_late(call: Call, canary: str, share: float) -> bool:
    """Whether an answer can only be of the step before: of promote and rollback, where everybody changes."""
    # In a partial share both versions answer, so that no single answer is late.
    if call.error or share not in (0.0, 1.0):
        return False
    return (call.version == canary) != (share == 1)


def ask(address: str, user_ids: Sequence[str]) -> dict[str, tuple[str, Arm]]:
    """Version and arm that answer each user; users without an answer are left out. BuddiesError: a call failed."""
    answered: dict[str, tuple[str, Arm]] = {}
    with Client(address, timeout_s=30.0) as client:
        for first in range(0, len(user_ids), BATCH):
            for one in client.recommend(user_ids[first : first + BATCH], limit=1, explain=False):
                if one.error is None:
                    answered[one.user_id] = one.model_version, one.arm
    return answered


def judge(calls: Sequence[Call], steps: Sequence[Step], wrong: int, *, expected: set[str]) -> tuple[str, ...]:
    """A sentence for each limit that is broken. wrong: answers that name another version or arm than the step has."""
    if not calls:
        return ("no call was answered",)
    problems = []
    if errors := errors_of(calls):
        problems.append(f"{sum(errors.values()):,} of {len(calls):,} calls failed ({errors})")
    for step in steps:
        if abs(step.share - step.asked) > MOST_OFF:
            problems.append(f"{step.name}: {step.share:.2%} of the users instead of {step.asked:.0%}")
        if step.left:
            problems.append(f"{step.name}: {step.left:,} users left the new version again")
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


def _result(traffic: Traffic, steps: Sequence[Step], users: int, problems: tuple[str, ...]) -> DrillResult:
    calls, errors = traffic.calls, errors_of(traffic.calls)
    rows = [
        (step.name, f"{step.share:.2%}", f"{step.left:,}", f"{step.served_s:.2f} s",
         f"{step.lingered_s:.2f} s" if step.asked in (0.0, 1.0) else "-")
        for step in steps
    ]  # fmt: skip
    headers = ("step", f"share of {users:,} users", "left it", "served everywhere after", "last answer of before")
    figures: dict[str, Any] = {
        "calls_per_s": round(traffic.rate, 1), "listeners": users, "steps": [asdict(step) for step in steps],
    }  # fmt: skip
    return DrillResult(
        "canary", len(calls), sum(errors.values()), errors, figures=figures,
        lines=(table(headers, rows, right=range(1, 5)),), problems=problems,
    )  # fmt: skip
