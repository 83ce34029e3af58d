"""The least that offline metrics must show before a version serves: none surely below the baselines or production.

A version is judged by what it serves where it says so: held-out likes over all playlists, through its own candidates
and ranking (docs/adr/0022-served-protocol.md). Others are judged by their MRRs of one playlist among 50.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spotify_buddies.trainer.registry.versions import VersionInfo

# The metric that training chooses its epoch by, of every set of batches; the others move with it, with more noise.
METRIC = "/mrr"
# Of what is served: these are compared (trainer/evaluation/served/protocol.py), and these two are kept from collapse.
SERVED = "served/"
SERVED_METRICS = (f"{SERVED}hit@5", f"{SERVED}ndcg@10")
COVERAGE, GINI = f"{SERVED}coverage", f"{SERVED}gini"
# Behind its name: its standard error over users, and the same metric of a baseline (trainer/evaluation/evaluate.py).
ERROR, POPULARITY, OVERLAP = "_se", "_popularity", "_overlap"
# In the names of sets of hard batches: "hard", "test-hard".
HARD = "hard"
# Standard deviations that count as noise: 0.5 % of the good versions are refused by one metric, and there are five.
NOISE = 2.576
# Shares of an older version's figures; the defaults of [rollout].
MOST_DROP, LEAST_KEPT = 0.02, 0.5


@dataclass(frozen=True)
class SeedNoise:
    """Standard deviation of a metric over the seeds of a training, as a share of it; the defaults of [rollout].

    random, hard: of an MRR. served: of Hit@5 and NDCG@10 of what is served.
    """

    random: float = 0.02
    hard: float = 0.15
    served: float = 0.07


def mrrs(info: VersionInfo) -> dict[str, float]:
    """The offline MRRs of a version, by their names."""
    return {name: value for name, value in info.metrics.items() if name.endswith(METRIC)}


def served(info: VersionInfo) -> dict[str, float]:
    """The figures of what a version serves, by their names; empty where it does not say."""
    return {name: info.metrics[name] for name in SERVED_METRICS if name in info.metrics}


def deviation(info: VersionInfo, name: str, seeds: SeedNoise) -> float:
    """Standard deviation of a metric: over users, where the version says it, and over seeds of its training."""
    # Training stops by the random batches; by then the rank among hard ones may have begun to rise, or not.
    among_50 = seeds.hard if HARD in name.partition("/")[0] else seeds.random
    share = seeds.served if name.startswith(SERVED) else among_50
    return math.hypot(info.metrics.get(name + ERROR, 0.0), share * info.metrics[name])


def beneath(new: VersionInfo, seeds: SeedNoise | None = None) -> list[str]:
    """A sentence for a version without a figure, and for one that is surely below a baseline. seeds: None for defaults.

    A version that says what it serves of real follows: below popularity in one of SERVED_METRICS. Any other: below
    popularity in any set of batches; below the overlap of songs in all of them. Simulated likes are made from overlap,
    so among random playlists it ranks them better than some good models; it tells nothing of the likely ones, the hard
    set, where a model has to be better.
    """
    seeds = seeds or SeedNoise()
    real = {name: value for name, value in served(new).items() if name + POPULARITY in new.metrics}
    measured = real or mrrs(new)
    if not measured and not served(new):
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


def falls(new: VersionInfo, old: VersionInfo, seeds: SeedNoise | None = None, most: float = MOST_DROP) -> list[str]:
    """A sentence for each figure that is surely more than `most` below the old version's, as a share of it.

    The figures of what is served where both versions say them, else the MRRs. Surely: beyond NOISE standard deviations
    of the difference, from the users that both were judged by and from the seeds of both trainings. The users are
    mostly the same, which would make the difference more certain; nothing is recorded that says by how much. Only
    figures that both have are compared. Without any in common: one sentence.
    """
    seeds = seeds or SeedNoise()
    before = served(old) if served(new) and served(old) else mrrs(old)
    judged = {name: value for name, value in before.items() if value > 0}
    both = sorted(judged.keys() & new.metrics.keys())
    if judged and not both:
        return [f"version {new.number} has none of the offline metrics of version {old.number} ({', '.join(judged)})"]
    sentences = []
    for name in both:
        value, past = new.metrics[name], judged[name]
        noise = NOISE * math.hypot(deviation(new, name, seeds), deviation(old, name, seeds)) / past
        drop = 1 - value / past
        if drop > most + noise:
            sentences.append(
                f"{name} is {value:.4g}, {drop:.1%} below the {past:.4g} of version {old.number}; "
                f"{most:.1%} is allowed, and users and seeds explain {noise:.1%}"
            )
    return sentences


def narrows(new: VersionInfo, old: VersionInfo, least: float = LEAST_KEPT) -> list[str]:
    """A sentence where lists show less than `least` of the coverage of the old version, or of its evenness.

    Evenness is 1 - Gini. Hits may rise while everybody gets the same playlists; this bounds how far. Only what both
    versions say is compared.
    """
    sentences = []
    for what, name, share in (("coverage", COVERAGE, float), ("evenness (1 - Gini)", GINI, lambda gini: 1 - gini)):
        if name in new.metrics and name in old.metrics:
            now, past = share(new.metrics[name]), share(old.metrics[name])
            if now < least * past:
                allowed = f"less than {least:.0%} of the {past:.4g} of version {old.number}"
                sentences.append(f"{what} of the lists of version {new.number} is {now:.4g}, {allowed}")
    return sentences
