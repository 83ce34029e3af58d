"""How often the like-rate gate is wrong, and how soon it is right, on simulated listeners.

Prints the tables of docs/rollout-gates.md: python -m tests.benchmarks.like_gate
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spotify_buddies.serve_app.rollout.gates.sequential import evidence, mean_variance

ALPHA, EFFECT, LEAST = 0.05, 0.2, 100


@dataclass(frozen=True)
class World:
    """Listeners with a like rate of their own, beta distributed around `rate`; the canary's is `change` of that.

    listeners: of both arms together, `share` of them the canary's. In each of `looks` looks a listener comes back with
    probability `visits` and reacts to `reactions` playlists.
    """

    listeners: int = 1_000
    share: float = 0.5
    rate: float = 0.2
    change: float = 1.0
    concentration: float = 4.0
    looks: int = 50
    visits: float = 0.1
    reactions: int = 5


@dataclass(frozen=True)
class Decided:
    """The look (from 0) at which each run found the canary worse, and not worse by the margin; -1: at none."""

    worse: np.ndarray
    as_good: np.ndarray
    naive: np.ndarray


def simulate(world: World, runs: int, *, seed: int, margin: float = 0.1) -> Decided:
    """Run the gate's own statistics on `runs` canaries at once, looking after every batch of visits."""
    rng = np.random.default_rng(seed)
    canaries = round(world.listeners * world.share)
    taste = rng.beta(world.rate * world.concentration, (1 - world.rate) * world.concentration, (runs, world.listeners))
    taste[:, :canaries] *= world.change
    liked, shown = np.zeros(taste.shape, np.int32), np.zeros(taste.shape, np.int32)
    decided = Decided(*(np.full(runs, -1) for _ in range(3)))
    for look in range(world.looks):
        run, listener = np.nonzero(rng.random(taste.shape) < world.visits)
        shown[run, listener] += world.reactions
        liked[run, listener] += rng.binomial(world.reactions, taste[run, listener]).astype(np.int32)
        _look(decided, look, liked, shown, canaries, margin)
    return decided


def _look(decided: Decided, look: int, liked: np.ndarray, shown: np.ndarray, canaries: int, margin: float) -> None:
    rates = liked / np.maximum(shown, 1)
    arms = []
    for arm in (np.s_[:, :canaries], np.s_[:, canaries:]):
        own, seen = rates[arm], shown[arm] > 0
        arms.append((seen.sum(1), own.sum(1), (own**2).sum(1)))
    (mine, my_sum, my_squares), (theirs, their_sum, their_squares) = arms
    enough = np.minimum(mine, theirs) >= LEAST
    variance = mean_variance(mine, my_sum, my_squares) + mean_variance(theirs, their_sum, their_squares)
    production = their_sum / np.maximum(theirs, 1)
    difference = my_sum / np.maximum(mine, 1) - production
    tau = EFFECT * (their_sum + 1) / (theirs + 2)
    found = (
        evidence(difference, variance, tau) >= -np.log(ALPHA),
        evidence(-(difference + margin * production), variance, tau) >= -np.log(ALPHA),
        difference < -1.645 * np.sqrt(variance),
    )
    for first, now in zip((decided.worse, decided.as_good, decided.naive), found, strict=True):
        first[enough & now & (first < 0)] = look


def main() -> None:
    print("| listeners | canary's share | same canary called worse (limit 5 %) | fixed test, looked at each time |")
    print("|---|---|---|---|")
    for listeners, share in ((1_000, 0.5), (2_000, 0.1), (4_000, 0.5)):
        decided = simulate(World(listeners, share, looks=100), 2_000, seed=1)
        print(
            f"| {listeners:,} | {share:.0%} | {np.mean(decided.worse >= 0):.2%} | {np.mean(decided.naive >= 0):.1%} |"
        )
    print("\n| listeners | canary's share | its like rate | found worse | shown as good |")
    print("|---|---|---|---|---|")
    for listeners, share, change in (
        (1_000, 0.5, 0.5), (1_000, 0.5, 0.7), (2_000, 0.1, 0.5), (2_000, 0.25, 0.7), (4_000, 0.5, 0.8),
        (4_000, 0.5, 0.9), (4_000, 0.5, 1.0), (16_000, 0.5, 1.0),
    ):  # fmt: skip
        decided = simulate(World(listeners, share, change=change), 400, seed=2)
        print(
            f"| {listeners:,} | {share:.0%} | {change - 1:+.0%} | {np.mean(decided.worse >= 0):.1%} |"
            f" {np.mean(decided.as_good >= 0):.1%} |"
        )


if __name__ == "__main__":
    main()
