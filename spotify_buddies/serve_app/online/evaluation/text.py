"""The report as tables of text, for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from spotify_buddies.foundation.terminal.tables import table
from spotify_buddies.serve_app.online.evaluation.estimates import Estimate
from spotify_buddies.serve_app.online.evaluation.report import Group, Report, Row

NAMES = {
    "like_rate": "like rate",
    "like_rate_per_listener": "per listener",
    "like_rate_cuped": "with CUPED",
    "mrr": "MRR of likes",
    "like_rate_without_outliers": "without outliers",
}


@dataclass(frozen=True)
class Table:
    """One table with its title and a sentence that says what it shows. kind: a name for code."""

    kind: str
    title: str
    text: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]


def lines(report: Report) -> Iterator[str]:
    """Tables, then notes; each under its title."""
    for one in tables(report):
        right = range(1, len(one.headers)) if one.kind != "rates" else ()
        whole = range(1, len(one.headers))
        yield f"{one.title}\n{table(one.headers, one.rows, right=right, whole=whole)}"
    yield "\n".join(report.notes)


def tables(report: Report) -> Iterator[Table]:
    """Every table that has rows, in the order of reading."""
    rows = report.rows
    headers = ("version, arm", "lists", "shown to", "playlists", "Gini", "novelty bits", "reactions", "reacting")
    about = "Novelty is the mean of -log2 of a playlist's share of all impressions; Gini is of an arm's own playlists."
    yield Table("counts", "What was shown", about, headers, [_counts(row) for row in rows])
    if any(row.like_rate for row in rows):
        about = "Likes among reactions, and the mean of each listener's own rate; 95 % intervals, by listener."
        given = [name for name in NAMES if any(getattr(row, name) for row in rows)]
        columns = ("version, arm", *(NAMES[name] for name in given), "variance")
        yield Table("rates", "Likes", about, columns, [_rates(row, given) for row in rows])
    changes = [
        (f"{change.left} minus {change.right}", NAMES[name], f"{one.value:+.4f}", interval(one, "+.4f"))
        for change in report.differences
        for name, one in change.measures.items()
    ]
    if changes:
        about = "An interval without zero is a difference; looking again and again at it finds some by chance."
        yield Table("differences", "Differences", about, ("arms", "measure", "difference", "95 % interval"), changes)
    yield from _shares("sources", "Sources of the lists", rows, lambda row: row.sources)
    yield from _freshness(rows)
    yield from _shares("skipped", "Steps that were skipped", rows, lambda row: row.skipped)
    title, about = "Like rate by popularity", "Tenths of the playlists by impressions in this window; 1: least shown."
    yield from _groups("popularity", title, about, rows, lambda row: row.by_popularity)
    title, about = "Like rate by earlier reactions", "Listeners by their reactions before the window."
    yield from _groups("library", title, about, rows, lambda row: row.by_library)


def interval(one: Estimate | Group, form: str = ".4f") -> str:
    """The interval as text; "" for none."""
    return "" if one.low is None or one.high is None else f"{one.low:{form}} to {one.high:{form}}"


def figure(one: Estimate | None) -> str:
    """The figure with its interval, as text; "" for none."""
    if one is None:
        return ""
    return f"{one.value:.4f} ({interval(one)})" if one.low is not None else f"{one.value:.4f}"


def _counts(row: Row) -> Sequence[str]:
    listeners = row.like_rate.listeners if row.like_rate else 0
    spread = ["" if value is None else f"{value:.3f}" for value in (row.gini, row.novelty_bits)]
    counts = [f"{count:,}" for count in (row.lists, row.listeners_shown, row.playlists)]
    return row.name, *counts, *spread, f"{row.reactions:,}", f"{listeners:,}"


def _rates(row: Row, given: Sequence[str]) -> Sequence[str]:
    less = row.cuped_variance_reduction
    measures = (getattr(row, name) for name in given)
    return row.name, *map(figure, measures), "" if less is None else f"{-100 * less:+.1f} %"


def _shares(kind: str, title: str, rows: list[Row], of: Callable[[Row], dict[str, float]]) -> Iterator[Table]:
    names = dict.fromkeys(name for row in rows for name in of(row))
    if names:
        cells = [(name, *(f"{100 * of(row).get(name, 0):.1f} %" for row in rows)) for name in names]
        yield Table(kind, title, "Shares of the lists.", ("", *(row.name for row in rows)), cells)


def _freshness(rows: list[Row]) -> Iterator[Table]:
    about = (
        "Age of lists that are computed ahead when they were shown; other lists are computed when they are asked for."
    )
    cells = [
        (row.name, source, f"{one.lists:,}", f"{one.unknown:,}", _hours(one.median_s), _hours(one.p95_s))
        for row in rows
        for source, one in row.freshness.items()
    ]
    if cells:
        headers = ("version, arm", "source", "lists", "age unknown", "median", "p95")
        yield Table("freshness", "Freshness", about, headers, cells)


def _hours(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds / 3600:.1f} h"


def _groups(kind: str, title: str, about: str, rows: list[Row], of: Callable[[Row], list[Group]]) -> Iterator[Table]:
    by_row = [{group.group: group for group in of(row)} for row in rows]
    names = sorted({name for found in by_row for name in found}, key=lambda name: int(name.split()[0]))
    if names:
        cells = [(name, *(_of_reactions(found.get(name)) for found in by_row)) for name in names]
        yield Table(kind, title, about, ("", *(row.name for row in rows)), cells)


def _of_reactions(group: Group | None) -> str:
    return "" if group is None else f"{group.rate:.4f} of {group.reactions:,}"
