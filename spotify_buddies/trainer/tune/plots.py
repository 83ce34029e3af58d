"""Plots of a search: the settings of every trial beside its score, and the learning curves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from spotify_buddies.trainer.reports.plots import INK, new_figure, to_svg
from spotify_buddies.trainer.tune.experiment import DONE, Trial
from spotify_buddies.trainer.tune.settings import Domain, Value

WIDE = (10.4, 4.2)
# From worst to best, all of a middle lightness, so that they stand out on light and on dark paper.
_RAMP = ("#c2571a", "#8a63ad", "#1f7fd4")
_TICKS = 5


def parallel_coordinates(trials: Sequence[Trial], space: Mapping[str, Domain], metric: str) -> str:
    """One line a trial across an axis for each setting and for the score, in the colour of its place. "" for none."""
    scored = sorted((trial for trial in trials if trial.score is not None), key=_rank)
    if not scored:
        return ""
    figure, axes = new_figure("Settings and scores, a line for each trial", WIDE)
    places: list[Callable[[Any], float]] = [_axis(axes, column, name, space[name]) for column, name in enumerate(space)]
    places.append(_score_axis(axes, len(space), metric, scored))
    for trial, colour in zip(scored, _colours(scored), strict=True):
        values = [*(trial.point[name] for name in space), trial.score]
        heights = [place(value) for place, value in zip(places, values, strict=True)]
        best = trial is scored[-1]
        axes.plot(heights, color=colour, linewidth=3 if best else 1.4, gid=_gid("pc", trial), alpha=1 if best else 0.8)
    axes.set_xlim(-0.25, len(space) + 0.35)
    axes.set_ylim(-0.06, 1.12)
    axes.spines[:].set_visible(False)
    axes.set_xticks([])
    axes.set_yticks([])
    return to_svg(figure, [_gid("pc", trial) for trial in scored])


def learning_curves(
    trials: Sequence[Trial], what: str, value: Callable[[Any], float], rungs: Sequence[float], kind: str
) -> str:
    """The value of every epoch, a line for each trial; a cross where ASHA stopped one, a dot where it ran to its end.

    rungs: epochs at which ASHA may stop one. kind: tells the ids of this plot's lines from another's. "" where no
    epoch has run.
    """
    from matplotlib.ticker import MaxNLocator

    begun = sorted((trial for trial in trials if trial.epochs), key=_rank)
    if not begun:
        return ""
    figure, axes = new_figure(f"{what} by epoch", WIDE)
    for rung in rungs:
        axes.axvline(rung, color=INK, linewidth=0.7, linestyle=":", alpha=0.5)
    for trial, colour in zip(begun, _colours(begun), strict=True):
        epochs = [epoch.epoch for epoch in trial.epochs]
        heights = [value(epoch) for epoch in trial.epochs]
        best = trial is begun[-1]
        (line,) = axes.plot(epochs, heights, color=colour, linewidth=3 if best else 1.4, gid=_gid(kind, trial))
        line.set(marker="o" if trial.status == DONE else "x", markevery=[len(epochs) - 1], markersize=5)
    axes.set_xlabel("epoch", color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return to_svg(figure, [_gid(kind, trial) for trial in begun])


def _axis(axes: Any, column: int, name: str, domain: Domain) -> Callable[[Any], float]:
    """Draw the axis of a setting; returns where a value lies on it, 0 to 1."""
    if domain.choice is not None:
        choices = list(domain.choice)
        _rule(axes, column, name, [(_place(choices, value), str(value)) for value in choices])
        return lambda value: _place(choices, value)
    low, high = getattr(domain, domain.kind)
    spread = np.geomspace if domain.logarithmic else np.linspace
    scale = np.log if domain.logarithmic else np.asarray

    def place(value: float) -> float:
        return float((scale(value) - scale(low)) / (scale(high) - scale(low)))

    _rule(axes, column, name, [(place(value), f"{value:.2g}") for value in spread(low, high, _TICKS)])
    return place


def _score_axis(axes: Any, column: int, metric: str, scored: Sequence[Trial]) -> Callable[[Any], float]:
    low, high = scored[0].score or 0.0, scored[-1].score or 0.0
    width = high - low or 1.0
    ticks = np.linspace(low, high, _TICKS) if high > low else [low]
    _rule(axes, column, metric, [(float((value - low) / width), f"{value:.4f}") for value in ticks])
    return lambda value: float((value - low) / width)


def _rule(axes: Any, column: int, name: str, ticks: Sequence[tuple[float, str]]) -> None:
    axes.plot([column, column], [0, 1], color=INK, linewidth=1)
    axes.text(column, 1.05, name, color=INK, ha="center", va="bottom", fontsize=9, fontweight="bold")
    for height, label in ticks:
        axes.text(column + 0.03, height, label, color=INK, ha="left", va="center", fontsize=8)


def _place(choices: Sequence[Value], value: Value) -> float:
    return choices.index(value) / (len(choices) - 1) if len(choices) > 1 else 0.5


def _colours(ranked: Sequence[Trial]) -> list[Any]:
    """A colour for each, by its place: by its score, one that is far off would leave the others alike."""
    from matplotlib.colors import LinearSegmentedColormap, to_hex

    ramp = LinearSegmentedColormap.from_list("score", _RAMP)
    shares = np.linspace(0, 1, len(ranked)) if len(ranked) > 1 else [1.0]
    return [to_hex(ramp(float(share))) for share in shares]


def _rank(trial: Trial) -> tuple[float, int]:
    """Ascending, so that the winner comes last and is drawn over the others."""
    return trial.score or 0.0, -trial.number


def _gid(kind: str, trial: Trial) -> str:
    return f"{kind}-trial-{trial.number}"
