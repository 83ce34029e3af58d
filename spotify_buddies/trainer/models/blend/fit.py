"""A blend for a data set: its parts, their weights from held-out likes, and whether it is better than the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.arrays.seeds import generator
from spotify_buddies.foundation.stages.progress import Progress, silent
from spotify_buddies.trainer.dataset.table import IN_VALIDATION, Dataset, likes_used, train_likes
from spotify_buddies.trainer.models.blend.calibrate import calibrate
from spotify_buddies.trainer.models.blend.fold import Weighing, fold
from spotify_buddies.trainer.models.blend.gather import OWN, gather
from spotify_buddies.trainer.models.blend.parts import Part, Scale, pair_scores, scales_of
from spotify_buddies.trainer.models.blend.report import BlendReport, PartReport
from spotify_buddies.trainer.models.blend.rows import Rows, rows_of
from spotify_buddies.trainer.models.blend.weights import cross_fitted, fit_weights
from spotify_buddies.trainer.models.items.item_model import ItemModel
from spotify_buddies.trainer.models.model import Model

Array = npt.NDArray[Any]

MOST_USERS = 4_000  # whose candidates weights are fitted on
LEAST_FOUND = 100  # held-out likes among them; with fewer, weights would be luck
_NONE: Mapping[str, ItemModel] = MappingProxyType({})
MODEL = "model"  # as it was trained, where no blend is clearly better
_CLEAR = 2.0  # standard errors by which a blend must be better to be chosen


@dataclass(frozen=True)
class Blend:
    """model: the folded factors, u . p plus the offset being the score; offsets float32, one a candidate, or None.

    weights: of the standardised parts, by name. blocks: what the folded dimensions hold. Where the model alone was
    chosen, it is the model as it was, weights are empty and there are no offsets.
    """

    model: Model
    offsets: Array | None
    weights: Mapping[str, float]
    report: BlendReport
    blocks: Mapping[str, slice]


def fit_blend(
    data: Dataset,
    model: Model,
    candidates: Csr,
    *,
    item_model: ItemModel | Mapping[str, ItemModel] | None = None,
    later: Mapping[str, ItemModel] = _NONE,
    taste_dims: int | None = None,
    seed: int = 42,
    progress: Progress = silent,
) -> Blend:
    """Fit weights on validation likes among the candidates (U, P), and take the blend where it is clearly better.

    item_model: one or several, by name, fitted on training likes. later: of those without factors, what takes a part's
    place when its weight is known, with what happened since; by name. taste_dims: how many of the model's first
    dimensions hold the taste. A part stays where removing it makes the users of the other half rank worse. Clearly: by
    more than two standard errors of the mean difference, cross-fitted.
    """
    rows = _rows(data, _askable(data, candidates), seed)
    found = int(rows.positive.sum())
    report = BlendReport(MODEL, "", data.labels, rows.held_out.size, int(rows.held_out.sum()), found)
    if found < LEAST_FOUND:
        why = f"{found:,} held-out likes are among the candidates, and weights need {LEAST_FOUND}"
        return _as_it_was(model, replace(report, why=why))
    items = item_model if isinstance(item_model, Mapping) else {"items": item_model} if item_model else {}
    parts = gather(data, model, items, taste_dims or 0)
    scales = scales_of(parts, data.users)
    features = _features(parts, scales, rows.users, rows.playlists)
    alone = rows.ndcg(pair_scores(Part(MODEL, model), rows.users, rows.playlists))
    trial = _Trial(parts, features, rows, seed)
    kept, gains = trial.eliminate(progress)
    ndcg, scores = trial.judged(kept)
    difference = ndcg - alone
    error = float(difference.std(ddof=1) / np.sqrt(difference.size)) if difference.size > 1 else np.inf
    margin = (float(difference.mean()), error)
    report = replace(
        report,
        chosen="blend" if margin[0] > _CLEAR * error else MODEL,
        why=_why(margin, float(alone.mean()), float(ndcg.mean())),
        ndcg={MODEL: float(alone.mean()), "blend": float(ndcg.mean())},
        margin=margin,
        calibration=calibrate(scores, rows.positive),
    )
    if report.chosen == MODEL:
        return _as_it_was(model, replace(report, calibration=None))
    renewed = [replace(part, items=later[part.name]) if part.name in later else part for part in parts]
    if later:
        scales = scales_of(renewed, data.users)
    return _folded(data, candidates, renewed, scales, trial.fit(kept), gains, report)


@dataclass(frozen=True)
class _Trial:
    """What is tried on the rows: which parts, with weights of which users."""

    parts: Sequence[Part]
    features: Array
    rows: Rows
    seed: int

    def fit(self, kept: Array, features: Array | None = None, rows: Rows | None = None) -> Array:
        """Weights of the kept parts, 0 for the others."""
        start = np.where(kept, [float(part.name in OWN) for part in self.parts], 0.0)
        return fit_weights(
            self.features if features is None else features, rows or self.rows, list(start), free=list(kept)
        )

    def judged(self, kept: Array) -> tuple[Array, Array]:
        return cross_fitted(self.features, self.rows, partial(self.fit, kept), self.seed)

    def eliminate(self, progress: Progress) -> tuple[Array, Array]:
        """Which parts stay, bool (parts,), and what removing each costs in NDCG@10, cross-fitted."""
        all_of_them = np.ones(len(self.parts), bool)
        full = self.judged(all_of_them)[0].mean()
        gains = np.zeros(len(self.parts))
        for k in range(len(self.parts)):
            gains[k] = full - self.judged(all_of_them & (np.arange(len(self.parts)) != k))[0].mean()
            progress("blend", k + 1, len(self.parts), "parts")
        kept = gains > 0
        return (kept if kept.any() else all_of_them), gains


def _askable(data: Dataset, candidates: Csr) -> Csr:
    """Without what was liked in training: where it may come back, it is neither held out nor refused."""
    if not data.feedback_alone:
        return candidates
    width = candidates.columns
    offered, liked = (
        np.repeat(np.arange(one.rows), one.counts) * width + one.indices for one in (candidates, train_likes(data))
    )
    kept = ~np.isin(offered, liked)
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept)])[np.asarray(candidates.indptr)]
    return Csr(ends, np.asarray(candidates.indices)[kept], width)


def _rows(data: Dataset, candidates: Csr, seed: int) -> Rows:
    held_out = likes_used(data, IN_VALIDATION)
    users = np.flatnonzero(held_out.counts)
    if users.size > MOST_USERS:
        chosen = np.zeros(data.users, bool)
        chosen[generator(seed, "blend/users").permutation(users)[:MOST_USERS]] = True
        held_out = held_out.only(chosen)
    return rows_of(candidates, held_out)


def _features(parts: Sequence[Part], scales: Sequence[Scale], users: Array, playlists: Array) -> Array:
    out = np.empty((users.size, len(parts)), np.float32, order="F")
    for k, (part, scale) in enumerate(zip(parts, scales, strict=True)):
        out[:, k] = scale(users, pair_scores(part, users, playlists))
    return out


def _folded(
    data: Dataset,
    candidates: Csr,
    parts: Sequence[Part],
    scales: Sequence[Scale],
    weights: Array,
    gains: Array,
    report: BlendReport,
) -> Blend:
    weighings = [Weighing(*one) for one in zip(parts, scales, weights.tolist(), strict=True)]
    folded = fold(weighings, data.users, data.playlists, keep=OWN)
    stored = [one for one in weighings if one.part.items is not None and one.weight]
    offsets = offsets_of(stored, candidates) if stored else None
    told = tuple(
        PartReport(
            part.name,
            float(weight),
            float(gain),
            _width(folded.blocks.get(part.name)) if part.items is None else 0,
            part.items is not None,
        )
        for part, weight, gain in zip(parts, weights, gains, strict=True)
    )
    named = {part.name: float(weight) for part, weight in zip(parts, weights, strict=True) if weight}
    return Blend(folded.model, offsets, named, replace(report, parts=told), folded.blocks)


def offsets_of(stored: Sequence[Weighing], candidates: Csr) -> Array:
    """What the parts without factors add to each candidate's score, float32 (nnz,)."""
    users = np.repeat(np.arange(candidates.rows), candidates.counts)
    total = np.zeros(candidates.nnz, np.float32)
    for one in stored:
        scores = pair_scores(one.part, users, np.asarray(candidates.indices))
        total += np.float32(one.weight) * one.scale(users, scores)
    return total


def _width(block: slice | None) -> int:
    return 0 if block is None else int(block.stop - block.start)


def _as_it_was(model: Model, report: BlendReport) -> Blend:
    return Blend(model, None, {}, report, {MODEL: slice(0, model.user_factors.shape[1])})


def _why(margin: tuple[float, float], alone: float, blend: float) -> str:
    clear = margin[0] > _CLEAR * margin[1]
    words = "is clearly better" if clear else "is not clearly better"
    return (
        f"the blend {words} on held-out likes: NDCG@10 {blend:.4f} against {alone:.4f} of the model alone "
        f"(difference {margin[0]:+.4f} +- {margin[1]:.4f})"
    )
