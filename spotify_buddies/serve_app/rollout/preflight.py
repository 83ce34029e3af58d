"""Checks of a version before it gets any traffic: its offline metrics, the origin of its data, and its ids."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spotify_buddies.serve_app.settings.rollout import RolloutSettings
from spotify_buddies.trainer.bundle import Bundle, BundleError, open_bundle
from spotify_buddies.trainer.registry.registry import Registry, VersionInfo

# The metric that training chooses its epoch by, of every set of batches; the others move with it, with more noise.
METRIC = "/mrr"
# Behind its name: its standard error over users, and the same metric of a baseline (trainer/evaluation/evaluate.py).
ERROR, POPULARITY, OVERLAP = "_se", "_popularity", "_overlap"
# In the names of sets of hard batches: "hard", "test-hard".
HARD = "hard"
# Standard deviations that count as noise: 0.5 % of the good versions are refused by one metric, and there are five.
NOISE = 2.576
# Gives the directory of a version's bundle on this machine, its hashes checked.
Fetch = Callable[[str], Path]


def objections(registry: Registry, fetch: Fetch, version: str, production: str, settings: RolloutSettings) -> list[str]:
    """Reasons why a version should not take the place of production, with the figures; empty without any.

    Both bundles are fetched, which can take minutes. RegistryError: there is no such version,
    or the registry does not answer.
    """
    new, old = registry.get(version), registry.get(production)
    reasons = falls(new, old, settings) + beneath(new, settings)
    try:
        opened = open_bundle(fetch(version), check_hashes=False)
    except BundleError as error:
        return [*reasons, f"the bundle of version {version} cannot be used: {error}"]
    reasons += unknown_data(new, opened)
    try:
        serving = open_bundle(fetch(production), check_hashes=False)
    except BundleError as error:
        return [*reasons, f"version {version} cannot be compared: production's bundle cannot be used: {error}"]
    return reasons + strangers(opened, serving, version, production, settings.min_id_overlap)


def falls(new: VersionInfo, old: VersionInfo, settings: RolloutSettings) -> list[str]:
    """A sentence for each MRR that is surely more than max_metric_drop below the old version's, as a share of it.

    Surely: beyond NOISE standard deviations of the difference, from the users that both were judged by and from the
    seeds of both trainings. The users are mostly the same, which would make the difference more certain; nothing is
    recorded that says by how much. Only metrics that both have are compared. Without any in common: one sentence.
    """
    judged = {name: value for name, value in _mrrs(old).items() if value > 0}
    both = sorted(judged.keys() & new.metrics.keys())
    if judged and not both:
        return [f"version {new.number} has none of the offline metrics of version {old.number} ({', '.join(judged)})"]
    sentences = []
    for name in both:
        value, before = new.metrics[name], judged[name]
        noise = NOISE * math.hypot(_deviation(new, name, settings), _deviation(old, name, settings)) / before
        drop = 1 - value / before
        if drop > settings.max_metric_drop + noise:
            sentences.append(
                f"{name} is {value:.4g}, {drop:.1%} below the {before:.4g} of version {old.number}; "
                f"{settings.max_metric_drop:.1%} is allowed, and users and seeds explain {noise:.1%}"
            )
    return sentences


def beneath(new: VersionInfo, settings: RolloutSettings) -> list[str]:
    """A sentence for a version without an MRR, and for one that is surely below a baseline.

    Below popularity in any set of batches; below the overlap of songs in all of them. Likes are made from overlap, so
    among random playlists it ranks them better than some good models; it tells nothing of the likely ones, the hard
    set, where a model has to be better.
    """
    mrrs = _mrrs(new)
    if not mrrs:
        return [f"version {new.number} has no offline MRR, so nothing says how well it ranks"]
    sentences = []
    for name, value in sorted(mrrs.items()):
        popularity = new.metrics.get(name + POPULARITY, 0.0)
        if value < popularity - NOISE * _deviation(new, name, settings):
            sentences.append(f"{name} of version {new.number} is {value:.4g}, below the {popularity:.4g} of popularity")
    overlaps = {name: new.metrics[name + OVERLAP] for name in mrrs if name + OVERLAP in new.metrics}
    if overlaps and all(mrrs[name] < best - NOISE * _deviation(new, name, settings) for name, best in overlaps.items()):
        figures = ", ".join(f"{name} {mrrs[name]:.4g} and {best:.4g}" for name, best in sorted(overlaps.items()))
        sentences.append(f"version {new.number} is below the overlap of songs in every set ({figures})")
    return sentences


def _mrrs(info: VersionInfo) -> dict[str, float]:
    return {name: value for name, value in info.metrics.items() if name.endswith(METRIC)}


def _deviation(info: VersionInfo, name: str, settings: RolloutSettings) -> float:
    """Standard deviation of a metric: over users, where the version says it, and over seeds of its training."""
    # Training stops by the random batches; by then the rank among hard ones may have begun to rise, or not.
    seeds = settings.hard_seed_noise if HARD in name.partition("/")[0] else settings.seed_noise
    return math.hypot(info.metrics.get(name + ERROR, 0.0), seeds * info.metrics[name])


def unknown_data(info: VersionInfo, bundle: Bundle) -> list[str]:
    """A sentence where the registry does not know the data set of a version, or another one than its bundle."""
    tagged, written = info.dataset_fingerprint, bundle.manifest.dataset_fingerprint
    if not tagged or not written:
        return [f"version {info.number} does not say which data set it was made from"]
    if tagged != written:
        return [
            f"version {info.number} was registered for data set {tagged[:12]}, its bundle was made from {written[:12]}"
        ]
    return []


def strangers(new: Bundle, old: Bundle, version: str, production: str, least: float) -> list[str]:
    """A sentence for the users, and for the playlists, of which the new version knows less than `least` of the old."""
    sentences = []
    for what, ours, theirs in (
        ("users", new.user_ids.hashes, old.user_ids.hashes),
        ("playlists", new.playlist_ids.hashes, old.playlist_ids.hashes),
    ):
        known = overlap(ours, theirs)
        if known < least:
            sentences.append(
                f"version {version} knows {known:.1%} of the {theirs.size:,} {what} of version {production}; "
                f"{least:.1%} is asked for"
            )
    return sentences


def overlap(new: npt.NDArray[np.uint64], old: npt.NDArray[np.uint64]) -> float:
    """Share of the old hashes that are among the new ones, both ascending; 1 where there are no old ones."""
    if old.size == 0:
        return 1.0
    if new.size == 0:
        return 0.0
    nearest = np.minimum(np.searchsorted(new, old), new.size - 1)
    return float(np.mean(new[nearest] == old))
