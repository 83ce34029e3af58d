"""The registry's aliases as what is wanted, and what is wanted as aliases. Pure.

Three aliases name versions beside `production`: `canary`, `shadow` and `previous`. The canary's percent is a tag of the
registered model, which counts only while there is a canary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace

from spotify_buddies.serve_app.generations.state import Wanted
from spotify_buddies.serve_app.rollout.changes import percent_text, produce, without_canary
from spotify_buddies.trainer.registry.registry import Desired

PERCENT_TAG = "canary_percent"
NAMES = ("production", "canary", "shadow", "previous")


@dataclass(frozen=True)
class Aliases:
    """What stands in the registry. percent: of the canary, written as we do where it is a number, else as it stands."""

    production: str | None = None
    canary: str | None = None
    shadow: str | None = None
    previous: str | None = None
    percent: str | None = None


def aliases_in(found: Desired) -> Aliases:
    """The part of a registered model's aliases and tags that is ours."""
    named = {name: found.aliases.get(name) for name in NAMES}
    percent = found.tags.get(PERCENT_TAG) if named["canary"] is not None else None
    if percent is not None and (share := parse_percent(percent)) is not None:
        percent = percent_text(share)
    return Aliases(**named, percent=percent)


def aliases_of(wanted: Wanted) -> Aliases:
    """What stands in the registry where it agrees with what is wanted."""
    percent = None if wanted.canary is None else percent_text(wanted.share)
    return Aliases(wanted.production, wanted.canary, wanted.shadow, wanted.previous, percent)


def parse_percent(text: str) -> float | None:
    """The share, 0 to 1, that a tag such as "10", "12.5" or "10 %" says; None: it says none."""
    try:
        percent = float(text.strip().removesuffix("%"))
    except ValueError:
        return None
    return percent / 100 if 0 <= percent <= 100 else None


def moved(theirs: Aliases, *known: Aliases) -> dict[str, str | None]:
    """What somebody set by hand: each field whose value is that of none of the known states, with its value."""
    named = [asdict(one) for one in known]
    return {name: value for name, value in asdict(theirs).items() if all(value != one[name] for one in named)}


@dataclass(frozen=True)
class Merged:
    """wanted: with what was moved by hand. problems: sentences on what is not taken over."""

    wanted: Wanted
    problems: tuple[str, ...] = ()


def merge(
    wanted: Wanted, by_hand: Mapping[str, str | None], *, first_percent: float, salt: Callable[[], str]
) -> Merged:
    """What is wanted once aliases were moved by hand (from `moved`), the rest as it was.

    A canary without a percent of its own starts with first_percent. A new production makes the old one previous, unless
    previous was moved as well; the canary that becomes production is no canary any more. salt: makes a new one.
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
    """What was moved, for people: "canary moved from none to 3"."""
    was = asdict(before)
    names = {"percent": PERCENT_TAG}
    return ", ".join(
        f"{names.get(name, name)} moved from {was[name] or 'none'} to {value or 'none'}"
        for name, value in by_hand.items()
    )


def _with_canary(wanted: Wanted, canary: str | None, first_percent: float, salt: Callable[[], str]) -> Wanted:
    if canary is None or canary == wanted.production:
        return without_canary(wanted)
    if canary == wanted.canary:
        return wanted
    return replace(wanted, canary=canary, share=first_percent / 100, salt=salt())
