"""Translation between the registry's aliases and what a generation wants. Pure.

Three aliases name versions beside `production`: `canary`, `shadow` and `previous`. The canary's percent is a tag of the
registered model; it counts only while there is a canary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace

from spotify_buddies.serve_app.generations.state import Wanted
from spotify_buddies.serve_app.rollout.changes import percent_text, produce, without_canary
from spotify_buddies.trainer.registry.registry import RegistryAliases

PERCENT_TAG = "canary_percent"
NAMES = ("production", "canary", "shadow", "previous")


@dataclass(frozen=True)
class Aliases:
    """Our aliases in the registry. percent: the canary's; a number in our notation, anything else as it was written."""

    production: str | None = None
    canary: str | None = None
    shadow: str | None = None
    previous: str | None = None
    percent: str | None = None


def aliases_in(registered: RegistryAliases) -> Aliases:
    """The part of a registered model's aliases and tags that is ours."""
    named = {name: registered.aliases.get(name) for name in NAMES}
    percent = registered.tags.get(PERCENT_TAG) if named["canary"] is not None else None
    if percent is not None and (share := parse_percent(percent)) is not None:
        percent = percent_text(share)
    return Aliases(**named, percent=percent)


def aliases_of(wanted: Wanted) -> Aliases:
    """The aliases of a registry that agrees with what is wanted."""
    percent = None if wanted.canary is None else percent_text(wanted.share)
    return Aliases(wanted.production, wanted.canary, wanted.shadow, wanted.previous, percent)


def parse_percent(text: str) -> float | None:
    """The share, 0 to 1, of a tag such as "10", "12.5" or "10 %"; None: it is no percent."""
    try:
        percent = float(text.strip().removesuffix("%"))
    except ValueError:
        return None
    return percent / 100 if 0 <= percent <= 100 else None


def moved(theirs: Aliases, *known: Aliases) -> dict[str, str | None]:
    """The fields that somebody set by hand, with their values: those that differ from all known states."""
    states = [asdict(one) for one in known]
    return {name: value for name, value in asdict(theirs).items() if all(value != state[name] for state in states)}


@dataclass(frozen=True)
class Merged:
    """The result of `merge`. wanted: with what was moved by hand. problems: a sentence for each refused change."""

    wanted: Wanted
    problems: tuple[str, ...] = ()


def merge(
    wanted: Wanted, by_hand: Mapping[str, str | None], *, first_percent: float, salt: Callable[[], str]
) -> Merged:
    """What is wanted after aliases were moved by hand (see `moved`); the rest stays.

    A canary without a percent starts with first_percent. A new production makes the old one previous, unless previous
    was moved as well; a canary that becomes production is no canary any more. salt: makes a new one.
    """
    problems = []
    changed = wanted
    if "production" in by_hand:
        if (production := by_hand["production"]) is None:
            problems.append(f"alias production was deleted; it is put back to version {wanted.production}")
        else:
            changed = produce(changed, production)
    if "previous" in by_hand:
        previous = by_hand["previous"]
        changed = replace(changed, previous=None if previous == changed.production else previous)
    if "shadow" in by_hand:
        changed = replace(changed, shadow=by_hand["shadow"])
    if "canary" in by_hand:
        changed = _with_canary(changed, by_hand["canary"], first_percent, salt)
    if (percent := by_hand.get("percent")) is not None and changed.canary is not None:
        share = parse_percent(percent)
        if share is None:
            problems.append(
                f"tag {PERCENT_TAG} is {percent!r}, which is no number from 0 to 100; "
                f"{percent_text(changed.share)} stays in force"
            )
        else:
            changed = replace(changed, share=share)
    return Merged(changed, tuple(problems))


def describe(by_hand: Mapping[str, str | None], before: Aliases) -> str:
    """The moves as text: "canary moved from none to 3"."""
    old = asdict(before)
    names = {"percent": PERCENT_TAG}
    return ", ".join(
        f"{names.get(name, name)} moved from {old[name] or 'none'} to {value or 'none'}"
        for name, value in by_hand.items()
    )


def _with_canary(wanted: Wanted, canary: str | None, first_percent: float, salt: Callable[[], str]) -> Wanted:
    if canary is None or canary == wanted.production:
        return without_canary(wanted)
    if canary == wanted.canary:
        return wanted
    return replace(wanted, canary=canary, share=first_percent / 100, salt=salt(), interleave=False)
