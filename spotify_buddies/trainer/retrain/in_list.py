"""Held-out user-blocks: where a version puts the liked playlist among those that its listener saw beside it.

Feedback is given to what a version showed, so any measure over all playlists favours that version. Within a list both
versions order the same playlists. What is left is that people look at the first ones more: a like at rank r is seen
with a probability of r to the power of -bias, so it is weighed by r^bias (inverse propensities of the position-based
model; Joachims, Swaminathan and Schnabel 2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.arrays.seeds import generator
from spotify_buddies.trainer.bundle import Bundle
from spotify_buddies.trainer.dataset.table import Dataset
from spotify_buddies.trainer.evaluation.evaluate import Estimate
from spotify_buddies.trainer.metrics.lists import depths
from spotify_buddies.trainer.models.warm.rows import songs_of
from spotify_buddies.trainer.retrain.rules import RANK

Array = npt.NDArray[Any]

RESAMPLES = 1_000


@dataclass(frozen=True)
class InLists:
    """MRR of the liked playlist within its list, with 95 % intervals over people. difference: new less serving."""

    blocks: int
    people: int
    new: Estimate
    serving: Estimate
    difference: Estimate

    def to_json(self) -> dict[str, Any]:
        """JSON values, by field."""
        return asdict(self)


@dataclass(frozen=True)
class Pairs:
    """The playlists of n lists, one after another. users, playlists: ids; list: int64, the list of each, ascending;
    liked bool: whether it is the liked one, of which each list has one.
    """

    users: list[str]
    playlists: list[str]
    list: Array
    liked: Array


def in_lists(blocks: pl.DataFrame, data: Dataset, new: Bundle, serving: Bundle, bias: float) -> InLists | None:
    """Compare two bundles on user-blocks whose liked playlist has a rank. None: there are no such blocks.

    data: whose user_songs say who somebody is whom a bundle does not know. Playlists that a bundle does not know come
    last; of equal scores the liked one is in the middle.
    """
    ranked = blocks.filter(pl.col(RANK).is_not_null() & (pl.col("ignored").list.len() > 0))
    if ranked.is_empty():
        return None
    pairs = _pairs(ranked)
    values = np.stack([1.0 / _places(pairs, _scores(pairs, data, bundle)) for bundle in (new, serving)])
    weights = ranked[RANK].to_numpy().astype(np.float64) ** bias
    _, person = np.unique(ranked["user_id"].to_numpy(), return_inverse=True)
    columns = np.stack([values[0], values[1], values[0] - values[1]], axis=1)
    estimates = _weighted_means(columns, weights, person)
    return InLists(ranked.height, int(person.max()) + 1, *estimates)


def _pairs(blocks: pl.DataFrame) -> Pairs:
    liked = blocks["liked"].list.first().to_list()
    ignored: Sequence[Sequence[str]] = blocks["ignored"].to_list()
    sizes = np.array([1 + len(others) for others in ignored])
    first = np.zeros(sizes.sum(), np.bool_)
    first[np.cumsum(sizes) - sizes] = True
    playlists = [name for one, others in zip(liked, ignored, strict=True) for name in (one, *others)]
    users = np.repeat(np.array(blocks["user_id"].to_list(), object), sizes).tolist()
    return Pairs(users, playlists, np.repeat(np.arange(sizes.size), sizes), first)


def _places(pairs: Pairs, scores: Array) -> Array:
    """The place of each list's liked playlist, from 1, float64 (n,)."""
    own = scores[pairs.liked][pairs.list]
    above = np.bincount(pairs.list, weights=(scores > own) + 0.5 * ((scores == own) & ~pairs.liked))
    places: Array = 1.0 + above
    return places


def _scores(pairs: Pairs, data: Dataset, bundle: Bundle) -> Array:
    """The bundle's score of each pair, float64; -inf for a playlist that it does not know."""
    names, asked = np.unique(np.array(pairs.users, object).astype(str), return_inverse=True)
    factors = _factors(names.tolist(), data, bundle)
    rows = bundle.playlist_ids.find(pairs.playlists)
    known = rows >= 0
    scores = np.full(rows.size, -np.inf)
    table = np.asarray(bundle.playlist_factors)[rows[known]].astype(np.float64)
    scores[known] = np.einsum("ij,ij->i", factors[asked[known]], table)
    if bundle.candidate_offsets is not None:
        scores[known] += _offsets(bundle.user_ids.find(names.tolist())[asked[known]], rows[known], bundle)
    return scores


def _factors(names: list[str], data: Dataset, bundle: Bundle) -> Array:
    """The factor of each listener, float64 (n, d): the bundle's own, else the sum of their songs, else zeros."""
    rows = bundle.user_ids.find(names)
    factors = np.zeros((rows.size, bundle.user_factors.shape[1]))
    factors[rows >= 0] = np.asarray(bundle.user_factors)[rows[rows >= 0]]
    new = np.flatnonzero(rows < 0)
    if new.size and bundle.song_factors is not None:
        places = {name: row for row, name in enumerate(data.user_table["user_id"].to_list())}
        there = songs_of(bundle, data)
        songs = [there[data.user_songs.row(places[names[one]])] if names[one] in places else there[:0] for one in new]
        sets = Csr.from_rows([np.unique(row[row >= 0]) for row in songs], bundle.user_songs.columns)
        factors[new] = bundle.song_factors(sets)
    return factors


def _offsets(users: Array, playlists: Array, bundle: Bundle) -> Array:
    """What the bundle adds to each pair that is among its candidates, float64; 0 for others."""
    wanted = Csr(np.arange(users.size + 1, dtype=np.int64), playlists.astype(np.int32), bundle.candidates.columns)
    offered = bundle.candidates.take(np.maximum(users, 0))
    found = depths(offered, wanted)
    added = np.zeros(users.size)
    there = np.flatnonzero((found > 0) & (users >= 0))
    at = np.asarray(bundle.candidates.indptr)[users[there]] + found[there] - 1
    added[there] = np.asarray(bundle.candidate_offsets)[at]
    return added


def _weighted_means(columns: Array, weights: Array, person: Array) -> list[Estimate]:
    """Weighted mean of each column with its 95 % interval: people are drawn with replacement (cluster bootstrap)."""
    people = int(person.max()) + 1
    sums = np.stack([np.bincount(person, weights * column, people) for column in columns.T], axis=1)
    totals = np.bincount(person, weights, people)
    rng = generator(0, "bootstrap")
    means = np.empty((RESAMPLES, columns.shape[1]))
    for resample in range(RESAMPLES):
        drawn = np.bincount(rng.integers(people, size=people), minlength=people)
        means[resample] = (drawn @ sums) / (drawn @ totals)
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    value = sums.sum(axis=0) / totals.sum()
    return [Estimate(*(round(float(one), 6) for one in three)) for three in zip(value, low, high, strict=True)]
