"""The registration of a new version under aliases, of which `production` is not given to any version."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from spotify_buddies.trainer.registry.derived_kinds import DerivedKind
from spotify_buddies.trainer.registry.errors import RegistryError
from spotify_buddies.trainer.registry.registry import Registry
from spotify_buddies.trainer.registry.versions import VersionInfo
from spotify_buddies.trainer.registry.worth import beneath, falls, narrows, served

PRODUCTION = "production"


def check_production(
    new: VersionInfo, aliases: Sequence[str], serving: VersionInfo | None = None, *, force: bool
) -> None:
    """RegistryError: production is among the aliases of a version that `objections` speak against, without force."""
    if PRODUCTION in aliases and not force and (against := objections(new, serving)):
        raise RegistryError(f"{'; '.join(against)}; production is not moved without --force")


def serving_version(registry: Registry) -> VersionInfo | None:
    """The version behind production; None: there is none yet."""
    number = registry.read_aliases().aliases.get(PRODUCTION)
    return None if number is None else registry.get(number)


def check_derived(kind: DerivedKind, aliases: Sequence[str], *, force: bool) -> None:
    """RegistryError: production is among the aliases of a version that is made to be bad, without force.

    Its manifest has the metrics of the version that it was made from, so that these cannot tell.
    """
    if PRODUCTION in aliases and not force and kind is not DerivedKind.SAME:
        raise RegistryError(f"a {kind.value} version is bad on purpose; production is not moved without --force")


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
    new = registry.get(number)
    old = serving_version(registry) or new
    against = "; ".join(objections(new, old))
    if against and old.number != number:
        force = f"`buddies registry alias {PRODUCTION} {number} --force`"
        return number, (f"{PRODUCTION} stays version {old.number}: {against}; {force} moves it",)
    registry.set_alias(PRODUCTION, number)
    return number, (f"{PRODUCTION} is version {number}, although {against}",) if against else ()


def objections(new: VersionInfo, old: VersionInfo | None) -> list[str]:
    """What speaks against a version as production, in place of the one that serves; None: none does.

    Without an offline figure, or below the baselines. Where both say what they serve, and were made from one data set:
    surely worse than the one that serves, or showing much less of the catalogue. Versions of other data are compared
    when a rollout begins.
    """
    against = beneath(new)
    if old is None or old.number == new.number:
        return against
    if served(new) and served(old) and new.dataset_fingerprint == old.dataset_fingerprint:
        against += falls(new, old) + narrows(new, old)
    return against
