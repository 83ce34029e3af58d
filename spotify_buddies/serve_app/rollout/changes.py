"""What people and gates can do to a rollout, as functions from what is wanted to what shall be wanted. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from spotify_buddies.serve_app.generations.state import Wanted


class Refused(Exception):
    """The change makes no sense as things stand, or must not be made; the message says why and what to do."""


def start(wanted: Wanted, version: str, percent: float, *, paused: bool, salt: Callable[[], str]) -> Wanted:
    """Give a version a share of the listeners; for the canary of now only the share changes. salt: makes a new one."""
    if version == wanted.production:
        raise Refused(f"version {version} is production already")
    if wanted.canary not in (None, version):
        raise Refused(
            f"version {wanted.canary} is the canary, with {show_percent(wanted.share)}: promote it or roll back"
        )
    kept = wanted.salt if wanted.canary == version else salt()
    shadow = None if wanted.shadow == version else wanted.shadow
    return replace(
        wanted, canary=version, share=percent / 100, salt=kept, shadow=shadow, paused=paused or wanted.paused
    )


def set_percent(wanted: Wanted, percent: float) -> Wanted:
    """Another share for the canary."""
    _canary(wanted)
    return replace(wanted, share=percent / 100)


def promote(wanted: Wanted) -> Wanted:
    """The canary becomes production, production becomes previous, and a pause ends."""
    return produce(wanted, _canary(wanted))


def produce(wanted: Wanted, version: str) -> Wanted:
    """A version becomes production, and production previous; a canary that is this version has become it."""
    if version == wanted.production:
        return wanted
    changed = replace(wanted, production=version, previous=wanted.production)
    if wanted.shadow == version:
        changed = replace(changed, shadow=None)
    return without_canary(changed) if wanted.canary == version else changed


def roll_back(wanted: Wanted) -> Wanted:
    """Without the canary; where there is none, production and previous change places."""
    if wanted.canary is not None:
        return without_canary(wanted)
    if wanted.previous is None:
        raise Refused("there is neither a canary nor a previous version to go back to")
    return produce(wanted, wanted.previous)


def without_canary(wanted: Wanted) -> Wanted:
    """No canary, and no pause either: it was the canary's."""
    return replace(wanted, canary=None, share=0.0, salt="", paused=False)


def pause(wanted: Wanted) -> Wanted:
    """Gates go on measuring and decide nothing."""
    return replace(wanted, paused=True)


def resume(wanted: Wanted) -> Wanted:
    """Gates decide again."""
    return replace(wanted, paused=False)


def shadow(wanted: Wanted, version: str | None) -> Wanted:
    """A version that ranks beside production, unseen; None: none."""
    if version is not None and version == wanted.production:
        raise Refused(f"version {version} is production: it would be compared with itself")
    return replace(wanted, shadow=version)


def show_percent(share: float) -> str:
    """A share of the listeners, 0 to 1, for people: "12.5 %"."""
    return f"{percent_text(share)} %"


def percent_text(share: float) -> str:
    """A share of the listeners, 0 to 1, as the percent that stands in the registry: "12.5"."""
    return f"{share * 100:.6g}"


def _canary(wanted: Wanted) -> str:
    if wanted.canary is None:
        raise Refused("there is no canary; start one with `buddies rollout start VERSION`")
    return wanted.canary
