"""How often the verdicts are wrong about an equal canary, and how soon they are right about another one.

    python -m tests.benchmarks.aa_canaries                            1,000 equal canaries
    python -m tests.benchmarks.aa_canaries --power --plot docs/rollout-gates-power.svg
    python -m tests.benchmarks.aa_canaries --canaries 100 --json

Each canary goes through the real `decide` with the default settings, at every tick of ten minutes, from 1 % until it is
promoted, rolled back or a week is over. Users come back, in calls of one to eight, whose users fail together; like
rates have a daily cycle of 30 % and differ by user; a call may fail, be slow, be empty, and shows playlists by
popularity. Nothing here is a test.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from spotify_buddies.foundation.terminal.tables import table
from spotify_buddies.serve_app.rollout.gates.limits import GateOutcome
from spotify_buddies.serve_app.rollout.gates.measures import ArmFigures, Measures, StepCounts
from spotify_buddies.serve_app.rollout.gates.sequential import LikeRates, Likes, Returned, StepLikes
from spotify_buddies.serve_app.rollout.gates.split import Split
from spotify_buddies.serve_app.rollout.gates.verdict import Position, Verdict, VerdictKind, decide
from spotify_buddies.serve_app.settings.gates import GateSettings
from spotify_buddies.serve_app.versions.counts import EDGES_MS

TICK_S, TICKS = 600.0, 1_008
USERS, VISITS, LIMIT, PLAYLISTS = 20_000, 0.05, 5, 3_000
BEGAN = datetime(2026, 1, 5, tzinfo=UTC)
ARMS = (True, False)


@dataclass(frozen=True)
class Change:
    """How the canary differs. likes: its like rate over production's. lost: share of its users whose lists are not
    recorded. errors, empty: added shares of calls that fail, and of users with an empty list.
    """

    likes: float = 1.0
    lost: float = 0.0
    errors: float = 0.0
    empty: float = 0.0


@dataclass(frozen=True)
class End:
    """What became of a canary. gate: that broke or blocked first, with the answers of the canary until then."""

    kind: str
    gate: str
    ticks: int
    answers: int


@dataclass
class _Arm:
    """An arm in the running step."""

    answers: int = 0
    errors: int = 0
    empty: int = 0
    cold: int = 0
    asked_squares: int = 0
    answered_squares: int = 0
    latencies: np.ndarray = field(default_factory=lambda: np.zeros(len(EDGES_MS) + 1, np.int64))
    shown: np.ndarray = field(default_factory=lambda: np.zeros(PLAYLISTS, bool))

    def counts(self) -> StepCounts:
        return StepCounts(
            self.answers, self.errors, self.empty, self.cold, tuple(self.latencies.tolist()), self.asked_squares,
            self.answered_squares,
        )  # fmt: skip


class _World:
    """The users of one canary, and what they did in each step."""

    def __init__(self, change: Change, rng: np.random.Generator) -> None:
        self.change, self.rng = change, rng
        self.taste = rng.beta(0.8, 3.2, USERS)
        self.place = rng.random(USERS)
        self.is_lost = rng.random(USERS) < change.lost
        self.steps: list[tuple[np.ndarray, np.ndarray]] = []
        self.likes: list[StepLikes] = []
        self.returned: list[Returned] = []
        weights = 1 / np.arange(1, PLAYLISTS + 1) ** 0.8
        self.popular = np.cumsum(weights / weights.sum())

    def begin(self, share: float) -> None:
        """A step with another share."""
        if self.steps:
            self._close()
        self.share, self.in_canary = share, self.place < share
        self.steps.append((np.zeros(USERS, np.int32), np.zeros(USERS, np.int32)))
        self.listed = np.zeros(USERS, bool)
        self.arms = {True: _Arm(), False: _Arm()}
        self.before = {True: StepCounts(), False: StepCounts()}

    def tick(self, number: int) -> None:
        """Ten minutes of calls."""
        rng = self.rng
        self.before = {arm: self.arms[arm].counts() for arm in ARMS}
        users = np.flatnonzero(rng.random(USERS) < VISITS)
        rng.shuffle(users)
        sizes = rng.integers(1, 9, users.size)
        call = np.repeat(np.arange(sizes.size), sizes)[: users.size]
        mood = rng.random(int(call[-1]) + 1) if users.size else np.empty(0)
        took = rng.lognormal(0.7, 0.5, mood.size)
        day = 1 + 0.3 * np.sin(2 * np.pi * number * TICK_S / 86_400)
        for arm in ARMS:
            mine = self.in_canary[users] == arm
            self._serve(arm, users[mine], call[mine], mood, took, day)

    def _serve(
        self, arm: bool, users: np.ndarray, call: np.ndarray, mood: np.ndarray, took: np.ndarray, day: float
    ) -> None:
        if not users.size:
            return
        rng, one = self.rng, self.arms[arm]
        failing = mood[call] < 0.002 + (self.change.errors if arm else 0.0)
        many = np.unique(call, return_counts=True)[1]
        one.asked_squares += int((many**2).sum())
        answered, calls = users[~failing], np.unique(call[~failing], return_counts=True)
        one.errors += int(failing.sum())
        one.answers += answered.size
        one.answered_squares += int((calls[1] ** 2).sum())
        one.latencies += np.bincount(np.searchsorted(EDGES_MS, took[calls[0]]), minlength=len(EDGES_MS) + 1)
        one.cold += int((rng.random(answered.size) < 0.05).sum())
        empty = rng.random(answered.size) < 0.005 + (self.change.empty if arm else 0.0)
        one.empty += int(empty.sum())
        full = answered[~empty]
        one.shown[np.minimum(np.searchsorted(self.popular, rng.random(full.size * LIMIT)), PLAYLISTS - 1)] = True
        self.listed[answered[~self.is_lost[answered]] if arm else answered] = True
        chance = np.minimum(self.taste[full] * day * (self.change.likes if arm else 1.0), 1.0)
        reacts = rng.random(full.size) < 0.5
        liked, shown = self.steps[-1]
        liked[full[reacts]] += rng.binomial(LIMIT, chance[reacts]).astype(np.int32)
        shown[full[reacts]] += LIMIT

    def measures(self, peak: float) -> Measures:
        """What the reader would find."""
        steps = (*self.likes, self._likes(len(self.steps) - 1))
        reacted = [sum(step.canary.users for step in steps), sum(step.production.users for step in steps)]
        returned = (*self.returned, *self._returns(len(self.steps) - 1))
        figures = [
            ArmFigures(one.counts(), one.counts().since(self.before[arm]), int(one.shown.sum()))
            for arm, one in self.arms.items()
        ]
        seen = int((self.listed & self.in_canary).sum()), int((self.listed & ~self.in_canary).sum())
        return Measures(*figures, tuple(EDGES_MS), LikeRates(steps, returned, *reacted), Split(*seen, self.share, peak))

    def _close(self) -> None:
        step = len(self.steps) - 1
        self.likes.append(self._likes(step))
        self.returned += self._returns(step)
        self.earlier = [*getattr(self, "earlier", []), self.in_canary]

    def _likes(self, step: int) -> StepLikes:
        liked, shown = self.steps[step]
        arms = []
        for arm in ARMS:
            chosen = (shown > 0) & (self.in_canary == arm)
            rates = liked[chosen] / shown[chosen]
            arms.append(Likes(int(chosen.sum()), float(rates.sum()), float((rates**2).sum()), int(shown[chosen].sum())))
        return StepLikes(*arms)

    def _returns(self, step: int) -> list[Returned]:
        found = []
        liked, shown = self.steps[step]
        for before in range(step):
            was_liked, was_shown = self.steps[before]
            for arm in ARMS:
                both = (shown > 0) & (was_shown > 0) & (self.in_canary == arm) & (self.earlier[before] == arm)
                first, second = was_liked[both] / was_shown[both], liked[both] / shown[both]
                sums = float(first.sum()), float(second.sum()), float((first * second).sum())
                found.append(Returned(arm, before, step, int(both.sum()), *sums))
        return found


def play(seed: int, change: Change, settings: GateSettings) -> End:
    """One canary from its start to its end."""
    world = _World(change, np.random.default_rng([seed, 15]))
    share, since, starts, peak = settings.steps[0] / 100, 0, [BEGAN], 0.0
    world.begin(share)
    answers = 0
    for number in range(1, TICKS + 1):
        now = BEGAN + timedelta(seconds=number * TICK_S)
        world.tick(number)
        measures = world.measures(peak)
        peak = measures.split.evidence if measures.split else 0.0
        step_since = BEGAN + timedelta(seconds=since * TICK_S)
        verdict = decide(measures, Position(share, BEGAN, step_since, starts=tuple(starts)), settings, now)
        until = answers + measures.canary.step.answers
        if any(gate.outcome is GateOutcome.BLOCKED for gate in verdict.gates):
            return End("blocked", "split", number, until)
        if verdict.kind in (VerdictKind.ROLL_BACK, VerdictKind.PROMOTE):
            return End(str(verdict.kind), _broken(verdict), number, until)
        if verdict.kind is VerdictKind.ADVANCE:
            answers, share, since, peak = until, verdict.next_share, number, 0.0
            starts.append(now)
            world.begin(share)
    return End("hold", "", TICKS, answers)


def _broken(verdict: Verdict) -> str:
    if verdict.kind is VerdictKind.PROMOTE:
        return ""
    return next((gate.name for gate in verdict.gates if gate.outcome is GateOutcome.BROKEN), "time is over")


def canaries(count: int, change: Change, *, first: int = 0) -> list[End]:
    """So many canaries, on both processors."""
    with ProcessPoolExecutor() as pool:
        work = partial(play, change=change, settings=GateSettings())
        return list(pool.map(work, range(first, first + count), chunksize=4))


def equal(count: int) -> dict[str, Any]:
    """The A/A test."""
    ends = canaries(count, Change())
    kinds, gates = Counter(end.kind for end in ends), Counter(end.gate for end in ends if end.kind == "roll_back")
    return {
        "canaries": count,
        "looks": sum(end.ticks for end in ends),
        "ends": dict(kinds),
        "rolled_back_by": dict(gates),
        "false_rollbacks": kinds["roll_back"] / count,
        "false_blocks": kinds["blocked"] / count,
        "days_until_promoted": float(np.median([end.ticks for end in ends if end.kind == "promote"] or [0])) / 144,
    }


FEW = 0.2
EFFECTS: dict[str, tuple[tuple[float, ...], str]] = {
    "like rate lower by": ((0.05, 0.1, 0.2, 0.3, 0.5), "likes"),
    "users lost": ((0.01, 0.02, 0.05, 0.1, 0.2), "lost"),
    "more failed calls": ((0.01, 0.03, 0.1), "errors"),
    "more empty lists": ((0.01, 0.03, 0.1), "empty"),
}


def power(count: int) -> list[dict[str, Any]]:
    """A row for each effect: how many canaries were found out, and after how many of their answers (median)."""
    rows = []
    for name, (sizes, what) in EFFECTS.items():
        for size in sizes:
            ends = canaries(count, Change(**{what: 1 - size if what == "likes" else size}), first=10_000)
            found = [end for end in ends if end.kind in ("roll_back", "blocked")]
            rows.append({
                "effect": name, "size": size, "canaries": count, "found": len(found) / count,
                "promoted": sum(end.kind == "promote" for end in ends) / count,
                "answers": int(np.median([end.answers for end in found])) if found else None,
                "days": float(np.median([end.ticks for end in found])) / 144 if found else None,
                "by": dict(Counter(end.gate for end in found)),
            })  # fmt: skip
    return rows


def plot(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Shares found and answers until then, by the size of the effect."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "power"
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for name in EFFECTS:
        own = [row for row in rows if row["effect"] == name]
        sizes = [100 * row["size"] for row in own]
        left.plot(sizes, [100 * row["found"] for row in own], marker="o", label=name)
        # Where few are found, most of these were found by chance.
        answers = [row["answers"] if row["found"] >= FEW else np.nan for row in own]
        right.plot(sizes, answers, marker="o", label=name)
    left.set(xlabel="size of the effect, %", ylabel="canaries found out, %", ylim=(-3, 103), xscale="log")
    right.set(xlabel="size of the effect, %", ylabel="answers of the canary until then", xscale="log", yscale="log")
    left.legend(fontsize=8)
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--canaries", type=int)
    parser.add_argument("--power", action="store_true")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if not given.power:
        print(json.dumps(equal(given.canaries or 1_000), indent=1))
        return
    rows = power(given.canaries or 40)
    if given.plot:
        plot(rows, given.plot)
    if given.json:
        print(json.dumps(rows, indent=1))
        return
    headers = ("effect", "size", "found", "promoted", "answers of the canary until then", "days")
    cells = [
        (row["effect"], f"{row['size']:.0%}", f"{row['found']:.0%}", f"{row['promoted']:.0%}",
         "" if row["answers"] is None else f"{row['answers']:,}", "" if row["days"] is None else f"{row['days']:.1f}")
        for row in rows
    ]  # fmt: skip
    print(table(headers, cells, right=range(1, 6)))


if __name__ == "__main__":
    main()
