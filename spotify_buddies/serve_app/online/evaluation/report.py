"""The report: one row per version and arm, and the differences between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.serve_app.online.evaluation.cuped import Adjusted, adjust
from spotify_buddies.serve_app.online.evaluation.estimates import Estimate, Spread, difference, estimate, mean, ratio
from spotify_buddies.serve_app.online.evaluation.exposure import deciles, gini, novelty_bits
from spotify_buddies.serve_app.online.evaluation.freshness import Freshness, freshness
from spotify_buddies.serve_app.online.evaluation.outliers import outliers
from spotify_buddies.serve_app.online.evaluation.read import ListsOf, Logs, Reacted

Array = npt.NDArray[Any]

REFERENCE = "production"
# Lower ends of the groups by reactions before the window.
LIBRARIES = (0, 1, 10, 100)
MEASURES = ("like_rate", "like_rate_per_listener", "like_rate_cuped", "mrr", "like_rate_without_outliers")


@dataclass(frozen=True)
class Group:
    """Reactions of one kind of playlists or listeners. rate: likes among reactions; low, high: None where unknown."""

    group: str
    likes: int
    reactions: int
    rate: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Row:
    """A version in an arm. Estimates: None without reactions; gini, novelty_bits: None without lists.

    cuped_variance_reduction, like_rate_cuped: None where no listener's past tells anything. sources, skipped: shares of
    the lists. freshness: by source, of lists that are computed ahead. playlists: distinct ones shown. outliers,
    outlier_reactions: listeners who react far more often than others and unlike them, and what they did.
    like_rate_without_outliers: None where no row has any.
    """

    model_version: str
    arm: str
    lists: int
    listeners_shown: int
    playlists: int
    impressions: int
    gini: float | None
    novelty_bits: float | None
    sources: dict[str, float]
    skipped: dict[str, float]
    freshness: dict[str, Freshness]
    reactions: int
    like_rate: Estimate | None = None
    like_rate_per_listener: Estimate | None = None
    like_rate_cuped: Estimate | None = None
    cuped_variance_reduction: float | None = None
    listeners_with_past: int = 0
    mrr: Estimate | None = None
    like_rate_without_outliers: Estimate | None = None
    outliers: int = 0
    outlier_reactions: int = 0
    by_popularity: list[Group] = field(default_factory=list)
    by_library: list[Group] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Version and arm, for people."""
        return f"{self.model_version or '(no version)'} {self.arm}"


@dataclass(frozen=True)
class Difference:
    """left minus right, by measure; a measure that one of them lacks is left out."""

    left: str
    right: str
    measures: dict[str, Estimate]


@dataclass(frozen=True)
class Report:
    """rows by version and arm; differences to the row of production with most reactions, else to the row with most."""

    rows: list[Row]
    differences: list[Difference]
    notes: list[str]


@dataclass(frozen=True)
class _Measured:
    """What the reactions say, by key of version and arm."""

    reactions: dict[int, int]
    spreads: dict[str, dict[int, Spread]]
    adjusted: dict[int, Adjusted]
    library: dict[int, list[Group]]
    # Outliers and their reactions.
    outliers: dict[int, tuple[int, int]]


def make_report(logs: Logs) -> Report:
    """Everything of one window; no rows where nothing was shown and nothing reacted to. psycopg.Error."""
    lists, reacted = logs.lists(), logs.reacted()
    keys = {row.key: (row.version, row.arm) for row in lists}
    if not keys.keys() >= set(reacted.listeners[0].tolist()):
        keys |= {key: (version, arm) for version, arm, key in logs.names()}
    measured = _measure(logs, reacted)
    shown_to, shown = logs.shown_to(), logs.shown()
    popularity, unplaced = _by_popularity(shown, reacted.playlists)
    exposure = _exposure(shown)
    rows = {}
    for key, (version, arm) in sorted(keys.items(), key=lambda item: item[1]):
        found = {name: estimate(spreads[key]) for name, spreads in measured.spreads.items() if key in spreads}
        adjusted = measured.adjusted.get(key)
        ours = [row for row in lists if row.key == key]
        sources, skipped, count = _shares(ours)
        rows[key] = Row(
            version,
            arm,
            count,
            shown_to.get(key, 0),
            *exposure.get(key, (0, 0, None, None)),
            sources,
            skipped,
            freshness(ours),
            measured.reactions.get(key, 0),
            cuped_variance_reduction=adjusted.reduction if adjusted else None,
            listeners_with_past=adjusted.with_past if adjusted else 0,
            outliers=measured.outliers.get(key, (0, 0))[0],
            outlier_reactions=measured.outliers.get(key, (0, 0))[1],
            by_popularity=popularity.get(key, []),
            by_library=measured.library.get(key, []),
            **found,  # type: ignore[arg-type]  # by the names of MEASURES
        )
    return Report(list(rows.values()), _differences(rows, measured), _notes(rows, measured, unplaced))


def _measure(logs: Logs, reacted: Reacted) -> _Measured:
    keys, listeners, likes, reactions, past_likes, past_reactions = reacted.listeners
    spreads: dict[str, dict[int, Spread]] = {name: {} for name in MEASURES}
    library: dict[int, list[Group]] = {}
    arms = [(int(key), keys == key) for key in np.unique(keys)]
    for key, of in arms:
        spreads["like_rate"][key] = ratio(listeners[of], likes[of], reactions[of])
        spreads["like_rate_per_listener"][key] = mean(listeners[of], likes[of] / reactions[of])
        library[key] = _by_library(listeners[of], likes[of], reactions[of], past_reactions[of])
    counts = {key: int(reactions[of].sum()) for key, of in arms}
    far = outliers(listeners, likes, reactions)
    beyond = {key: (int(far[of].sum()), int(reactions[of & far].sum())) for key, of in arms}
    for key, of in arms if far.any() else ():
        near = of & ~far
        if near.any():
            spreads["like_rate_without_outliers"][key] = ratio(listeners[near], likes[near], reactions[near])
    past = np.where(past_reactions > 0, past_likes / np.maximum(past_reactions, 1), np.nan)
    found = adjust(*([column[of] for _, of in arms] for column in (listeners, likes / np.maximum(reactions, 1), past)))
    adjusted = dict(zip((key for key, _ in arms), found, strict=True)) if found else {}
    spreads["like_rate_cuped"] = {key: one.spread for key, one in adjusted.items()}
    keys, listeners, reciprocal, lists = logs.ranks()
    for key in np.unique(keys):
        of = keys == key
        spreads["mrr"][int(key)] = ratio(listeners[of], reciprocal[of], lists[of])
    return _Measured(counts, spreads, adjusted, library, beyond)


def _by_library(listeners: Array, likes: Array, reactions: Array, earlier: Array) -> list[Group]:
    found = []
    for low, high in zip(LIBRARIES, (*LIBRARIES[1:], None), strict=True):
        of = (earlier >= low) & (True if high is None else earlier < high)
        if of.any():
            name = f"{low} and more" if high is None else f"{low}" if high == low + 1 else f"{low} to {high - 1}"
            of_group = estimate(ratio(listeners[of], likes[of], reactions[of]))
            counts = int(likes[of].sum()), int(reactions[of].sum())
            found.append(Group(name, *counts, of_group.value, of_group.low, of_group.high))
    return found


def _by_popularity(shown: tuple[Array, ...], reacted: tuple[Array, ...]) -> tuple[dict[int, list[Group]], int]:
    """By key the deciles that have reactions; and the reactions to playlists that the window did not show."""
    playlists, places = np.unique(shown[1], return_inverse=True)
    decile = deciles(np.bincount(places, shown[2], playlists.size))
    keys, reacted_to, likes, reactions = reacted
    at = np.searchsorted(playlists, reacted_to)
    known = at < playlists.size
    known[known] = playlists[at[known]] == reacted_to[known]
    of_decile = np.zeros(keys.size, np.int64)
    of_decile[known] = decile[at[known]]
    found: dict[int, list[Group]] = {}
    for key in np.unique(keys):
        for number in np.unique(of_decile[(keys == key) & known]):
            of = (keys == key) & (of_decile == number)
            above, below = int(likes[of].sum()), int(reactions[of].sum())
            found.setdefault(int(key), []).append(Group(str(number), above, below, above / below))
    return found, int(reactions[~known].sum())


def _exposure(shown: tuple[Array, ...]) -> dict[int, tuple[int, int, float | None, float | None]]:
    """By key: playlists, impressions, Gini, novelty."""
    keys, playlists, counts = shown
    _, places = np.unique(playlists, return_inverse=True)
    shares = np.bincount(places, counts)[places] / max(int(counts.sum()), 1)
    found: dict[int, tuple[int, int, float | None, float | None]] = {}
    for key in np.unique(keys):
        of = keys == key
        many = counts[of]
        found[int(key)] = int(of.sum()), int(many.sum()), gini(many), novelty_bits(many, shares[of])
    return found


def _shares(lists: list[ListsOf]) -> tuple[dict[str, float], dict[str, float], int]:
    """Shares of the lists by source, largest first, and by each skipped step; their number."""
    total = sum(row.lists for row in lists)
    sources: dict[str, float] = {}
    skipped: dict[str, float] = {}
    for _, _, _, source, steps, _, count in lists:
        sources[source] = sources.get(source, 0.0) + count / total
        for step in steps:
            skipped[step] = skipped.get(step, 0.0) + count / total
    return *(dict(sorted(shares.items(), key=lambda item: -item[1])) for shares in (sources, skipped)), total  # type: ignore[return-value]


def reference(rows: dict[int, Row]) -> int | None:
    """The key of the row that others are compared with; None: no rows."""
    among = [key for key, row in rows.items() if row.arm == REFERENCE] or list(rows)
    return max(among, key=lambda key: (rows[key].reactions, rows[key].lists), default=None)


def _differences(rows: dict[int, Row], measured: _Measured) -> list[Difference]:
    base = reference(rows)
    found = []
    for key, row in rows.items():
        measures = {
            name: difference(of[key], of[base])
            for name, of in measured.spreads.items()
            if base is not None and key != base and key in of and base in of
        }
        if measures and base is not None:
            found.append(Difference(row.name, rows[base].name, measures))
    return found


def _notes(rows: dict[int, Row], measured: _Measured, unplaced: int) -> list[str]:
    said = []
    if not any(row.lists for row in rows.values()):
        said.append("No list was shown in this window: there is no coverage, Gini, novelty or MRR.")
    if not any(row.reactions for row in rows.values()):
        said.append("Nobody reacted in this window: there is no like rate, and nothing to compare.")
    elif len(rows) == 1:
        said.append("One version in one arm: there is nothing to compare it with.")
    for row in rows.values():
        rate = row.like_rate
        if rate is not None and rate.low is None:
            why = "one listener" if rate.listeners == 1 else f"{rate.listeners:,} listeners who all react alike"
            said.append(f"{row.name}: {why}; no interval can be given.")
    if any(row.reactions for row in rows.values()) and not measured.adjusted:
        said.append("CUPED: no listener's past before the window explains anything; nothing is adjusted.")
    said += [
        f"{row.name}: {row.outliers:,} listeners, with {row.outlier_reactions / row.reactions:.1%} of the reactions, "
        "react far more often than the others and unlike them; bots do so."
        for row in rows.values()
        if row.outliers
    ]
    if unplaced:
        said.append(f"{unplaced:,} reactions are to playlists that this window did not show; they have no decile.")
    undated = sum(one.unknown for row in rows.values() for one in row.freshness.values())
    if undated:
        said.append(
            f"Freshness: {undated:,} lists that were computed ahead do not say when; an earlier release wrote them."
        )
    said.append(
        "Size of the library: the store knows no libraries; listeners are grouped by their reactions before the window."
    )
    return said
