"""The report as one HTML page that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from string import Template
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.serve_app.online.drift.report import DriftReport
from spotify_buddies.serve_app.online.drift.signals import Counted, Signal
from spotify_buddies.serve_app.online.drift.text import HEADERS, headline, row

Array = npt.NDArray[Any]

_WIDTH, _HEIGHT = 260, 60
_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Drift</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #ffffff; --line: #d5d9de;
  --accent: #1f6feb; --bad: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ed; --paper: #14171b; --line: #363c44; --accent: #6ea8ff; --bad: #ff8a80; }
}
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.1rem; margin: 1.6rem 0 .2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .15rem .7rem .15rem 0; text-align: left; border-bottom: 1px solid var(--line); vertical-align: top; }
.alarm { color: var(--bad); font-weight: 600; }
svg { overflow: visible; } polyline { fill: none; stroke: var(--accent); stroke-width: 1.5; }
rect { fill: var(--line); opacity: .5; }
figure { display: inline-block; margin: .5rem 1.5rem .5rem 0; } figcaption { font-size: .85rem; }
</style>
</head>
<body>
<h1>Drift</h1>
<p>$headline</p>
<table>
<tr>$headers</tr>
$rows
</table>
<h2>By day</h2>
<p>The window is shaded. Signals of two bins show the share of the first, others that of each of their largest bins.</p>
$figures
</body>
</html>
""")


def page(report: DriftReport) -> str:
    """The page: the verdict, a table with a sentence for each comparison, and a plot for each signal with counts."""
    window = (report.until - report.since).days
    return _PAGE.substitute(
        headline=escape(headline(report)),
        headers="".join(f"<th>{escape(name)}</th>" for name in (*HEADERS, "in words")),
        rows="\n".join(_rows(report)),
        figures="\n".join(_figure(counted, window) for counted in report.signals if counted.days.any()),
    )


def _rows(report: DriftReport) -> Iterator[str]:
    for finding in report.findings:
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in (*row(finding), finding.why))
        yield f'<tr class="alarm">{cells}</tr>' if finding.alarm else f"<tr>{cells}</tr>"


def _figure(counted: Counted, window_days: int) -> str:
    """Small plots, the days from left to right, each from 0 to its largest value."""
    totals = counted.days.sum(axis=1).astype(np.float64)
    if counted.signal is Signal.FEEDBACK_VOLUME:
        series = {counted.entries: totals}
    else:
        parts = np.divide(counted.days, totals[:, None], out=np.zeros(counted.days.shape), where=totals[:, None] > 0)
        order = [0] if len(counted.bins) == 2 else np.argsort(-counted.days.sum(axis=0), kind="stable")[:3].tolist()
        series = {counted.bins[place]: parts[:, place] for place in order}
    plots = "".join(_plot(name, values, window_days) for name, values in series.items())
    return f"<h2>{escape(counted.signal)}</h2>{plots}"


def _plot(name: str, values: Array, window_days: int) -> str:
    top = float(values.max()) or 1.0
    step = _WIDTH / max(len(values) - 1, 1)
    points = " ".join(f"{place * step:.1f},{_HEIGHT * (1 - value / top):.1f}" for place, value in enumerate(values))
    shade = max(window_days - 1, 0) * step
    most = f"{top:,.0f}" if top > 1 else f"{top:.1%}"
    return (
        f'<figure><svg width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-label="{escape(name)}">'
        f'<rect x="{_WIDTH - shade:.1f}" y="0" width="{shade:.1f}" height="{_HEIGHT}"/><polyline points="{points}"/>'
        f"</svg><figcaption>{escape(name)}, at most {most}</figcaption></figure>"
    )
