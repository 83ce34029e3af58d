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

ON_INNER, ON_VALIDATION = "blend, tuned on inner splits of train", "blend, tuned on validation"
_INNER_SEEDS = (0, 1)  # weights of two splits together depend less on the luck of one


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
    weights of the blend come from two inner splits of train; where there is a test part, a second blend has its weights
    from validation. clock: nanoseconds of processor time. low_rank False leaves out ELSA, the slowest.
    """
    run = _Run(data, progress)
    measured: dict[str, list[Array]] = {}
    first: dict[str, Any] = {}
    epochs = []
    for name, part in run.fixed.items():
        measured[name] = [run.ndcg(part)]
    for seed in seeds:
        table, wanted = run.inner_table(seed)
        epochs.append(wanted)
        parts, _ = fit_seeded(run.judged, seed, progress, epochs=wanted)
        if low_rank:
            parts = {"ELSA": fit_low_rank(run.judged, seed, progress), **parts}
        for name, part in parts.items():
            measured.setdefault(name, []).append(run.ndcg(part))
        for name, blend, weights in run.blends(table, parts):
            measured.setdefault(name, []).append(run.judged.ndcg(blend.scores(weights)))
        first = first or run.explain(table, parts, measured[ON_INNER][0].mean(), clock)
        progress("seeds", len(epochs), len(seeds), "seeds")
    return QualityReport(
        part="validation" if data.test is None else "test",
        users=data.users,
        users_with_rows=run.judged.users.size,
        seeds=tuple(seeds),
        figures=tuple(_figure(name, values, data.users) for name, values in measured.items()),
        bpr_epochs=tuple(epochs),
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
        self.inner_fixed = [fit_fixed(split, progress, all_of_them=False) for split in self.inner]
        self.fixed = fit_fixed(self.judged, progress)

    def ndcg(self, part: Part) -> Array:
        return self.judged.ndcg(lambda users: scores_of(part, users))

    def inner_table(self, seed: int) -> tuple[Table, int]:
        """Features and rows of the inner splits together, and the epochs of BPR that the first one wants."""
        found, epochs = [], None
        for split, fixed in zip(self.inner, self.inner_fixed, strict=True):
            parts, epochs = fit_seeded(split, seed, self.progress, epochs=epochs)
            found.append(Parts.of(split, {**fixed, **parts}, IN_BLEND).table())
        features = np.asfortranarray(np.concatenate([features for features, _ in found]))
        return (features, stacked_rows([rows for _, rows in found])), epochs or 0

    def blends(self, table: Table, parts: Mapping[str, Part]) -> list[tuple[str, Parts, Array]]:
        blend = Parts.of(self.judged, {**self.fixed, **parts}, IN_BLEND)
        found = [(ON_INNER, blend, tuned(*table))]
        if self.validation is not None:
            on_validation = Parts(self.validation, blend.parts, blend.scales)
            found.append((ON_VALIDATION, blend, tuned(*on_validation.table())))
        return found

    def explain(self, table: Table, parts: Mapping[str, Part], full: float, clock: Callable[[], int]) -> dict[str, Any]:
        """Weights, what removing each part costs with the other weights fitted anew, and the time of a list."""
        blend = Parts.of(self.judged, {**self.fixed, **parts}, IN_BLEND)
        features, rows = table
        weights = tuned(features, rows)
        costs = {}
        for k, name in enumerate(IN_BLEND):
            others = tuned(features, rows, without=k)
            costs[name] = float(full - self.judged.ndcg(blend.scores(others)).mean())
        return {
            "weights": dict(zip(IN_BLEND, weights.tolist(), strict=True)),
            "costs": costs,
            "microseconds": microseconds_a_list(blend, weights, clock),
        }


def _figure(name: str, values: Sequence[Array], users: int) -> Figure:
    return Figure(name, tuple(float(v.sum() / users) for v in values), tuple(float(v.mean()) for v in values))


def ordered(report: QualityReport) -> list[Figure]:
    """Figures in the order of the table: without randomness, with it, blends last."""
    place = {name: k for k, name in enumerate((*FIXED, "ELSA", "als", "bpr", ON_INNER, ON_VALIDATION))}
    return sorted(report.figures, key=lambda figure: place[figure.name])
