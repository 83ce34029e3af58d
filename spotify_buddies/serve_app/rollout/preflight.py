"""Checks of a version before it gets any traffic: its offline metrics, the origin of its data, and its ids."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spotify_buddies.serve_app.settings.rollout import RolloutSettings
from spotify_buddies.trainer.bundle import Bundle, BundleError, open_bundle
from spotify_buddies.trainer.registry import worth
from spotify_buddies.trainer.registry.registry import Registry, VersionInfo

# Gives the directory of a version's bundle on this machine, its hashes checked.
Fetch = Callable[[str], Path]


def objections(registry: Registry, fetch: Fetch, version: str, production: str, settings: RolloutSettings) -> list[str]:
    """Reasons why a version should not take the place of production, with the figures; empty without any.

    Both bundles are fetched, which can take minutes. RegistryError: there is no such version,
    or the registry does not answer.
    """
    new, old = registry.get(version), registry.get(production)
    reasons = falls(new, old, settings) + worth.beneath(new, seeds_of(settings))
    if new.kept:
        reasons.append(f"its retraining kept version {version} back: {new.kept}")
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
    """A sentence for each figure that fell, and for lists that show much less of the catalogue, under [rollout].

    None where a retraining has compared the two: it asked both the same questions, and their own figures are of others.
    """
    if new.judged_against and new.judged_against == old.number:
        return []
    fallen = worth.falls(new, old, seeds_of(settings), settings.max_metric_drop)
    return fallen + worth.narrows(new, old, settings.min_coverage_kept)


def seeds_of(settings: RolloutSettings) -> worth.SeedNoise:
    """The noise of seeds as [rollout] has it."""
    return worth.SeedNoise(settings.seed_noise, settings.hard_seed_noise, settings.served_seed_noise)


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
