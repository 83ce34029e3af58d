"""The protocol's result for people: tables, the full figures first."""

from __future__ import annotations

from collections.abc import Mapping

from spotify_buddies.trainer.evaluation.evaluate import Estimate
from spotify_buddies.trainer.evaluation.served.figures import DEPTHS, LONG, NDCG, SHORT, Figures
from spotify_buddies.trainer.evaluation.served.protocol import ServedResult

_METRICS = ("hit@1", f"hit@{SHORT}", f"hit@{LONG}", f"ndcg@{NDCG}")
_BESIDE = ("mrr", "hit@1", "hit@5")


FULL = (
    "All playlists, by the candidates, rules and ranking that answer requests; what was liked in training is left out"
)
# Above every table of one playlist among 50: whoever reads it alone thinks too well of the model.
BESIDE = "Beside: one playlist against 50 others. NOT what people get: it is far easier than all playlists"
Table = tuple[str, list[list[str]], int]


def tables(result: ServedResult, *, brief: bool = False) -> list[Table]:
    """Title, header and lines, and how many first columns are names, of every table, in the order to print them.

    brief: without recall of candidates and without kinds. Tables without a line are left out.
    """
    shown: list[Table] = [
        (FULL, _lists(result.asked), 2),
        (f"What the lists of {SHORT} show", _catalogue(result.asked), 2),
    ]
    if not brief:
        kinds = f"By kind: share found in the lists of {SHORT}, and share among the candidates"
        shown.append(("Share of the wanted playlists among the first candidates", _recall(result.asked), 2))
        shown.append((kinds, _groups(result.asked), 3))
    shown.append((BESIDE, _beside(result), 2))
    return [table for table in shown if len(table[1]) > 1]


def _lists(asked: Mapping[str, Figures]) -> list[list[str]]:
    lines = [["questions", "ranker", "people", "wanted each", *_METRICS, f"95 % of hit@{SHORT}"]]
    for name, figures in asked.items():
        for ranker, estimates in figures.lists.items():
            each = f"{figures.pairs / figures.people:.1f}"
            values = [f"{estimates[metric].value:.3f}" for metric in _METRICS]
            lines.append([name, ranker, f"{figures.people:,}", each, *values, _interval(estimates[f"hit@{SHORT}"])])
    return lines


def _catalogue(asked: Mapping[str, Figures]) -> list[list[str]]:
    lines = [["questions", "ranker", "coverage", "gini", "same owner", "near duplicate", "owner of the wanted"]]
    for name, figures in asked.items():
        for ranker, one in figures.catalogue.items():
            theirs = figures.owner_of_wanted if ranker == "served" else None
            shares = [f"{one.coverage:.3f}", f"{one.gini:.3f}", f"{one.same_owner.value:.3f}"]
            lines.append([name, ranker, *shares, f"{one.near_duplicate.value:.3f}", _or_dash(theirs)])
    return lines


def _recall(asked: Mapping[str, Figures]) -> list[list[str]]:
    lines = [["questions", "source", "candidates", *(f"recall@{depth}" for depth in DEPTHS)]]
    for name, figures in asked.items():
        for source, recall in figures.recall.items():
            number = f"{figures.candidates:.1f}" if source == "all" else ""
            lines.append([name, source, number, *(f"{recall[depth].value:.3f}" for depth in DEPTHS)])
    return lines


def _groups(asked: Mapping[str, Figures]) -> list[list[str]]:
    lines = [["questions", "kind", "group", "wanted", "found", "95 %", "candidates"]]
    for name, figures in asked.items():
        for kind, groups in figures.groups.items():
            for group in groups:
                found, offered = f"{group.found.value:.3f}", f"{group.offered.value:.3f}"
                lines.append([name, kind, group.name, f"{group.pairs:,}", found, _interval(group.found), offered])
    return lines


def _beside(result: ServedResult) -> list[list[str]]:
    lines = [["questions", "scorer", *(f"{metric} of 51" for metric in _BESIDE)]]
    for name, batch in result.among_50.items():
        for scorer, estimates in batch.scorers.items():
            lines.append([name, scorer, *(f"{estimates[metric].value:.3f}" for metric in _BESIDE)])
    return lines


def _interval(estimate: Estimate) -> str:
    return f"{estimate.low:.3f}-{estimate.high:.3f}"


def _or_dash(estimate: Estimate | None) -> str:
    return "-" if estimate is None else f"{estimate.value:.3f}"
