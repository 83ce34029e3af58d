"""One simulated canary, judged by the gates' own code at every look (tests.benchmarks.aa_canaries runs many).

Listeners visit more or less often, alone or in calls of many, and react one look later. Their like rates follow the
hour and fall over the week. Their arms are those of the product's hash; production answers for a failed canary.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.serve_app.rollout.gates.limits import GateOutcome
from spotify_buddies.serve_app.rollout.gates.listeners import Split, log_evidence
from spotify_buddies.serve_app.rollout.gates.measures import ArmFigures, Measures, StepCounts
from spotify_buddies.serve_app.rollout.gates.sequential import LikeRates, Likes, Returned, StepLikes
from spotify_buddies.serve_app.rollout.gates.verdict import Position, Verdict, VerdictKind, decide
from spotify_buddies.serve_app.settings.gates import GateSettings
from spotify_buddies.serve_app.versions.arms import places
from spotify_buddies.serve_app.versions.counts import EDGES_MS, SIZES

Array = npt.NDArray[Any]
SETTINGS = GateSettings()
LOOK = timedelta(minutes=30)
DAY = 48
CALL_SIZES = np.array([1, 1, 1, 1, 8, 64])
CANARY, PRODUCTION = 0, 1
PLAYLISTS, LISTED, REACTIONS = 2_000, 5, 5
BEGAN = datetime(2026, 6, 1, tzinfo=UTC)


@dataclass(frozen=True)
class World:
    """visits: mean of a listener in a look. errors, empties: shares of both arms; *_rise: what the canary adds. likes:
    the canary's like rate over production's. lost: of the canary's listeners, those whose lists are never recorded.
    """

    users: int = 12_000
    visits: float = 0.25
    rate: float = 0.2
    likes: float = 1.0
    errors: float = 0.003
    errors_rise: float = 0.0
    empties: float = 0.01
    empties_rise: float = 0.0
    lost: float = 0.0


@dataclass(frozen=True)
class Ended:
    """How a canary ended: a kind of verdict, or "blocked"; gates: broken or blocked. answers: of both arms."""

    kind: str
    gates: tuple[str, ...]
    looks: int
    answers: int
    was_blocked: bool
    share: float


@dataclass
class _Step:
    share: float
    began: int
    canary: Array
    totals: Array = field(default_factory=lambda: np.zeros((2, 5), np.int64))
    latencies: Array = field(default_factory=lambda: np.zeros((2, len(SIZES) + 1, len(EDGES_MS) + 1), np.int64))
    playlists: Array = field(default_factory=lambda: np.zeros((2, PLAYLISTS), np.bool_))


class Canary:
    """A canary from its first look to its end."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.rng = world, np.random.default_rng(seed)
        users, rng = world.users, self.rng
        ids = [f"listener-{number}" for number in range(users)]
        self.places = places(ids, f"{rng.integers(2**63):x}").astype(np.float64) / 2.0**64
        self.taste = rng.beta(world.rate * 4, (1 - world.rate) * 4, users)
        self.often = rng.gamma(2.0, 0.5, users)
        self.unrecorded = rng.random(users) < world.lost
        self.steps: list[_Step] = []
        self.shown: list[Array] = []
        self.liked: list[Array] = []
        self.sums: list[StepLikes] = []
        self.pairs: dict[int, list[Returned]] = {}
        self.waiting: tuple[Array, Array, Array] | None = None
        self.answers, self.split = 0, Split()
        self._next(SETTINGS.after(0.0), 0)

    def run(self) -> Ended:
        """Look until the gates end it, or block it in a world with losses."""
        blocked = False
        for look in range(1, math.ceil(SETTINGS.max_canary_s / LOOK.total_seconds()) + 2):
            verdict = self._look(look)
            wrong = {GateOutcome.BROKEN, GateOutcome.BLOCKED}
            gates = tuple(gate.name for gate in verdict.gates if gate.outcome in wrong)
            blocked = blocked or "split" in gates
            if verdict.kind is VerdictKind.ADVANCE:
                self._next(verdict.next_share, look)
            elif verdict.kind is not VerdictKind.HOLD:
                return Ended(verdict.kind.value, gates, look, self.answers, blocked, verdict.share)
            elif blocked:
                return Ended("blocked", gates, look, self.answers, blocked, verdict.share)
        raise AssertionError("the gates end every canary within its time")

    def position(self) -> Position:
        """Where the ramp is."""
        starts = tuple(BEGAN + one.began * LOOK for one in self.steps)
        return Position(self.steps[-1].share, BEGAN, starts[-1], starts=starts)

    def _next(self, share: float, look: int) -> None:
        self.steps.append(_Step(share, look, self.places < share))
        self.seen = np.zeros((2, self.world.users), np.bool_)
        self.split = Split()

    def _look(self, look: int) -> Verdict:
        world, rng, step = self.world, self.rng, self.steps[-1]
        before = step.totals.copy()
        hour = math.sin(2 * math.pi * look / DAY)
        came = rng.permutation(np.flatnonzero(rng.random(world.users) < world.visits * (1 + 0.6 * hour) * self.often))
        arm = self._serve(step, came)
        self._react(look, hour, came, arm)
        figures = [self._figures(step, number, before) for number in (CANARY, PRODUCTION)]
        likes = self._likes()
        now = BEGAN + look * LOOK
        measures = Measures(figures[CANARY], figures[PRODUCTION], EDGES_MS, likes, self._split(step))
        return decide(measures, self.position(), SETTINGS, now)

    def _serve(self, step: _Step, came: Array) -> Array:
        """Count the calls of those who came; returns the arm that answered each."""
        rng, world = self.rng, self.world
        sizes = rng.choice(CALL_SIZES, len(came) + 1)
        call = np.repeat(np.arange(len(sizes)), sizes)[: len(came)]
        calls = int(call[-1]) + 1 if len(call) else 0
        own = np.where(step.canary[came], CANARY, PRODUCTION)
        fails = rng.random(calls) < world.errors + world.errors_rise
        # What fails for production fails for the caller: nobody answers it.
        lost = rng.random(calls) < world.errors
        failed = np.where(own == CANARY, fails[call], lost[call])
        arm = np.where(failed, np.where(own == CANARY, PRODUCTION, -1), own)
        for number in (CANARY, PRODUCTION):
            asked = np.bincount(call[own == number], minlength=calls)
            answered = np.bincount(call[arm == number], minlength=calls)
            errors = int((failed & (own == number)).sum())
            share = world.empties + (world.empties_rise if number == CANARY else 0.0)
            empty = rng.binomial(int(answered.sum()), share)
            asked = np.maximum(asked, answered)
            step.totals[number] += (answered.sum(), errors, empty, (asked**2).sum(), (answered**2).sum())
            timed = answered[answered > 0]
            took = 2.0 * timed**0.3 * rng.lognormal(0.0, 0.5, len(timed))
            np.add.at(step.latencies[number], (np.searchsorted(SIZES, timed), np.searchsorted(EDGES_MS, took)), 1)
            step.playlists[number][(PLAYLISTS * rng.random((int(answered.sum()), LISTED)) ** 2).astype(int)] = True
            self.answers += int(answered.sum())
            self.seen[number, came[arm == number]] = True
        return arm

    def _react(self, look: int, hour: float, came: Array, arm: Array) -> None:
        """Store what came in since the last look, and keep what this look's listeners will do until the next."""
        # What comes between two looks came before this one.
        strata = bisect_left(self.position().strata(SETTINGS.reaction_delay_s), BEGAN + look * LOOK)
        while len(self.sums) < strata:
            for known in (self.shown, self.liked):
                known.append(np.zeros((2, self.world.users), np.int32))
            self.sums.append(StepLikes(Likes(), Likes()))
        if self.waiting is not None:
            users, arms, liked = self.waiting
            self.shown[-1][arms, users] += REACTIONS
            self.liked[-1][arms, users] += liked
        users, arms = came[arm >= 0], arm[arm >= 0]
        drift = (1 + 0.3 * hour) * (1 - 0.2 * look / (7 * DAY))
        chance = self.taste[users] * drift * np.where(arms == CANARY, self.world.likes, 1.0)
        self.waiting = users, arms, self.rng.binomial(REACTIONS, np.minimum(chance, 1.0))

    def _figures(self, step: _Step, number: int, before: Array) -> ArmFigures:
        totals, recent = step.totals[number], step.totals[number] - before[number]
        latencies = tuple(step.latencies[number].ravel().tolist())
        cold = int(0.1 * totals[0])
        whole = StepCounts(
            int(totals[0]), int(totals[1]), int(totals[2]), cold, latencies, int(totals[3]), int(totals[4])
        )
        last = StepCounts(int(recent[0]), int(recent[1]), asked_squares=int(recent[3]))
        return ArmFigures(whole, last, int(step.playlists[number].sum()))

    def _likes(self) -> LikeRates:
        last = len(self.sums) - 1
        rates = [liked / np.maximum(shown, 1) for liked, shown in zip(self.liked, self.shown, strict=True)]
        own = rates[last]
        users, totals, squares = (self.shown[last] > 0).sum(1), own.sum(1), (own**2).sum(1)
        arms = [
            Likes(int(users[a]), float(totals[a]), float(squares[a]), int(self.shown[last][a].sum())) for a in (0, 1)
        ]
        self.sums[last] = StepLikes(arms[CANARY], arms[PRODUCTION])
        self.pairs[last] = []
        for before in range(last):
            both = (self.shown[before] > 0) & (self.shown[last] > 0)
            first, second = rates[before] * both, own * both
            for a in (CANARY, PRODUCTION):
                moments = float(first[a].sum()), float(second[a].sum()), float((first[a] * second[a]).sum())
                self.pairs[last].append(Returned(a == CANARY, before, last, int(both[a].sum()), *moments))
        ever = np.any([shown > 0 for shown in self.shown], axis=0).sum(1)
        returned = tuple(pair for pairs in self.pairs.values() for pair in pairs)
        return LikeRates(tuple(self.sums), returned, int(ever[CANARY]), int(ever[PRODUCTION]))

    def _split(self, step: _Step) -> Split:
        mine = self.seen[CANARY] & ~(self.unrecorded & step.canary)
        theirs = self.seen[PRODUCTION] & ~(self.unrecorded & step.canary)
        canary, listeners = int(mine.sum()), int((mine | theirs).sum())
        seen = float(log_evidence(canary, listeners, step.share))
        self.split = Split(canary, listeners, int((mine & theirs).sum()), max(self.split.peak, seen))
        return self.split
