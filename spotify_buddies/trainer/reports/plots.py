"""Plots of the report as inline SVG: the same bytes for the same numbers, in the colours of the page around them."""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.trainer.reports.quantiles import gini, lorenz

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = npt.NDArray[Any]

_BINS = 40
# Stand-ins that no plot draws otherwise; they become the page's own colours.
INK, FILL = "#010203", "#040506"
# Readable on light and on dark paper.
_PALETTE = ("#1f77b4", "#d95f02", "#2ca02c", "#b8860b", "#9467bd", "#8c564b")
_COLOURS = {INK: "currentColor", FILL: "var(--accent)"}


def histogram(values: Array, title: str, unit: str) -> str:
    """How many `unit` have how much; logarithmic where the values span more than two decades. "" for no values."""
    if not values.size:
        return ""
    figure, axes = new_figure(title)
    low, high = float(values.min()), float(values.max())
    if low > 0 and high / low > 100:
        edges = np.geomspace(low, high, _BINS + 1)
        axes.set_xscale("log")
    elif np.issubdtype(values.dtype, np.integer) and high - low < _BINS:
        edges = np.arange(low, high + 2) - 0.5
    else:
        edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
    counts, _ = np.histogram(values, edges)
    axes.stairs(counts, edges, fill=True, color=FILL)
    axes.set_ylabel(unit, color=INK)
    return to_svg(figure)


def lorenz_curve(values: Array, title: str) -> str:
    """Lorenz curve with the Gini coefficient. "" for no values."""
    if not values.size:
        return ""
    figure, axes = new_figure(f"{title}, Gini {gini(values):.3f}")
    holders, held = lorenz(values)
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle="--")
    axes.plot(holders, held, color=FILL, linewidth=2)
    axes.set_xlabel("share of holders, poorest first", color=INK)
    axes.set_ylabel("share held", color=INK)
    return to_svg(figure)


def curves(
    points: Mapping[str, Sequence[tuple[float, float]]], title: str, across: str, up: str, *, linear: bool = False
) -> str:
    """One line for each name through its points (x, y), both axes logarithmic. "" for no points.

    linear: draw for comparison what grows as its size does, from the largest first point.
    """
    if not any(points.values()):
        return ""
    figure, axes = new_figure(title)
    axes.set_xscale("log")
    axes.set_yscale("log")
    for colour, (name, line) in zip(cycle(_PALETTE), points.items(), strict=False):
        x, y = zip(*line, strict=True)
        axes.plot(x, y, color=colour, marker="o", markersize=4, label=name)
    if linear:
        first, last = (edge(x for line in points.values() for x, _ in line) for edge in (min, max))
        base = max(y for line in points.values() for x, y in line if x == first)
        axes.plot([first, last], [base, base * last / first], color=INK, linewidth=0.8, linestyle="--", label="linear")
    axes.set_xlabel(across, color=INK)
    axes.set_ylabel(up, color=INK)
    axes.legend(fontsize=7, labelcolor=INK, frameon=False)
    return to_svg(figure)


def new_figure(title: str, inches: tuple[float, float] = (5.2, 3.0)) -> tuple[Any, Axes]:
    """A figure with one plot in the page's colours."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=inches, layout="tight")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=10, color=INK)
    axes.tick_params(colors=INK, which="both", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK)
    return figure, axes


def to_svg(figure: Any, keep: Collection[str] = ()) -> str:
    """A figure as inline SVG. keep: ids (an artist's gid) that a script or style of the page needs."""
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": figure.axes[0].get_title(), "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    for stand_in, colour in _COLOURS.items():
        text = text.replace(stand_in, colour)
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # Salted with the title, names differ from plot to plot; those that nothing points at would not.
    used = {*re.findall(r"#([\w.-]+)[\")]", text), *keep}
    return re.sub(r' id="([\w.-]+)"', lambda match: match[0] if match[1] in used else "", text)
