"""The registration of a new version under aliases, of which `production` is not given to any version."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from spotify_buddies.trainer.registry.registry import Registry
from spotify_buddies.trainer.registry.worth import beneath

PRODUCTION = "production"


def register_checked(
    registry: Registry, bundle_dir: Path, run_id: str, aliases: Sequence[str]
) -> tuple[str, tuple[str, ...]]:
    """Register a bundle as Registry.register does; returns the version's number and warnings for people.

    Alias production is not moved from another version to one without an offline MRR, or below the baselines: a warning
    says why, and how to force it. Where there is none yet the first version gets it in any case, for nothing else could
    serve, and a warning says what speaks against it.
    """
    others = [alias for alias in aliases if alias != PRODUCTION]
    number = registry.register(bundle_dir, run_id, aliases=others)
    if PRODUCTION not in aliases:
        return number, ()
    serving = registry.read_aliases().aliases.get(PRODUCTION, number)
    against = "; ".join(beneath(registry.get(number)))
    if against and serving != number:
        force = f"`buddies registry alias {PRODUCTION} {number} --force`"
        return number, (f"{PRODUCTION} stays version {serving}: {against}; {force} moves it",)
    registry.set_alias(PRODUCTION, number)
    return number, (f"{PRODUCTION} is version {number}, although {against}",) if against else ()
