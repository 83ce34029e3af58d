"""Changes that people and gates make to a rollout, as functions of the wanted versions and of the history. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from spotify_buddies.serve_app.generations.state import Generation, GenerationState, Wanted


class Refused(Exception):
    """The change makes no sense as things stand, or must not be made; the message says why and what to do."""


class NoCanary(Refused):
    """The change is of the canary, and there is none."""


def start(
    wanted: Wanted, version: str, percent: float, *, paused: bool, salt: Callable[[], str], interleave: bool = False
) -> Wanted:
    """Give a version a share of the users; of the present canary only the share changes. salt: makes a new one.

    interleave: these users get lists drafted from both versions. Where that changes, the canary begins anew.
    """
    if version == wanted.production:
        raise Refused(f"version {version} is production already")
    if wanted.canary not in (None, version):
        raise Refused(
            f"version {wanted.canary} is the canary, with {show_percent(wanted.share)}: promote it or roll back"
        )
    kept = wanted.salt if (wanted.canary, wanted.interleave) == (version, interleave) else salt()
    shadow = None if wanted.shadow == version else wanted.shadow
    return replace(
        wanted, canary=version, share=percent / 100, salt=kept, shadow=shadow, paused=paused or wanted.paused,
        interleave=interleave,
    )  # fmt: skip


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
    """Remove the canary; where there is none, production and previous change places (see `refuse_return`)."""
    if wanted.canary is not None:
        return without_canary(wanted)
    if wanted.previous is None:
        raise Refused("there is neither a canary nor a previous version to go back to")
    return produce(wanted, wanted.previous)


def refuse_return(history: Sequence[Generation]) -> None:
    """Refused: `roll_back` would make a version production again that was rolled back before.

    history: generations, newest first. After a rollback `previous` is the version that it took away, so a second one
    would bring it back. If that was meant, a third one is a rollback again, and so on: the number of such steps in a
    row is what counts.
    """
    newest = next((one for one in history if one.state is not GenerationState.FAILED), None)
    if newest is None or newest.wanted.canary is not None:
        return
    steps: list[tuple[Generation, Generation]] = []
    for after, before in _changed(history):
        if after.wanted.production == before.wanted.production:
            continue
        if after.wanted.production != before.wanted.previous:
            break
        steps.append((after, before))
    if len(steps) % 2 and newest.wanted.previous == steps[0][1].wanted.production:
        raise Refused(
            f"version {newest.wanted.previous} was rolled back by {_told(steps[0][0])}, and this would make it "
            "production again; use --force if that is what you want"
        )


def promotion(history: Sequence[Generation]) -> Generation | None:
    """The generation that made the last canary production; None where production or canary changed otherwise since.

    history: generations, newest first.
    """
    after, before = next(_changed(history), (None, None))
    if after is None or before is None or before.wanted.canary is None or after.wanted.canary is not None:
        return None
    return after if after.wanted.production == before.wanted.canary else None


def already(done: Generation) -> str:
    """A sentence for who promotes a canary that somebody promoted before."""
    return f"version {done.wanted.production} is production already: promoted by {_told(done)}"


def without_canary(wanted: Wanted) -> Wanted:
    """Remove the canary, and with it a pause, which was the canary's."""
    return replace(wanted, canary=None, share=0.0, salt="", paused=False, interleave=False)


def pause(wanted: Wanted) -> Wanted:
    """Let gates measure and decide nothing."""
    return replace(wanted, paused=True)


def resume(wanted: Wanted) -> Wanted:
    """Let gates decide again."""
    return replace(wanted, paused=False)


def shadow(wanted: Wanted, version: str | None) -> Wanted:
    """A version that ranks beside production, unseen; None: none."""
    if version is not None and version == wanted.production:
        raise Refused(f"version {version} is production: it would be compared with itself")
    return replace(wanted, shadow=version)


def show_percent(share: float) -> str:
    """A share of the users, 0 to 1, for people: "12.5 %"."""
    return f"{percent_text(share)} %"


def percent_text(share: float) -> str:
    """A share of the users, 0 to 1, as the percent in the registry: "12.5"."""
    return f"{share * 100:.6g}"


def _canary(wanted: Wanted) -> str:
    if wanted.canary is None:
        raise NoCanary("there is no canary; start one with `buddies rollout start VERSION`")
    return wanted.canary


def _changed(history: Sequence[Generation]) -> Iterator[tuple[Generation, Generation]]:
    """Generations that changed production or the canary, each with the one before, newest first; none that failed."""
    kept = [one for one in history if one.state is not GenerationState.FAILED]
    for after, before in pairwise(kept):
        if (after.wanted.production, after.wanted.canary) != (before.wanted.production, before.wanted.canary):
            yield after, before


def _told(made: Generation) -> str:
    return f"{made.who} (generation {made.number}, {made.at:%Y-%m-%d %H:%M:%S} UTC)"
