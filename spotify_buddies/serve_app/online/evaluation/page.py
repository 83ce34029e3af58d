"""The report as one HTML page that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from spotify_buddies.serve_app.online.evaluation import plots
from spotify_buddies.serve_app.online.evaluation.report import MEASURES, Report
from spotify_buddies.serve_app.online.evaluation.text import NAMES, Table, tables
from spotify_buddies.serve_app.online.evaluation.window import Window
from spotify_buddies.serve_app.online.frame import framed

# Versions, arms and sources come from the store: everything is escaped unless the template says otherwise.
_ENVIRONMENT = Environment(
    loader=PackageLoader("spotify_buddies.serve_app.online.evaluation", "."),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True)
class Section:
    """A table with a plot below it; plot: SVG, "" for none."""

    title: str
    text: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    plot: str = ""


def render(report: Report, window: Window) -> str:
    """The page; the same report gives the same text. Without rows it holds the notes alone."""
    drawn = _plots(report)
    sections = [Section(one.title, one.text, one.headers, one.rows, drawn.get(one.kind, "")) for one in _tables(report)]
    body = _ENVIRONMENT.get_template("page.html").render(window=str(window), sections=sections, notes=report.notes)
    return framed("Online report", body)


def _tables(report: Report) -> Iterator[Table]:
    return tables(report) if report.rows else iter(())


def _plots(report: Report) -> dict[str, str]:
    """By the kind of table that each belongs to."""
    rates = {
        f"{row.name}, {NAMES[name]}": one for row in report.rows for name in MEASURES[:3] if (one := getattr(row, name))
    }
    changes = {
        f"{change.left} minus {change.right}, {NAMES[name]}": one
        for change in report.differences
        for name, one in change.measures.items()
    }
    popularity = {row.name: row.by_popularity for row in report.rows if row.by_popularity}
    library = {row.name: row.by_library for row in report.rows if row.by_library}
    return {
        "rates": plots.intervals(rates, "Like rates with 95 % intervals"),
        "differences": plots.intervals(changes, "Differences with 95 % intervals", zero=True),
        "popularity": plots.groups(popularity, "Like rate by impressions of the playlist", "tenth, least shown first"),
        "library": plots.groups(library, "Like rate by earlier reactions of the listener", "earlier reactions"),
    }
