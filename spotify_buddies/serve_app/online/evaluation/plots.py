"""Plots of the report as inline SVG, in the colours of the page around them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

from spotify_buddies.serve_app.online.evaluation.estimates import Estimate
from spotify_buddies.serve_app.online.evaluation.report import Group

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# A stand-in that no plot draws otherwise; it becomes the page's own colour.
_INK = "#010203"
# Readable on light and on dark paper.
_PALETTE = ("#1f77b4", "#d95f02", "#2ca02c", "#b8860b", "#9467bd", "#8c564b")


def intervals(points: Mapping[str, Estimate], title: str, *, zero: bool = False) -> str:
    """A line for each figure with its interval, first at the top; zero: with a line at 0. "" for none."""
    if not points:
        return ""
    figure, axes = _new(title, 0.9 + 0.3 * len(points))
    for place, one in enumerate(points.values()):
        low, high = (one.value if end is None else end for end in (one.low, one.high))
        axes.plot([low, high], [place, place], color=_PALETTE[0], linewidth=2)
        axes.plot([one.value], [place], color=_PALETTE[0], marker="o", markersize=6)
    if zero:
        axes.axvline(0, color=_INK, linewidth=0.8, linestyle="--")
    axes.set_yticks(range(len(points)))
    axes.set_yticklabels(points, parse_math=False)
    axes.set_ylim(len(points) - 0.5, -0.5)
    return _svg(figure)


def groups(by_name: Mapping[str, Sequence[Group]], title: str, across: str) -> str:
    """Like rates by group, a line for each name, with intervals where they are known. "" for none."""
    names = {group.group: int(group.group.split()[0]) for found in by_name.values() for group in found}
    if not names:
        return ""
    places = {name: place for place, name in enumerate(sorted(names, key=lambda name: names[name]))}
    figure, axes = _new(title, 3.0)
    for number, (name, found) in enumerate(by_name.items()):
        colour = _PALETTE[number % len(_PALETTE)]
        at = [places[group.group] for group in found]
        (line,) = axes.plot(at, [group.rate for group in found], color=colour, marker="o", markersize=4)
        line.set_label(name.replace("$", r"\$").lstrip("_"))
        for place, group in zip(at, found, strict=True):
            if group.low is not None and group.high is not None:
                axes.plot([place, place], [group.low, group.high], color=colour, linewidth=1)
    axes.set_xticks(range(len(places)))
    axes.set_xticklabels(places)
    axes.set_xlabel(across, color=_INK)
    axes.set_ylabel("like rate", color=_INK)
    axes.legend(fontsize=7, labelcolor=_INK, frameon=False)
    return _svg(figure)


def _new(title: str, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7.0, height), layout="tight")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=10, color=_INK)
    axes.tick_params(colors=_INK, which="both", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_INK)
    return figure, axes


def _svg(figure: Any) -> str:
    buffer = io.StringIO()
    # Salted with the title: names inside differ from plot to plot, and the same numbers give the same text.
    with mpl.rc_context({"svg.hashsalt": figure.axes[0].get_title(), "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :].replace(_INK, "currentColor")
