"""The figures as a table for people."""

from __future__ import annotations

from collections.abc import Sequence

from spotify_buddies.foundation.terminal.tables import table as terminal_table
from spotify_buddies.trainer.bench.figure import OURS, Figure
from spotify_buddies.trainer.bench.offline import BenchReport

HEADER = ("work", "by", "done", "seconds", "rate", "processor s", "peak RSS", "ratio", "by processor", "beside")
# Columns of texts; the others hold numbers, which are compared by their last digits.
_TEXTS = (0, 1, len(HEADER) - 1)


def table(outcome: BenchReport) -> list[list[str]]:
    """A header and a line for each figure; the ratio of a peer is our rate over its own, by the clock and by processor.

    On a machine that does other work beside, the second is the one to trust.
    """
    figures = [figure for part in outcome.measured for figure in part.figures]
    ours = {figure.work: figure for figure in figures if figure.by == OURS}
    ordered = sorted(figures, key=lambda figure: _first(figures, figure.work))  # peers come behind their work
    return [list(HEADER), *(_line(figure, ours.get(figure.work)) for figure in ordered)]


def _first(figures: list[Figure], work: str) -> int:
    return next(place for place, figure in enumerate(figures) if figure.work == work)


def ratio(figure: Figure, ours: Figure | None) -> float | None:
    """How many times our rate is the peer's; None for our own lines and where there is nothing to compare."""
    if ours is None or figure.by == OURS or figure.rate == 0:
        return None
    return ours.rate / figure.rate


def ratio_by_processor(figure: Figure, ours: Figure | None) -> float | None:
    """The same for what is done in a second of processor time; None also where that was not measured."""
    if ours is None or figure.by == OURS or not figure.cpu_seconds or not ours.cpu_seconds or not figure.amount:
        return None
    return (ours.amount / ours.cpu_seconds) / (figure.amount / figure.cpu_seconds)


def _line(figure: Figure, ours: Figure | None) -> list[str]:
    return [
        figure.work,
        figure.by,
        f"{_count(figure.amount)} {figure.unit}",
        _seconds(figure.seconds),
        f"{_count(figure.rate)} {figure.unit}/s",
        "" if figure.cpu_seconds is None else _seconds(figure.cpu_seconds),
        _memory(figure.peak_rss_mib),
        *(_times(times) for times in (ratio(figure, ours), ratio_by_processor(figure, ours))),
        ", ".join(f"{name.replace('_', ' ')} {_fact(value)}" for name, value in figure.facts.items()),
    ]


def _times(number: float | None) -> str:
    return "" if number is None else f"{_count(number)}x"


def _count(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:,.3g}"


def _seconds(seconds: float) -> str:
    return f"{seconds:,.1f}" if seconds >= 1 else f"{seconds:.4f}"


def _memory(mib: float) -> str:
    return f"{mib / 1024:.2f} GiB" if mib >= 1024 else f"{mib:.0f} MiB"


def _fact(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """The lines in columns, texts to the left and numbers to the right."""
    header, *rows = lines
    return terminal_table(header, rows, right=[column for column in range(len(header)) if column not in _TEXTS])


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """The lines as a Markdown table."""
    header, *rows = lines
    rule = ["---" if column in _TEXTS else "--:" for column in range(len(header))]
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, rule, *rows))
