"""A page of sections, each with a table of numbers and plots: plain HTML, readable in light and dark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any


@dataclass(frozen=True)
class Section:
    """One part of a report. statistics: numbers, texts, lists, and distributions as mappings; plots: SVG or HTML."""

    title: str
    text: str
    statistics: Mapping[str, Any]
    plots: tuple[str, ...] = ()


_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #ffffff; --line: #d5d9de;
  --soft: #f3f5f7; --accent: #1f6feb; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ed; --paper: #14171b; --line: #363c44; --soft: #1d2127; --accent: #6ea8ff; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 1rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .2rem; padding-top: .6rem; border-top: 1px solid var(--line); }
p { margin: .2rem 0 .8rem; max-width: 44rem; }
nav a { margin-right: .9rem; color: var(--accent); }
dl.summary { display: flex; flex-wrap: wrap; gap: .6rem; margin: 1rem 0; }
dl.summary div { background: var(--soft); border-radius: .4rem; padding: .5rem .9rem; }
dl.summary dt { font-size: .8rem; } dl.summary dd { margin: 0; font-size: 1.25rem; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: .4rem 0 1rem; font-variant-numeric: tabular-nums; }
th, td { padding: .15rem .7rem .15rem 0; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; font-weight: normal; }
figure { display: inline-block; margin: .3rem 1rem .3rem 0; max-width: 100%; }
figure svg { max-width: 100%; height: auto; }
svg text { font-family: system-ui, sans-serif !important; }
"""


def render(title: str, summary: Mapping[str, Any], sections: Sequence[Section], foot: str = "") -> str:
    """The page as HTML. The same sections give the same text. foot: HTML, a script for instance, after all of it."""
    links = "".join(f'<a href="#part-{i}">{escape(s.title)}</a>' for i, s in enumerate(sections))
    tiles = "".join(f"<div><dt>{_label(name)}</dt><dd>{_number(value)}</dd></div>" for name, value in summary.items())
    body = "\n".join(_section(i, section) for i, section in enumerate(sections))
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n<dl class="summary">{tiles}</dl>\n'
        f"<nav>{links}</nav>\n{body}\n{foot}</body>\n</html>\n"
    )


def _section(number: int, section: Section) -> str:
    plain = {name: value for name, value in section.statistics.items() if not isinstance(value, Mapping | list)}
    spread = {name: value for name, value in section.statistics.items() if isinstance(value, Mapping) and value}
    lists = {name: value for name, value in section.statistics.items() if isinstance(value, list) and value}
    figures = "".join(f"<figure>{plot}</figure>" for plot in section.plots if plot)
    return "\n".join(
        [
            f'<section>\n<h2 id="part-{number}">{escape(section.title)}</h2>\n<p>{escape(section.text)}</p>',
            _table((), ((name, [value]) for name, value in plain.items())) if plain else "",
            *(_spreads(spread)),
            *(f"<p>{_label(name)}</p><ul>{_items(values)}</ul>" for name, values in lists.items()),
            figures + "\n</section>",
        ]
    )


def _spreads(spread: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """One table for all distributions that are described by the same numbers."""
    kinds: dict[tuple[str, ...], dict[str, list[Any]]] = {}
    order = ("min", "p1", "p25", "median", "mean", "p75", "p99", "max")
    for name, numbers in spread.items():
        columns = tuple(sorted(numbers, key=lambda key: (order.index(key) if key in order else len(order), key)))
        kinds.setdefault(columns, {})[name] = [numbers[column] for column in columns]
    return [_table(columns, rows.items()) for columns, rows in kinds.items()]


def _table(columns: Sequence[str], rows: Iterable[tuple[str, Sequence[Any]]]) -> str:
    head = f"<tr><th></th>{''.join(f'<th>{escape(column)}</th>' for column in columns)}</tr>" if columns else ""
    lines = "".join(
        f"<tr><td>{_label(name)}</td>{''.join(f'<td>{_number(value)}</td>' for value in values)}</tr>"
        for name, values in rows
    )
    return f'<div class="scroll"><table>{head}{lines}</table></div>'


def _items(values: Sequence[Any]) -> str:
    return "".join(f"<li>{escape(str(value))}</li>" for value in values)


def _label(name: str) -> str:
    return escape(name.replace("_", " "))


def _number(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return escape(str(value))
    if isinstance(value, int) or value.is_integer():
        return f"{int(value):,}"
    return f"{value:,.4g}" if abs(value) < 1_000 else f"{value:,.1f}"
