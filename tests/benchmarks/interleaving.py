"""How many listeners a split and an interleaved rollout need to tell two versions apart, on simulated listeners.

Prints the tables of docs/rollout-gates.md: python -m tests.benchmarks.interleaving
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np

from spotify_buddies.serve_app.rollout.gates.preference import mean_and_variance, preference_of
from spotify_buddies.serve_app.rollout.gates.sequential import combine, evidence, scale
from spotify_buddies.serve_app.versions.interleaving.kernels import CANARY, draft

ALPHA, EFFECT, MARGIN, LEAST = 0.05, 0.2, 0.1, 100
# Listeners between two looks.
EVERY = 50


@dataclass(frozen=True)
class World:
    """Listeners come one after another; each is shown `visits` lists of `limit` playlists and likes some.

    A listener's like rate of the first place is beta distributed around `rate` with `concentration`; at rank r it is
    1 / log2(1 + r) of that (attention). Of the canary's places a share `overlap` holds what production has at that
    place; what only the canary has is liked so much less that its whole list earns a share `drop` less likes.
    """

    drop: float = 0.1
    overlap: float = 0.5
    rate: float = 0.2
    concentration: float = 4.0
    visits: int = 5
    limit: int = 10

    def tastes(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Like rates of listeners, (count,)."""
        return rng.beta(self.rate * self.concentration, (1 - self.rate) * self.concentration, count)

    @property
    def attention(self) -> np.ndarray:
        """By rank, (limit,)."""
        return np.asarray(1 / np.log2(np.arange(self.limit) + 2))


@dataclass(frozen=True)
class Decided:
    """Listeners of both versions at which each run found the canary worse, or not worse by the margin; 0: at none."""

    worse: np.ndarray
    as_good: np.ndarray


def split(world: World, runs: int, listeners: int, *, seed: int) -> Decided:
    """Half of the listeners get each version; the gate of like rates looks at all that came."""
    rng = np.random.default_rng(seed)
    looks = np.arange(EVERY, listeners + 1, EVERY)
    worse, as_good = np.zeros(runs, np.int64), np.zeros(runs, np.int64)
    for run in range(runs):
        taste, canary = world.tastes(rng, listeners), rng.random(listeners) < 0.5
        chance = (taste * np.where(canary, 1 - world.drop, 1.0))[:, None] * world.attention
        rates = rng.binomial(world.visits, chance).sum(axis=1) / (world.visits * world.limit)
        arms = np.stack([canary, ~canary], axis=1)
        sums = [
            np.cumsum(arms * column[:, None], axis=0)[looks - 1] for column in (np.ones(listeners), rates, rates**2)
        ]
        users, totals, squares = (column[:, None, :] for column in sums)
        mine, theirs, variance = combine(users, totals, squares, ())
        tau = scale(theirs, users[:, 0, 1], EFFECT)
        enough = users[:, 0].min(axis=1) >= LEAST
        worse[run] = _first(looks, enough & _sure(mine - theirs, variance, tau))
        as_good[run] = _first(looks, enough & _sure(theirs - mine - MARGIN * theirs, variance, tau))
    return Decided(worse, as_good)


def interleaved(world: World, runs: int, listeners: int, *, seed: int) -> Decided:
    """All listeners get lists drafted from both; the gate of preferences looks at all that came."""
    rng = np.random.default_rng(seed)
    looks = np.arange(EVERY, listeners + 1, EVERY)
    worse, as_good, tau = np.zeros(runs, np.int64), np.zeros(runs, np.int64), preference_of(EFFECT)
    for run in range(runs):
        mine, theirs = _likes(world, rng, listeners)
        liked = mine + theirs > 0
        value = np.where(liked, (mine - theirs) / np.maximum(mine + theirs, 1), 0.0)
        sums = [np.cumsum(column)[looks - 1] for column in (liked, value, value**2)]
        mean, variance = mean_and_variance(np.maximum(sums[0], 1), sums[1], sums[2])
        enough = sums[0] >= LEAST
        worse[run] = _first(looks, enough & _sure(mean, variance, tau))
        as_good[run] = _first(looks, enough & _sure(-(mean + preference_of(MARGIN)), variance, tau))
    return Decided(worse, as_good)


def _likes(world: World, rng: np.random.Generator, listeners: int) -> tuple[np.ndarray, np.ndarray]:
    """Likes of what the canary and production picked, by listener; every list is drafted by the product's kernel."""
    lists, limit = listeners * world.visits, world.limit
    same = rng.random((lists, limit)) < world.overlap
    places = np.broadcast_to(np.arange(limit), (lists, limit))
    ids = np.stack([places, np.where(same, places, places + limit)])
    teams, picked = np.zeros((lists, limit), np.int8), np.zeros((lists, limit), np.int32)
    draft(
        ids, np.full(ids.shape, -1, np.int64), np.full((2, lists), limit, np.int64),
        np.broadcast_to(np.zeros((1, 1, 1), np.bool_), (lists, limit, limit)),
        rng.integers(0, 2**64, lists, np.uint64), limit, teams, picked, np.zeros(lists, np.int32),
    )  # fmt: skip
    own = (teams == CANARY) & ~np.take_along_axis(same, picked.astype(np.int64), axis=1)
    less = world.drop / (1 - world.overlap)
    chance = np.repeat(world.tastes(rng, listeners), world.visits)[:, None] * world.attention
    likes = rng.random((lists, limit)) < chance * np.where(own, 1 - less, 1.0)
    credited = [
        (likes & (teams == team)).sum(axis=1).reshape(listeners, -1).sum(axis=1) for team in (CANARY, 1 - CANARY)
    ]
    return credited[0], credited[1]


def _sure(difference: np.ndarray, variance: np.ndarray, tau: np.ndarray | float) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return np.asarray(evidence(difference, variance, tau) >= -np.log(ALPHA))


def _first(looks: np.ndarray, found: np.ndarray) -> int:
    return int(looks[np.argmax(found)]) if found.any() else 0


def _told(found: np.ndarray) -> str:
    """The share of runs that found it, and the median of the listeners until then (of runs that did not: never)."""
    median = np.median(np.where(found > 0, found, np.inf))
    return f"{np.mean(found > 0):.1%}, {median:,.0f}" if np.isfinite(median) else f"{np.mean(found > 0):.1%}, -"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=400, help="of each row; four times as many without a difference")
    parser.add_argument("--listeners", type=int, default=40_000, help="of the split; a quarter of it interleaved")
    given = parser.parse_args()
    print("| canary's like rate | same playlists | split: worse | interleaved: worse | split: as good | interleaved |")
    print("|--:|--:|--:|--:|--:|--:|", flush=True)
    for drop in (0.05, 0.1, 0.2, 0.0):
        runs = given.runs if drop else 4 * given.runs
        alone = split(World(drop), runs, given.listeners, seed=1)
        for overlap in (0.0, 0.5):
            both = interleaved(World(drop, overlap), runs, given.listeners // 4, seed=2)
            found = alone.worse, both.worse, alone.as_good, both.as_good
            print(f"| {-drop:+.0%} | {overlap:.0%} | {' | '.join(map(_told, found))} |", flush=True)


if __name__ == "__main__":
    main()
