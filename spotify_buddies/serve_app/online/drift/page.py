"""The report as one HTML page that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.serve_app.online.drift.report import DriftReport
from spotify_buddies.serve_app.online.drift.signals import Counted, Signal
from spotify_buddies.serve_app.online.drift.text import HEADERS, headline, row
from spotify_buddies.serve_app.online.frame import framed

Array = npt.NDArray[Any]

_WIDTH, _HEIGHT = 260, 60
_ABOUT = (
    "The window is shaded. Signals of two bins show the share of the first, others that of each of their largest bins."
)


def page(report: DriftReport) -> str:
    """The page: the verdict, a table with a sentence for each comparison, and a plot for each signal with counts."""
    window = (report.until - report.since).days
    headers = "".join(f"<th>{escape(name)}</th>" for name in (*HEADERS, "in words"))
    figures = "\n".join(_figure(counted, window) for counted in report.signals if counted.days.any())
    parts = (
        f"<p>{escape(headline(report))}</p>",
        f'<div class="scroll"><table>\n<tr>{headers}</tr>',
        *_rows(report),
        f"</table></div>\n<h2>By day</h2>\n<p>{_ABOUT}</p>",
        figures,
    )
    return framed("Drift", "\n".join(parts))


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
        f'<figure class="small"><svg width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-label="{escape(name)}">'
        f'<rect x="{_WIDTH - shade:.1f}" y="0" width="{shade:.1f}" height="{_HEIGHT}"/><polyline points="{points}"/>'
        f"</svg><figcaption>{escape(name)}, at most {most}</figcaption></figure>"
    )
