"""From the counts of a signal to findings: a value, a threshold, and whether that is an alarm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.serve_app.online.drift.calibration import (
    WEEK,
    DaySpread,
    psi_rise,
    psi_threshold,
    risk_of_a_test,
    spread_of_days,
)
from spotify_buddies.serve_app.online.drift.charts import deviation, deviation_limit, forgetting_weights
from spotify_buddies.serve_app.online.drift.distances import chi_square, merged, psi, regrouped, shares
from spotify_buddies.serve_app.online.drift.signals import BAD_DIRECTION, COMPARED, TESTS, Against, Counted, Signal
from spotify_buddies.serve_app.settings.drift import DriftSettings

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Finding:
    """One comparison of one signal.

    value: PSI, for TRAINING its rise since the week before, for the volume a number of standard deviations; None: not
    measured. threshold: of the value; None: not judged. from_training: PSI of the window against the training data.
    entries, compared: what was counted on each side. why: a sentence, of the figures or of why there are none.
    """

    signal: Signal
    against: Against
    value: float | None = None
    threshold: float | None = None
    alarm: bool = False
    chi_square: float | None = None
    degrees: int | None = None
    p_value: float | None = None
    from_training: float | None = None
    entries: int = 0
    compared: int = 0
    why: str = ""


@dataclass(frozen=True)
class Sides:
    """Two sides of a comparison, daily counts (.., days, bins), and the days before the window, (.., days, bins)."""

    window: Array
    base: Array
    history: Array


def sides(days: Array, window_days: int, against: Against) -> Sides:
    """Cut daily counts (.., days, bins) into what is compared; base may have no days where there are too few.

    The base of a window is the same weekdays one week before, or as many weeks as the window is long.
    """
    last = days.shape[-2]
    history = days[..., : last - window_days, :]
    if against is Against.DAY:
        before = history.shape[-2]
        step = WEEK if before >= 2 * WEEK else 1
        same = [day for day in range(before) if (last - 1 - day) % step == 0]
        return Sides(days[..., last - 1 :, :], history[..., same, :], history)
    back = WEEK * ceil(window_days / WEEK)
    first = last - window_days - back
    base = days[..., max(first, 0) : last - back, :] if first >= 0 else days[..., :0, :]
    return Sides(days[..., last - window_days :, :], base, history)


def compare(parts: Sides, risk: float, spread: DaySpread, reference: Array | None = None) -> tuple[Array, Array]:
    """Value and limit of a comparison, (..) each: PSI, or, given a reference (bins,), the rise of PSI against it."""
    if reference is not None:
        return psi_rise(parts.window, parts.base, reference, spread, risk)
    value = psi(parts.window.sum(axis=-2), parts.base.sum(axis=-2))
    return value, psi_threshold(parts.window, parts.base, spread, risk)


def chart(amounts: Array, window_days: int, against: Against, risk: float) -> tuple[Array, Array]:
    """Deviation and limit of amounts (.., days): of the last day, or of the average that forgets over the window."""
    last = amounts.shape[-1]
    weights = forgetting_weights(window_days)
    if against is Against.DAY:
        weights = np.r_[np.zeros(window_days - 1), 1.0]
    value, freedom = deviation(amounts[..., : last - window_days], amounts[..., last - window_days :], weights)
    return value, deviation_limit(freedom, risk)


def risk_of(signal: Signal, settings: DriftSettings) -> float:
    """The risk of each test of a signal in a check. Doubled where changes in one direction alone are alarms: of quiet
    days beyond the limit, half go in the other.
    """
    risk = risk_of_a_test(settings.alarms_per_quarter, TESTS, settings.checks_per_day)
    return 2 * risk if signal in BAD_DIRECTION else risk


def judge(counted: Counted, window_days: int, settings: DriftSettings) -> list[Finding]:
    """The findings of a signal, one for each comparison that it has."""
    return list(_judge(counted, window_days, settings))


def _judge(counted: Counted, window_days: int, settings: DriftSettings) -> Iterator[Finding]:
    risk = risk_of(counted.signal, settings)
    for against in COMPARED[counted.signal]:
        unmeasured = counted.unmeasured or (counted.why if against is Against.TRAINING else "")
        if unmeasured:
            yield Finding(counted.signal, against, why=f"not measured: {unmeasured}")
        elif counted.signal is Signal.FEEDBACK_VOLUME:
            yield _volume(counted, window_days, against, risk, settings)
        else:
            yield _distribution(counted, window_days, against, risk, settings)


def _volume(counted: Counted, window_days: int, against: Against, risk: float, settings: DriftSettings) -> Finding:
    amounts = counted.days.sum(axis=-1)
    history = amounts[: len(amounts) - window_days]
    part = amounts[-1:] if against is Against.DAY else amounts[-window_days:]
    entries, compared = int(part.sum()), int(history.sum())
    found = Finding(counted.signal, against, entries=entries, compared=compared)
    words = f"{part.mean():,.0f} {counted.entries} a day, {history.mean() if history.size else 0:,.0f} before"
    if compared < settings.least_entries:
        return _unjudged(found, f"{words}; {settings.least_entries} are needed before")
    begun = int(np.flatnonzero(amounts)[0])
    if begun >= len(history) - WEEK + 1:
        return _unjudged(found, f"{words}; a week of history is needed")
    value, limit = (float(one) for one in chart(amounts[begun:], window_days, against, risk))
    return Finding(
        counted.signal, against, value, limit, abs(value) > limit, entries=entries, compared=compared,
        why=f"{words}: {value:+.1f} standard deviations, limit {limit:.1f}",
    )  # fmt: skip


def _distribution(
    counted: Counted, window_days: int, against: Against, risk: float, settings: DriftSettings
) -> Finding:
    parts = sides(counted.days, window_days, against)
    now, before = parts.window.sum(axis=-2), parts.base.sum(axis=-2)
    entries, compared = int(now.sum()), int(before.sum())
    reference = counted.reference if against is Against.TRAINING else None
    found = Finding(counted.signal, against, entries=entries, compared=compared)
    if not entries:
        return _unjudged(found, f"no {counted.entries}")
    if reference is None and not compared:
        return _unjudged(found, f"{entries:,} {counted.entries}, none before to compare with")
    places = _places(now, before, reference)
    groups = [regrouped(part, places) for part in (parts.window, parts.base, parts.history)]
    parts = Sides(*groups)
    other = None if reference is None else regrouped(reference, places)
    statistic, degrees, p_value = chi_square(now, before if reference is None else _scaled(reference))
    far = None if other is None else float(psi(parts.window.sum(axis=-2), other))
    spread = spread_of_days(parts.history)
    value, limit = (float(one) for one in compare(parts, risk, spread, other))
    limit = max(limit, settings.least_psi)
    enough = min(entries, compared) >= settings.least_entries and np.isfinite(limit)
    words = _in_words(counted, now, before if reference is None else reference, reference is not None)
    alarm = bool(enough) and value > limit and _is_bad(counted.signal, now, before)
    told = f"{words}: PSI {'' if reference is None else 'rose by '}{value:.4f}"
    told += (
        f", limit {limit:.4f}"
        if enough
        else f"; not judged: {_lacking(counted.entries, entries, compared, parts, settings)}"
    )
    return Finding(
        counted.signal, against, value, limit if enough else None, alarm, statistic, degrees, p_value, far, entries,
        compared, told,
    )  # fmt: skip


def _unjudged(found: Finding, why: str) -> Finding:
    return Finding(
        found.signal, found.against, entries=found.entries, compared=found.compared, why=f"not judged: {why}"
    )


def _lacking(what: str, entries: int, compared: int, parts: Sides, settings: DriftSettings) -> str:
    if min(entries, compared) < settings.least_entries:
        return f"{entries:,} and {compared:,} are compared, {settings.least_entries:,} of each are needed"
    if parts.window.shape[-1] < 2:
        return f"nearly all {what} are in one bin"
    return "the days before are too few to say how much quiet days differ"


def _places(now: Array, before: Array, reference: Array | None) -> Array:
    """The bins that are put together: by what the smallest sample would have of the pooled shares."""
    sizes = [side.sum() for side in (now, before) if side.sum() > 0]
    pooled = now + before if reference is None else now + before + _scaled(reference, int(now.sum()))
    return merged(pooled / pooled.sum() * min(sizes))


def _scaled(reference: Array, most: int = 1_000_000) -> Array:
    """Reference counts, not more than `most` of them: what they say beyond that is no more certain for it."""
    return reference * min(1.0, most / max(float(reference.sum()), 1.0))


def _is_bad(signal: Signal, now: Array, before: Array) -> bool:
    direction = BAD_DIRECTION.get(signal, 0)
    return not direction or direction * float(shares(now)[0] - shares(before)[0]) > 0


def _in_words(counted: Counted, now: Array, before: Array, trained: bool) -> str:
    """The bin that differs most, with its shares."""
    p, q = shares(now), shares(before)
    place = 0 if counted.signal in BAD_DIRECTION else int(np.argmax((p - q) * np.log(p / q)))
    where = "in training" if trained else "before"
    share, other = now[place] / max(now.sum(), 1), before[place] / max(before.sum(), 1)
    return f"{counted.bins[place]}: {share:.1%} of {counted.entries}, {other:.1%} {where}"
