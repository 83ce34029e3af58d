"""The whole comparison: fit, tune without the held-out rows, measure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.stages.progress import Progress, silent
from spotify_buddies.trainer.bench.quality.blending import Parts, microseconds_a_list, tuned
from spotify_buddies.trainer.bench.quality.contenders import (
    FIXED,
    IN_BLEND,
    SEEDED,
    fit_fixed,
    fit_low_rank,
    fit_seeded,
    scores_of,
)
from spotify_buddies.trainer.bench.quality.split import Split, inner
from spotify_buddies.trainer.dataset.reading.attlist import AttList
from spotify_buddies.trainer.models.blend.parts import Part
from spotify_buddies.trainer.models.blend.rows import Rows, stacked_rows

Array = npt.NDArray[Any]
Table = tuple[Array, Rows]

ON_INNER = "blend, tuned on inner splits of train"
ON_VALIDATION = "blend, tuned on inner splits and validation"
_INNER_SEEDS = (0, 1, 2)  # weights of several splits together depend less on the luck of one


@dataclass(frozen=True)
class Figure:
    """NDCG@10 of one contender, a value a seed (one where there is no randomness).

    all_users: over all users, those without held-out rows counting 0, as the authors of AttList measure; with_rows:
    over users with held-out rows.
    """

    name: str
    all_users: tuple[float, ...]
    with_rows: tuple[float, ...]


@dataclass(frozen=True)
class QualityReport:
    """part: "validation" or "test". weights and costs are of the first seed; costs: NDCG@10 that removing a part costs.

    microseconds: processor time of the ranking of 100 candidates of a user with the blend.
    """

    part: str
    users: int
    users_with_rows: int
    seeds: tuple[int, ...]
    figures: tuple[Figure, ...]
    weights: Mapping[str, float]
    costs: Mapping[str, float]
    bpr_epochs: tuple[int, ...]
    microseconds: float

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def compare(
    data: AttList, seeds: Sequence[int], clock: Callable[[], int], *, low_rank: bool = True, progress: Progress = silent
) -> QualityReport:
    """Compare on the test part where it is there, else on validation, which then nothing is tuned on.

    Every model learns from train alone, and what is in train is not ranked, as its authors do. Epochs of BPR and
    weights of the blend are settings: found once, with the first seed, on inner splits of train. Where there is a test
    part, a second blend has weights from those and validation. clock: nanoseconds of processor time. low_rank False
    leaves out ELSA.
    """
    run = _Run(data, progress)
    measured: dict[str, list[Array]] = {name: [run.ndcg(part)] for name, part in run.fixed.items()}
    first: dict[str, Any] = {}
    tables, epochs = run.inner_tables(seeds[0])
    for done, seed in enumerate(seeds, 1):
        parts, _ = fit_seeded(run.judged, seed, progress, epochs=epochs)
        blend = Parts.of(run.judged, {**run.fixed, **parts}, IN_BLEND)
        weights = run.weights = run.weights or run.tune(tables, blend)
        if low_rank:
            parts = {"ELSA": fit_low_rank(run.judged, seed, progress), **parts}
        for name, part in parts.items():
            measured.setdefault(name, []).append(run.ndcg(part))
        for name, of_parts in weights.items():
            measured.setdefault(name, []).append(run.judged.ndcg(blend.scores(of_parts)))
        first = first or run.explain(tables, blend, weights[ON_INNER], measured[ON_INNER][0].mean(), clock)
        progress("seeds", done, len(seeds), "seeds")
    return QualityReport(
        part="validation" if data.test is None else "test",
        users=data.users,
        users_with_rows=run.judged.users.size,
        seeds=tuple(seeds),
        figures=tuple(_figure(name, values, data.users) for name, values in measured.items()),
        bpr_epochs=(epochs,),
        **first,
    )


class _Run:
    """Splits, and what does not depend on a seed."""

    def __init__(self, data: AttList, progress: Progress) -> None:
        self.progress = progress
        known = data.train.matrix(data.users, data.playlists)
        validation = Split(known, data.validation.matrix(data.users, data.playlists), data.songs)
        self.validation = None if data.test is None else validation
        self.judged = (
            validation if data.test is None else Split(known, data.test.matrix(data.users, data.playlists), data.songs)
        )
        self.inner = [inner(data.train, data.users, data.songs, seed) for seed in _INNER_SEEDS]
        self.fixed = fit_fixed(self.judged, progress)
        self.weights: dict[str, Array] = {}

    def ndcg(self, part: Part) -> Array:
        return self.judged.ndcg(lambda users: scores_of(part, users))

    def inner_tables(self, seed: int) -> tuple[list[Table], int]:
        """Features and rows of each inner split, and the epochs of BPR that the first one wants."""
        found, epochs = [], None
        for split in self.inner:
            fixed = fit_fixed(split, self.progress, all_of_them=False)
            parts, epochs = fit_seeded(split, seed, self.progress, epochs=epochs)
            found.append(Parts.of(split, {**fixed, **parts}, IN_BLEND).table())
            self.progress("inner splits", len(found), len(self.inner), "splits")
        return found, epochs or 0

    def tune(self, tables: Sequence[Table], blend: Parts) -> dict[str, Array]:
        """Weights by the name of the blend that has them."""
        found = {ON_INNER: tuned(*_together(tables))}
        if self.validation is not None:
            on_validation = Parts(self.validation, blend.parts, blend.scales).table()
            found[ON_VALIDATION] = tuned(*_together([*tables, on_validation]))
        return found

    def explain(
        self, tables: Sequence[Table], blend: Parts, weights: Array, full: float, clock: Callable[[], int]
    ) -> dict[str, Any]:
        """Weights, what removing each part costs with the other weights fitted anew, and the time of a list."""
        features, rows = _together(tables)
        costs = {}
        for k, name in enumerate(IN_BLEND):
            others = tuned(features, rows, without=k)
            costs[name] = float(full - self.judged.ndcg(blend.scores(others)).mean())
            self.progress("parts removed", k + 1, len(IN_BLEND), "parts")
        return {
            "weights": dict(zip(IN_BLEND, weights.tolist(), strict=True)),
            "costs": costs,
            "microseconds": microseconds_a_list(blend, weights, clock),
        }


def _together(tables: Sequence[Table]) -> Table:
    features = np.asfortranarray(np.concatenate([features for features, _ in tables]))
    return features, stacked_rows([rows for _, rows in tables])


def _figure(name: str, values: Sequence[Array], users: int) -> Figure:
    return Figure(name, tuple(float(v.sum() / users) for v in values), tuple(float(v.mean()) for v in values))


def ordered(report: QualityReport) -> list[Figure]:
    """Figures in the order of the table: without randomness, with it, blends last."""
    place = {name: k for k, name in enumerate((*FIXED, *SEEDED, ON_INNER, ON_VALIDATION))}
    return sorted(report.figures, key=lambda figure: place[figure.name])
