"""The registration of a new version under aliases, of which `production` is not given to any version."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from spotify_buddies.trainer.registry.registry import Registry
from spotify_buddies.trainer.registry.worth import beneath, falls, narrows, served

PRODUCTION = "production"


def register_checked(
    registry: Registry, bundle_dir: Path, run_id: str, aliases: Sequence[str]
) -> tuple[str, tuple[str, ...]]:
    """Register a bundle as Registry.register does; returns the version's number and warnings for people.

    Alias production is not moved from another version to one that `objections` speak against: a warning says why, and
    how to force it. Where there is none yet the first version gets it in any case, for nothing else could
    serve, and a warning says what speaks against it.
    """
    others = [alias for alias in aliases if alias != PRODUCTION]
    number = registry.register(bundle_dir, run_id, aliases=others)
    if PRODUCTION not in aliases:
        return number, ()
    serving = registry.read_aliases().aliases.get(PRODUCTION, number)
    against = "; ".join(objections(registry, number, serving))
    if against and serving != number:
        force = f"`buddies registry alias {PRODUCTION} {number} --force`"
        return number, (f"{PRODUCTION} stays version {serving}: {against}; {force} moves it",)
    registry.set_alias(PRODUCTION, number)
    return number, (f"{PRODUCTION} is version {number}, although {against}",) if against else ()


def objections(registry: Registry, number: str, serving: str | None) -> list[str]:
    """What speaks against a version as production, in place of the one that serves; None: none does.

    Without an offline figure, or below the baselines. Where both say what they serve, and were made from one data set:
    surely worse than the one that serves, or showing much less of the catalogue. Versions of other data are compared
    when a rollout begins. RegistryError: there is no such version.
    """
    new = registry.get(number)
    against = beneath(new)
    if serving is None or serving == number:
        return against
    old = registry.get(serving)
    if served(new) and served(old) and new.dataset_fingerprint == old.dataset_fingerprint:
        against += falls(new, old) + narrows(new, old)
    return against
