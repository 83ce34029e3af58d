"""How often the like-rate gate is wrong, and how soon it is right, on simulated users.

Prints the tables of docs/rollout-gates.md: python -m tests.benchmarks.like_gate
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spotify_buddies.serve_app.rollout.gates.sequential import Returned, combine, evidence, scale

ALPHA, EFFECT, LEAST = 0.05, 0.2, 100


@dataclass(frozen=True)
class World:
    """Users with a like rate of their own, beta distributed around `rate`; the canary's is `change` of that.

    users: of both arms together. shares: the canary's in each step of the ramp; the looks are spread evenly over the
    steps, and who is in a share is in the larger ones. drift: what all like rates are multiplied by in the last step;
    in the steps between, evenly less. In each of `looks` looks a user comes back with probability `visits` and reacts
    to `reactions` playlists.
    """

    users: int = 1_000
    shares: tuple[float, ...] = (0.5,)
    rate: float = 0.2
    change: float = 1.0
    drift: float = 1.0
    concentration: float = 4.0
    looks: int = 50
    visits: float = 0.1
    reactions: int = 5


@dataclass(frozen=True)
class Decided:
    """The look (from 0) at which each run found the canary worse, and not worse by the margin; -1: at none.

    naive: a test meant for one look. pooled: the sequential test on the reactions of all steps together.
    """

    worse: np.ndarray
    as_good: np.ndarray
    naive: np.ndarray
    pooled: np.ndarray


@dataclass
class _Reactions:
    """What all users did in one step, or in one arm: (runs, users)."""

    liked: np.ndarray
    shown: np.ndarray

    @classmethod
    def none(cls, shape: tuple[int, ...]) -> _Reactions:
        return cls(np.zeros(shape, np.int32), np.zeros(shape, np.int32))

    def add(self, run: np.ndarray, user: np.ndarray, liked: np.ndarray, shown: int) -> None:
        self.shown[run, user] += shown
        self.liked[run, user] += liked

    @property
    def rates(self) -> np.ndarray:
        return np.asarray(self.liked / np.maximum(self.shown, 1))

    def sums(self, chosen: Any) -> np.ndarray:
        """Users who reacted, their like rates and the squares of these, summed: (runs, 3)."""
        rates, seen = self.rates[chosen], self.shown[chosen] > 0
        return np.stack([seen.sum(1), rates.sum(1), (rates**2).sum(1)], axis=1)


@dataclass
class _Ramp:
    """The reactions of each step so far, and of each arm over all steps."""

    steps: list[_Reactions]
    arms: tuple[_Reactions, _Reactions]
    # Of the steps that are over.
    known: dict[Any, Any] = field(default_factory=dict)


def simulate(world: World, runs: int, *, seed: int, margin: float = 0.1) -> Decided:
    """Run the gate's own statistics on `runs` canaries at once, looking after every batch of visits."""
    rng = np.random.default_rng(seed)
    many, shape = len(world.shares), (runs, world.users)
    taste = rng.beta(world.rate * world.concentration, (1 - world.rate) * world.concentration, shape)
    ramp = _Ramp([], (_Reactions.none(shape), _Reactions.none(shape)))
    decided = Decided(*(np.full(runs, -1) for _ in range(4)))
    for look in range(world.looks):
        step = look * many // world.looks
        if step == len(ramp.steps):
            ramp.steps.append(_Reactions.none(shape))
        canaries = round(world.users * world.shares[step])
        drift = 1 + (world.drift - 1) * step / max(1, many - 1)
        run, user = np.nonzero(rng.random(shape) < world.visits)
        chance = taste[run, user] * drift * np.where(user < canaries, world.change, 1.0)
        liked = rng.binomial(world.reactions, np.minimum(chance, 1.0)).astype(np.int32)
        ramp.steps[step].add(run, user, liked, world.reactions)
        for arm, own in enumerate((user < canaries, user >= canaries)):
            ramp.arms[arm].add(run[own], user[own], liked[own], world.reactions)
        _look(decided, look, world, ramp, margin)
    return decided


def _look(decided: Decided, look: int, world: World, ramp: _Ramp, margin: float) -> None:
    sums, returned = _strata(world, ramp)
    whole = np.s_[:, :]
    pooled = np.stack([arm.sums(whole) for arm in ramp.arms], axis=1)
    users = pooled[..., 0]
    _, production, variance = both = combine(sums[..., 0], sums[..., 1], sums[..., 2], returned)
    difference = both[0] - production
    tau = scale(production, users[:, 1], EFFECT)
    mine, theirs, spread = combine(pooled[:, None, :, 0], pooled[:, None, :, 1], pooled[:, None, :, 2], ())
    level = -np.log(ALPHA)
    found = (
        evidence(difference, variance, tau) >= level,
        evidence(-(difference + margin * production), variance, tau) >= level,
        difference < -1.645 * np.sqrt(variance),
        evidence(mine - theirs, spread, scale(theirs, users[:, 1], EFFECT)) >= level,
    )
    enough = users.min(axis=1) >= LEAST
    results = (decided.worse, decided.as_good, decided.naive, decided.pooled)
    for first, now in zip(results, found, strict=True):
        first[enough & now & (first < 0)] = look


def _strata(world: World, ramp: _Ramp) -> tuple[np.ndarray, list[Any]]:
    """Sums of each step and arm, (runs, steps, 2, 3), and of the users who reacted to one arm in two steps."""
    running, sums, returned = len(ramp.steps) - 1, [], []
    for step, done in enumerate(ramp.steps):
        canaries = round(world.users * world.shares[step])
        if step == running or step not in ramp.known:
            arms = (np.s_[:, :canaries], np.s_[:, canaries:])
            ramp.known[step] = np.stack([done.sums(arm) for arm in arms], axis=1)
        sums.append(ramp.known[step])
        for before in range(step):
            if step == running or (before, step) not in ramp.known:
                ramp.known[before, step] = _returned(world, ramp, before, step)
            returned += ramp.known[before, step]
    return np.stack(sums, axis=1), returned


def _returned(world: World, ramp: _Ramp, before: int, step: int) -> list[Any]:
    one, other = ramp.steps[before], ramp.steps[step]
    # The share grows: canary users of the step before are the canary's, production's of this one were production's.
    arms = (np.s_[:, : round(world.users * world.shares[before])], np.s_[:, round(world.users * world.shares[step]) :])
    found: list[Any] = []
    for arm, chosen in enumerate(arms):
        both = (one.shown[chosen] > 0) & (other.shown[chosen] > 0)
        first, second = one.rates[chosen] * both, other.rates[chosen] * both
        totals: tuple[Any, ...] = (both.sum(1), first.sum(1), second.sum(1), (first * second).sum(1))
        found.append(Returned(arm == 0, before, step, *totals))
    return found


def main() -> None:
    print("| users | canary's share | drift | same canary called worse (limit 5 %) | pooled | fixed test, each time |")
    print("|---|---|---|---|---|---|")
    ramp = (0.05, 0.25, 0.5)
    for users, shares, drift in (
        (1_000, (0.5,), 1.0), (2_000, (0.1,), 1.0), (4_000, (0.5,), 1.0), (4_000, ramp, 1.0), (4_000, ramp, 0.8),
        (4_000, ramp, 0.6), (4_000, ramp, 1.25), (4_000, (0.01, *ramp), 0.8),
    ):  # fmt: skip
        looks = 100 if len(shares) == 1 else 96
        decided = simulate(World(users, shares, drift=drift, looks=looks), 2_000, seed=1)
        wrong = [np.mean(looks >= 0) for looks in (decided.worse, decided.pooled, decided.naive)]
        print(f"| {users:,} | {_shown(shares)} | {drift - 1:+.0%} | {' | '.join(f'{share:.1%}' for share in wrong)} |")
    print("\n| users | canary's share | its like rate | found worse | shown as good |")
    print("|---|---|---|---|---|")
    for users, shares, change in (
        (1_000, (0.5,), 0.5), (1_000, (0.5,), 0.7), (2_000, (0.1,), 0.5), (2_000, (0.25,), 0.7), (4_000, (0.5,), 0.8),
        (4_000, (0.5,), 0.9), (4_000, (0.5,), 1.0), (16_000, (0.5,), 1.0), (4_000, ramp, 0.8), (16_000, ramp, 1.0),
    ):  # fmt: skip
        decided = simulate(World(users, shares, change=change), 400, seed=2)
        print(
            f"| {users:,} | {_shown(shares)} | {change - 1:+.0%} | {np.mean(decided.worse >= 0):.1%} |"
            f" {np.mean(decided.as_good >= 0):.1%} |"
        )


def _shown(shares: tuple[float, ...]) -> str:
    return ", ".join(f"{share:.0%}" for share in shares)


if __name__ == "__main__":
    main()
