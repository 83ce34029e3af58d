"""Weights of taste and likes, apart for finding playlists and for ranking them, chosen on held-out halves and likes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.arrays.seeds import generator
from spotify_buddies.trainer.bundle import SongFactors
from spotify_buddies.trainer.dataset.table import Dataset
from spotify_buddies.trainer.metrics.ranking import Factors, FactorScorer, ranks, summarise
from spotify_buddies.trainer.models.hybrid.reduced import held_out
from spotify_buddies.trainer.models.model import Model

Array = npt.NDArray[Any]

# What the taste counts beside likes at 1, and what likes count beside the taste at 1.
RANKING_GRID = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0)
RETRIEVAL_GRID = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.4)
NEAREST = 75
COST = 0.03
LEAST = 5
_QUESTIONS, _CATALOGUE, _LIKES = 1_000, 50_000, 20_000


@dataclass(frozen=True)
class Weights:
    """How much a factor's dimensions count.

    ranking_scale float32 (d,): of a user's factor before it is ranked with; the likes count 1. `fold` takes it in.
    retrieval_scale float32 (d,): of a folded user's factor before the nearest playlists are found; the taste counts 1.
    report: the measures that each was chosen by: "ranking" and "retrieval", by weight.
    """

    ranking_scale: Array
    retrieval_scale: Array
    report: Mapping[str, Mapping[float, tuple[float, ...]]]


@dataclass(frozen=True)
class _Questions:
    """Scores of taste and of likes, float32 (n, candidates), and the column of each one's answer."""

    taste: Array
    likes: Array
    answer: Array

    def ranked(self, taste: float, likes: float) -> Array:
        """The rank of each answer, from 1; ties count half."""
        scores = np.float32(taste) * self.taste + np.float32(likes) * self.likes
        own = scores[np.arange(len(scores)), self.answer][:, None]
        ranked: Array = 1.0 + (scores > own).sum(axis=1) + 0.5 * ((scores == own).sum(axis=1) - 1)
        return ranked


def choose_weights(
    data: Dataset,
    model: Factors,
    songs: Callable[[Csr], Array],
    taste: int,
    seed: int,
    others: tuple[Csr, ...] = (),
) -> Weights:
    """Weigh the first `taste` dimensions against the rest.

    songs: factors (rows, d) of song sets (SongFactors); others, seed: as the taste was learned with. Ranking: the taste
    is as heavy as costs COST of the MRR of the validation likes at most, the mean of random and hard ones, each beside
    its best over the grid. Retrieval: the largest sum of the shares of held-out halves, and of validation likes, that
    are among the NEAREST of all playlists, each beside its best; of equal ones the first. The halves are those that
    the taste was judged by; one asks for the other, which stands for the playlist. They do not choose the weights of
    ranking, since likes are learned from the whole sets. Without likes the weight is 1. At most _QUESTIONS questions of
    a kind, and _CATALOGUE playlists.
    """
    d = model.playlist_factors.shape[1]
    if not 0 < taste < d:
        return Weights(np.ones(d, np.float32), np.ones(d, np.float32), {})
    rng = generator(seed, "hybrid/weights")
    halves = _of_halves(data, model, songs, taste, seed, others, rng)
    ranking = {weight: _ranking(data, model, taste, weight) for weight in RANKING_GRID}
    chosen = _heaviest(ranking, 1.0)
    likes = _of_likes(data, model, taste, rng)
    count = max(LEAST, round(NEAREST * min(1.0, _CATALOGUE / max(data.playlists, 1))))
    retrieval = {
        weight: tuple(_share(asked.ranked(1.0, weight), count) for asked in (halves, likes) if len(asked.answer))
        for weight in RETRIEVAL_GRID
    }
    likes_count = _best(retrieval, 1.0 / chosen)
    ranked = _scale(taste, d, chosen, 1.0)
    # Of a folded factor the taste is `chosen` times as long already.
    return Weights(ranked, _scale(taste, d, 1.0, likes_count * chosen), {"ranking": ranking, "retrieval": retrieval})


def fold(model: Factors, weights: Weights) -> Model:
    """The model with the weights of ranking in its users' factors."""
    return Model(model.user_factors * weights.ranking_scale, np.asarray(model.playlist_factors))


def fold_songs(songs: SongFactors, weights: Weights) -> SongFactors:
    """The song factors whose sums are factors of users of the folded model."""
    if songs.taste.shape[1] == 0:
        return songs
    return replace(songs, taste_length=(songs.taste_length * weights.ranking_scale[:1]).astype(np.float32))


def _of_halves(
    data: Dataset,
    model: Factors,
    songs: Callable[[Csr], Array],
    taste: int,
    seed: int,
    others: tuple[Csr, ...],
    rng: np.random.Generator,
) -> _Questions:
    parts = (data.user_songs, data.playlist_songs, *others)
    rows, halves = held_out(parts, seed)
    asked = np.sort(rng.choice(rows.size, min(_QUESTIONS, rows.size), replace=False))
    users = songs(halves.take(2 * asked))
    # A held-out playlist is there as its second half alone: the whole would give its first half away.
    whole = rows - data.users
    left = np.setdiff1d(np.arange(data.playlists), whole[(whole >= 0) & (whole < data.playlists)])
    if left.size > _CATALOGUE:
        left = np.sort(rng.choice(left, _CATALOGUE, replace=False))
    playlists = np.concatenate([songs(halves.take(2 * asked + 1)), model.playlist_factors[left]])
    return _scored(users, playlists, np.arange(asked.size), taste)


def _of_likes(data: Dataset, model: Factors, taste: int, rng: np.random.Generator) -> _Questions:
    rows = np.asarray(data.validation)
    rows = rows[np.sort(rng.choice(len(rows), min(_QUESTIONS, len(rows)), replace=False))]
    left = np.setdiff1d(np.arange(data.playlists), rows[:, 1])
    if left.size > _CATALOGUE:
        left = np.sort(rng.choice(left, _CATALOGUE, replace=False))
    catalogue, place = np.unique(rows[:, 1], return_inverse=True)
    playlists = model.playlist_factors[np.concatenate([catalogue, left]).astype(np.int64)]
    return _scored(model.user_factors[rows[:, 0]], playlists, place.ravel(), taste)


def _scored(users: Array, playlists: Array, answer: Array, taste: int) -> _Questions:
    return _Questions(users[:, :taste] @ playlists[:, :taste].T, users[:, taste:] @ playlists[:, taste:].T, answer)


def _ranking(data: Dataset, model: Factors, taste: int, weight: float) -> tuple[float, ...]:
    """The MRR of the validation likes, random and hard, of those that there are."""
    users = model.user_factors * _scale(taste, model.user_factors.shape[1], weight, 1.0)
    scorer = FactorScorer(Model(users, model.playlist_factors))
    likes = [np.asarray(rows) for rows in (data.validation, data.hard_validation) if len(rows)]
    return tuple(summarise(ranks(rows[:: -(-len(rows) // _LIKES)], scorer))["mrr"] for rows in likes)


def _heaviest(found: Mapping[float, tuple[float, ...]], otherwise: float) -> float:
    """The largest weight whose measures, each divided by its best, are COST below 1 at most in the mean."""
    table = np.array(list(found.values()), np.float64)
    if table.size == 0:
        return otherwise
    beside = (table / np.maximum(table.max(axis=0), 1e-9)).mean(axis=1)
    # No weight may be the best by both measures.
    return max(weight for weight, value in zip(found, beside, strict=True) if value >= (1 - COST) * beside.max())


def _share(ranked: Array, count: int) -> float:
    return float(np.mean(ranked <= count))


def _best(found: Mapping[float, tuple[float, ...]], otherwise: float) -> float:
    """The weight whose measures, each divided by its best, have the largest sum; `otherwise` where there is none."""
    table = np.array(list(found.values()), np.float64)
    if table.size == 0:
        return otherwise
    most = table.max(axis=0)
    sums = (table[:, most > 0] / most[most > 0]).sum(axis=1).round(9)
    return list(found)[int(np.argmax(sums))]


def _scale(taste: int, d: int, of_taste: float, of_likes: float) -> Array:
    return np.where(np.arange(d) < taste, of_taste, of_likes).astype(np.float32)
