"""The least that offline metrics must show before a version serves: an MRR, and none surely below the baselines."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spotify_buddies.trainer.registry.versions import VersionInfo

# The metric that training chooses its epoch by, of every set of batches; the others move with it, with more noise.
METRIC = "/mrr"
# Behind its name: its standard error over users, and the same metric of a baseline (trainer/evaluation/evaluate.py).
ERROR, POPULARITY, OVERLAP = "_se", "_popularity", "_overlap"
# In the names of sets of hard batches: "hard", "test-hard".
HARD = "hard"
# Standard deviations that count as noise: 0.5 % of the good versions are refused by one metric, and there are five.
NOISE = 2.576


@dataclass(frozen=True)
class SeedNoise:
    """Standard deviation of an MRR over the seeds of a training, as a share of it; the defaults of [rollout]."""

    random: float = 0.02
    hard: float = 0.15


def mrrs(info: VersionInfo) -> dict[str, float]:
    """The offline MRRs of a version, by their names."""
    return {name: value for name, value in info.metrics.items() if name.endswith(METRIC)}


def deviation(info: VersionInfo, name: str, seeds: SeedNoise) -> float:
    """Standard deviation of a metric: over users, where the version says it, and over seeds of its training."""
    # Training stops by the random batches; by then the rank among hard ones may have begun to rise, or not.
    share = seeds.hard if HARD in name.partition("/")[0] else seeds.random
    return math.hypot(info.metrics.get(name + ERROR, 0.0), share * info.metrics[name])


def beneath(new: VersionInfo, seeds: SeedNoise | None = None) -> list[str]:
    """A sentence for a version without an MRR, and for one that is surely below a baseline. seeds: None for defaults.

    Below popularity in any set of batches; below the overlap of songs in all of them. Likes are made from overlap, so
    among random playlists it ranks them better than some good models; it tells nothing of the likely ones, the hard
    set, where a model has to be better.
    """
    seeds = seeds or SeedNoise()
    measured = mrrs(new)
    if not measured:
        return [f"version {new.number} has no offline MRR, so nothing says how well it ranks"]
    sentences = []
    for name, value in sorted(measured.items()):
        popularity = new.metrics.get(name + POPULARITY, 0.0)
        if value < popularity - NOISE * deviation(new, name, seeds):
            sentences.append(f"{name} of version {new.number} is {value:.4g}, below the {popularity:.4g} of popularity")
    overlaps = {name: new.metrics[name + OVERLAP] for name in measured if name + OVERLAP in new.metrics}
    if overlaps and all(measured[name] < best - NOISE * deviation(new, name, seeds) for name, best in overlaps.items()):
        figures = ", ".join(f"{name} {measured[name]:.4g} and {best:.4g}" for name, best in sorted(overlaps.items()))
        sentences.append(f"version {new.number} is below the overlap of songs in every set ({figures})")
    return sentences
