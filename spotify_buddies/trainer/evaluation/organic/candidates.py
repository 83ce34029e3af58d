"""Candidate recall: how often a user's held-out half is among the candidates, and in the top 5."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages.blocks import spans
from spotify_buddies.foundation.stages.progress import Progress, silent
from spotify_buddies.pairing.neighbours.nearest import nearest_users
from spotify_buddies.pairing.selection.select import select
from spotify_buddies.pairing.settings import PairingSettings
from spotify_buddies.trainer.dataset.labels.nearest import held, nearest_listeners
from spotify_buddies.trainer.dataset.labels.ownership import match, owned_by
from spotify_buddies.trainer.dataset.table import IN_TEST, IN_VALIDATION, UNUSED, WARM, Dataset
from spotify_buddies.trainer.metrics.ranking import FactorScorer
from spotify_buddies.trainer.models.model import Model
from spotify_buddies.trainer.settings import DataSettings

Array = npt.NDArray[Any]

TOP = 5
FRESH_RUNS = 5
RANKED_USERS = 2_000
WEIGHTED_USERS = 100_000
_BLOCK = 1_024


@dataclass(frozen=True)
class CandidateRow:
    """One pairing.

    listeners: users who were asked about. candidates: mean of each, or all playlists where there is no pairing.
    recall: share whose own half is among their candidates. hit_at_5: share whose own half the model puts into the top 5
    of them, end to end over all playlists; None where nothing is ranked.
    """

    pairing: str
    listeners: int
    candidates: float
    recall: float
    hit_at_5: float | None

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)

    def line(self) -> list[str]:
        """For people: name, candidates, recall, Hit@5."""
        hit = "-" if self.hit_at_5 is None else f"{self.hit_at_5:.3f}"
        return [self.pairing, f"{self.candidates:,.1f}", f"{self.recall:.3f}", hit]


def candidate_table(
    halves: Dataset,
    own: Array,
    model: Model,
    settings: PairingSettings,
    data: DataSettings,
    *,
    progress: Progress = silent,
) -> tuple[CandidateRow, ...]:
    """The pairing as configured, wider, with songs weighted, fresh, and the model's own nearest playlists.

    own int32 (P,): the user of each playlist, -1 for none. Ownership is given out by the rule of part 7, as if
    nobody had named an owner, since a playlist that its user owned would be no candidate of theirs. "owned by
    anybody else" is what any pairing can reach at most; "all playlists" ranks without a pairing.
    """
    owned = owned_by(_owners(halves, data), halves.users)
    place = _place(own, halves.users)
    asked = np.flatnonzero(place >= 0)
    scorer = FactorScorer(model)
    table = []
    rows = _pairings(halves, owned, settings, progress)
    for name, candidates in rows:
        table.append(_judge(name, candidates, place, asked, scorer))
    reach = owned.column_counts()[place[asked]] > 0
    # Their own half, where they own it, is no candidate either.
    reach &= ~_holds(owned, asked, place[asked])
    table.append(CandidateRow("owned by anybody else", asked.size, float(owned.nnz), _mean(reach), None))
    table += _without_pairing(model, place, asked, settings.candidates)
    return tuple(table)


def _pairings(halves: Dataset, owned: Csr, settings: PairingSettings, progress: Progress) -> Iterator[tuple[str, Csr]]:
    def chosen(nearest: Csr, /, **changes: int) -> Csr:
        return select(nearest, owned, settings.model_copy(update=changes)).candidates

    songs, wide = halves.user_songs, 3 * settings.nearest
    near = nearest_users(songs, wide, block_users=settings.block_users, progress=progress)
    wider = {"nearest": wide, "neighbours": 3 * settings.neighbours, "candidates": 3 * settings.candidates}
    everyone = {"neighbours": settings.nearest}
    yield "as configured", chosen(near)
    yield "every one of the nearest", chosen(near, **everyone)
    yield "three times as wide", chosen(near, **wider)
    if songs.rows <= WEIGHTED_USERS:  # a product of sparse matrices, which is the slow way
        weighted = _weighted_nearest(songs, wide, progress)
        yield "songs weighted by idf", chosen(weighted)
        yield "idf, three times as wide", chosen(weighted, **wider)
    fresh = [chosen(near, seed=settings.seed + run) for run in range(FRESH_RUNS)]
    yield f"fresh, {FRESH_RUNS} runs together", _union(fresh)


def _owners(halves: Dataset, data: DataSettings) -> Array:
    split = np.asarray(halves.split)
    if data.ownership == "reference":
        pairs, roots = halves.liked, np.sqrt(halves.user_songs.counts)
        counts = (split != IN_VALIDATION) & (split != UNUSED)
    else:
        warm = np.asarray(halves.user_kind) == WARM
        pairs = nearest_listeners(halves.user_songs, halves.playlist_songs, warm, silent)
        roots = np.ones(halves.users)
        counts = ~held(pairs, halves.liked, (split == IN_VALIDATION) | (split == IN_TEST))
    owner, _, _ = match(pairs, counts, roots, data, silent)
    return owner


def _place(own: Array, users: int) -> Array:
    """The playlist that is each user's own half, int64 (U,), -1 for none."""
    place = np.full(users, -1, np.int64)
    named = np.flatnonzero(own >= 0)
    place[own[named]] = named
    return place


def _judge(name: str, candidates: Csr, place: Array, asked: Array, scorer: FactorScorer) -> CandidateRow:
    held = _holds(candidates, asked, place[asked])
    hits = np.zeros(asked.size, np.bool_)
    for i in np.flatnonzero(held):
        user = int(asked[i])
        row = candidates.row(user)
        scores = scorer(np.full(row.size, user), row)
        hits[i] = _rank(scores[None], scores[row == place[user]])[0] <= TOP
    return CandidateRow(name, asked.size, _mean(candidates.counts[asked]), _mean(held), _mean(hits))


def _holds(rows: Csr, users: Array, playlists: Array) -> Array:
    """Whether the row of each user holds the playlist beside it, bool (users,)."""
    pairs = zip(users.tolist(), playlists.tolist(), strict=True)
    return np.fromiter((playlist in rows.row(user) for user, playlist in pairs), np.bool_, users.size)


def _without_pairing(model: Model, place: Array, asked: Array, most: int) -> Iterator[CandidateRow]:
    """The best `most` playlists by the model's score, for at most RANKED_USERS, evenly spread."""
    some = asked[:: max(1, -(-asked.size // RANKED_USERS))]
    ranks = np.empty(some.size)
    for first, last in spans(some.size, _BLOCK):
        users = some[first:last]
        scores = model.user_factors[users] @ model.playlist_factors.T
        ranks[first:last] = _rank(scores, scores[np.arange(users.size), place[users]])
    best, count = float(_mean(ranks <= most)), float(len(model.playlist_factors))
    yield CandidateRow("nearest by the model", some.size, float(min(most, count)), best, _mean(ranks <= TOP))
    yield CandidateRow("all playlists", some.size, count, 1.0, _mean(ranks <= TOP))


def _rank(scores: Array, own: Array) -> Array:
    """The rank of each row's own score in it, from 1, float64 (rows,); ties in the middle."""
    ranks: Array = 1.0 + (scores > own[:, None]).sum(axis=1) + 0.5 * ((scores == own[:, None]).sum(axis=1) - 1)
    return ranks


def _weighted_nearest(songs: Csr, k: int, progress: Progress) -> Csr:
    """As nearest_users, by the cosine of songs weighted by log((1 + n) / (1 + df)) + 1."""
    weights = np.log((1.0 + songs.rows) / (1.0 + songs.column_counts())) + 1.0
    matrix = songs.to_scipy().multiply(weights[None, :]).tocsr()
    lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    scale = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    rows = sp.csr_array(sp.diags_array(scale) @ matrix)
    parts = [_top_of(rows[first:last] @ rows.T, first, k) for first, last in _reported(songs.rows, progress)]
    counts = np.concatenate([counts for counts, _, _ in parts]) if parts else np.empty(0, np.int64)
    indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    indices = np.concatenate([columns for _, columns, _ in parts]) if parts else np.empty(0, np.int32)
    values = np.concatenate([cosines for _, _, cosines in parts]) if parts else np.empty(0, np.float32)
    return Csr(indptr, indices.astype(np.int32), songs.rows, values.astype(np.float32))


def _reported(rows: int, progress: Progress) -> Iterator[tuple[int, int]]:
    for first, last in spans(rows, _BLOCK):
        yield first, last
        progress("weighted nearest users", last, rows, "users")


def _top_of(products: Any, first: int, k: int) -> tuple[Array, Array, Array]:
    """The k largest entries of each row but the diagonal's, largest first, ties by column: counts, columns, values."""
    counts, columns, values = [], [], []
    for i in range(products.shape[0]):
        span = slice(products.indptr[i], products.indptr[i + 1])
        row, cosines = products.indices[span], products.data[span]
        kept = row != first + i
        row, cosines = row[kept], cosines[kept]
        order = np.lexsort((row, -cosines))[:k]
        counts.append(order.size)
        columns.append(row[order])
        values.append(cosines[order])
    return np.array(counts, np.int64), np.concatenate(columns), np.concatenate(values)


def _union(parts: list[Csr]) -> Csr:
    rows = [np.unique(np.concatenate([part.row(i) for part in parts])) for i in range(parts[0].rows)]
    return Csr.from_rows(rows, parts[0].columns)


def _mean(values: Array) -> float:
    return round(float(np.mean(values)), 4) if values.size else 0.0
