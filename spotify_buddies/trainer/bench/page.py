"""Cost against size: the stored figures of every preset as plots, in an SVG and on a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from spotify_buddies.trainer.bench.figure import OURS
from spotify_buddies.trainer.bench.lines import table
from spotify_buddies.trainer.bench.offline import BenchReport, gather, presets_under
from spotify_buddies.trainer.reports.page import Section, render
from spotify_buddies.trainer.reports.plots import curves

PAGE, PLOT = "report.html", "cost.svg"
# The lines of the plot, beside what they show.
_SHOWN = {
    "parts 1 to 9": "parts 1 to 9",
    "pairing: nearest": "nearest 100, exact",
    "pairing: candidates": "candidates",
    "pairing: index": "FAISS index",
    "bundle written": "bundle written",
}


def write_page(directory: Path) -> Path | None:
    """Write cost.svg and report.html from all presets under a folder; None where nothing is measured."""
    outcomes = [outcome for outcome in map(gather, presets_under(directory)) if outcome.measured]
    if not outcomes:
        return None
    seconds, memory = (cost_plot(outcomes, what) for what in ("seconds", "peak_rss_mib"))
    (directory / PLOT).write_text(
        seconds.replace("currentColor", "#555555").replace("<svg", '<svg style="background:#ffffff"', 1) + "\n",
        encoding="utf-8",
    )
    sections = [
        Section("Cost against size", "Both axes are logarithmic; the dashed line is linear.", {}, (seconds, memory)),
        *(
            Section(outcome.bench.preset, f"{outcome.bench.size.users:,} users", {}, lines=table(outcome))
            for outcome in outcomes
        ),
    ]
    path = directory / PAGE
    path.write_text(render("Benchmark, offline", {"presets": len(outcomes)}, sections), encoding="utf-8")
    return path


def cost_plot(outcomes: Sequence[BenchReport], what: str) -> str:
    """One curve for each work in _SHOWN: `seconds` or `peak_rss_mib` against users. An SVG text."""
    points: dict[str, list[tuple[float, float]]] = {}
    for outcome in outcomes:
        for part in outcome.measured:
            for figure in part.figures:
                value = float(getattr(figure, what))
                if figure.by == OURS and figure.work in _SHOWN and value > 0:
                    points.setdefault(_SHOWN[figure.work], []).append((outcome.bench.size.users, value))
    title = {"seconds": "Seconds against size", "peak_rss_mib": "Peak memory against size, MiB"}[what]
    return curves(points, title, "users", what.replace("_", " "), linear=what == "seconds")
