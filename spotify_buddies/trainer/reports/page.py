"""A page of sections, each with a table of numbers and plots: plain HTML, readable in light and dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spotify_buddies.trainer.reports.templates import fill

PAGE = "reports/page.html"
_ORDER = ("min", "p1", "p25", "median", "mean", "p75", "p99", "max")


@dataclass(frozen=True)
class Section:
    """One part of a report. statistics: numbers, texts, lists, and distributions as mappings; plots: SVG or HTML.

    lines: a table of its own, the header first; all rows as long as it.
    """

    title: str
    text: str
    statistics: Mapping[str, Any]
    plots: tuple[str, ...] = ()
    lines: Sequence[Sequence[str]] = ()

    @property
    def values(self) -> dict[str, Any]:
        """The statistics that are one number or text."""
        return {name: value for name, value in self.statistics.items() if not isinstance(value, Mapping | list)}

    @property
    def lists(self) -> dict[str, list[Any]]:
        """The statistics that are lists, without empty ones."""
        return {name: value for name, value in self.statistics.items() if isinstance(value, list) and value}

    @property
    def spreads(self) -> list[tuple[tuple[str, ...], dict[str, list[Any]]]]:
        """The distributions: one table (columns, name -> row) for all that are described by the same numbers."""
        tables: dict[tuple[str, ...], dict[str, list[Any]]] = {}
        for name, numbers in self.statistics.items():
            if isinstance(numbers, Mapping) and numbers:
                columns = tuple(sorted(numbers, key=_place))
                tables.setdefault(columns, {})[name] = [numbers[column] for column in columns]
        return list(tables.items())


def render(title: str, summary: Mapping[str, Any], sections: Sequence[Section], *, template: str = PAGE) -> str:
    """The page as HTML; the same sections give the same text. template: one that extends PAGE."""
    return fill(template, title=title, summary=summary, sections=sections)


def _place(column: str) -> tuple[int, str]:
    """From the least to the largest, with the mean beside the median; other numbers behind, by name."""
    return (_ORDER.index(column) if column in _ORDER else len(_ORDER), column)
