"""One bundle's answers to people by row or by songs: the path of a request from its query to its ranked lists."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages.blocks import spans
from spotify_buddies.pairing.neighbours.index_files import SearchError
from spotify_buddies.pairing.neighbours.search import NeighbourSearch
from spotify_buddies.serve_app.errors import NonFiniteScores
from spotify_buddies.serve_app.neighbours.client import Local
from spotify_buddies.serve_app.ranking.encoding import draw_ids
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.history import Shown
from spotify_buddies.serve_app.ranking.query import Arm, Query, RankedLists, SongName, Source, Taste
from spotify_buddies.serve_app.ranking.rules import Exploration
from spotify_buddies.serve_app.telemetry.metrics import Silent
from spotify_buddies.serve_app.versions.answers import Answers, Budgets
from spotify_buddies.trainer.bundle import Bundle, BundleError
from spotify_buddies.trainer.bundle import sources as origin

Array = npt.NDArray[Any]

# People of one query: fewer than a request may name.
PEOPLE = 500
# Nothing waits for these answers, so a search is never cut short; a service's budget is in its settings.
PATIENCE_S = 600.0
# Lists that hold what is popular, not candidates of one's own.
_POPULAR = (Source.POPULAR, Source.POPULAR_IN_GENRE)


@dataclass
class _Memory:
    """A History of what the people of the query in progress may not get, by their place in it."""

    now: dict[int, Sequence[str]] = field(default_factory=dict)

    def blocked(self, user_ids: Sequence[str], now: datetime) -> Mapping[int, Sequence[str]]:
        """As History.blocked."""
        del user_ids, now
        return self.now

    def erased(self, user_ids: Sequence[str]) -> Sequence[int]:
        """As History.erased: nobody."""
        del user_ids
        return ()

    async def seen(
        self, user_ids: Sequence[str], since: datetime, *, shown: bool, liked: bool
    ) -> Mapping[int, Sequence[str]]:
        """As History.seen: nothing beyond what is blocked."""
        del user_ids, since, shown, liked
        return {}

    def record(self, shown: Shown) -> None:
        """As History.record: nothing is remembered."""
        del shown


class _LazySearch:
    """The search of a bundle's index, which is opened when somebody needs it: users with candidates never do."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._opened: NeighbourSearch | None = None

    def search(self, tastes: Csr, k: int) -> Csr:
        """As NeighbourSearch.search. BundleError: the index is for others, or there is none."""
        if self._opened is None:
            try:
                self._opened = NeighbourSearch.open(self._bundle.index, self._bundle.user_songs)
            except SearchError as error:
                raise BundleError(f"{self._bundle.directory}: {error}") from error
        return self._opened.search(tastes, k)


class OfflineRanker:
    """Lists and candidates of one bundle, in the order asked; a `Ranker` of trainer.evaluation.served.

    The rules are those of a request that names none. Strangers are looked up by the names of their songs, as tastes.
    BundleError, in every call: the index is for others, or scores are not finite.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        counted_listeners: int = 0,
        searching: bool = True,
        exploration: Exploration | None = None,
        draw: Callable[[int], bytes] = draw_ids,
    ) -> None:
        """counted_listeners: as in Budgets. searching: whether the index is asked for the neighbours of tastes.

        exploration, draw: how places are drawn and what the draws are seeded by; None: no place is drawn.
        """
        self._engine = Engine(bundle, "offline")
        self._memory = _Memory()
        explorations = {} if exploration is None else {Arm.PRODUCTION: exploration}
        self._answers = Answers(
            self._engine,
            budgets=Budgets(PATIENCE_S, PATIENCE_S, counted_listeners),
            daily=None,
            history=self._memory,
            telemetry=Silent(),
            now=lambda: datetime.fromtimestamp(0, UTC),
            explorations=explorations,
            draw=draw,
        )
        if searching:
            self._answers.use_neighbours(Local(_LazySearch(self._engine.bundle)))

    @property
    def engine(self) -> Engine:
        """What ranks."""
        return self._engine

    def rank(self, query: Query, blocked: Sequence[str]) -> RankedLists:
        """The list of a query for one user or taste. blocked: ids of playlists that do not come back."""
        self._memory.now = {0: blocked} if blocked else {}
        return next(self._ask(query))

    def rank_known(self, users: Array, seen: Csr, limit: int) -> Array:
        """Playlist rows int32 (n, limit), best first, -1 padded, of users by row; seen (n, P) does not come back."""
        return _rows(self._ask_known(users, seen, Query(limit=limit, explain=False)), limit)

    def rank_strangers(self, songs: Csr, seen: Csr, limit: int) -> Array:
        """As rank_known, of people by their songs (n, S). Songs without a name are not found."""
        return _rows(self._ask_strangers(songs, seen, Query(limit=limit, explain=False)), limit)

    def offer_known(self, users: Array, most: int) -> tuple[Csr, Array]:
        """Candidates (n, P), best first, and their sources, uint8 (nnz,), bits as in trainer.bundle.sources.

        Of users who have none in the bundle: at most `most` of what is ranked for them without rules.
        """
        bundle = self._engine.bundle
        stored = bundle.candidates.take(users)
        bits = _stored_bits(bundle, users, stored)
        cold = np.flatnonzero(stored.counts == 0)
        if not cold.size:
            return stored, bits
        found, found_bits = self._offer(
            self._ask_known(users[cold], _nothing(cold.size, stored.columns), _unruled(most))
        )
        return _merge(stored, bits, cold, found, found_bits)

    def offer_strangers(self, songs: Csr, most: int) -> tuple[Csr, Array]:
        """As offer_known, for people by their songs: at most `most` of what is ranked for them without rules."""
        nothing = _nothing(songs.rows, self._engine.bundle.manifest.playlists)
        return self._offer(self._ask_strangers(songs, nothing, _unruled(most)))

    def _ask_known(self, users: Array, seen: Csr, query: Query) -> Iterator[RankedLists]:
        ids = self._engine.bundle.user_ids.table
        for first, last in spans(users.size, PEOPLE):
            names = tuple(ids[row] for row in users[first:last].tolist())
            yield from self._answer(replace(query, user_ids=names), seen, first, last)

    def _ask_strangers(self, songs: Csr, seen: Csr, query: Query) -> Iterator[RankedLists]:
        titles, artists = self._engine.bundle.song_titles, self._engine.bundle.song_artists
        for first, last in spans(songs.rows, PEOPLE):
            tastes = tuple(
                Taste("", tuple(SongName(titles[song], artists[song]) for song in songs.row(row).tolist()))
                for row in range(first, last)
            )
            yield from self._answer(replace(query, tastes=tastes), seen, first, last)

    def _answer(self, query: Query, seen: Csr, first: int, last: int) -> Iterator[RankedLists]:
        ids = self._engine.playlist_ids
        self._memory.now = {
            row - first: [ids[playlist] for playlist in seen.row(row).tolist()]
            for row in range(first, last)
            if seen.indptr[row] < seen.indptr[row + 1]
        }
        yield from self._ask(query)

    def _ask(self, query: Query) -> Iterator[RankedLists]:
        # A batch is at most so large, and answered in one piece.
        try:
            answered = asyncio.run(self._answers.rank_and_encode(query, self._answers.exclude(query)))
        except NonFiniteScores as error:
            raise BundleError(f"{self._engine.bundle.directory}: it ranks with scores that are not finite") from error
        for batch in answered.batches:
            yield from (ranked.lists for ranked in batch.ranked)

    def _offer(self, answered: Iterator[RankedLists]) -> tuple[Csr, Array]:
        parts, bits = [], []
        for lists in answered:
            found = _bits_of(lists)
            for place, count in enumerate(lists.counts.tolist()):
                parts.append(lists.rows[place, :count])
                bits.append(found[place, :count])
        joined = np.concatenate(bits) if bits else np.empty(0, np.uint8)
        return Csr.from_rows(parts, self._engine.bundle.manifest.playlists), joined


def _bits_of(lists: RankedLists) -> Array:
    """What found each playlist of lists, uint8 (n, limit); where they do not say, neighbours or popularity."""
    if lists.candidate_sources is not None:
        return lists.candidate_sources
    popular = np.array([source in _POPULAR for source in lists.sources], np.bool_)
    bits = np.where(popular, origin.POPULAR, origin.PAIRING).astype(np.uint8)
    return np.broadcast_to(bits[:, None], lists.rows.shape)


def _unruled(most: int) -> Query:
    return Query(limit=most, explain=False, max_per_owner=most, max_song_overlap=1.0, max_song_containment=1.0)


def _rows(answered: Iterator[RankedLists], limit: int) -> Array:
    parts = [np.where(np.arange(limit) < lists.counts[:, None], lists.rows, -1) for lists in answered]
    rows = np.concatenate(parts) if parts else np.empty((0, limit), np.int32)
    return rows.astype(np.int32)


def _stored_bits(bundle: Bundle, users: Array, taken: Csr) -> Array:
    """The bits of the candidates of some users; of a bundle that does not say, all are of the pairing."""
    stored = bundle.candidate_sources
    if stored is None:
        return np.full(taken.nnz, origin.PAIRING, np.uint8)
    whole = bundle.candidates
    bits = Csr(whole.indptr, whole.indices, whole.columns, np.asarray(stored)).take(users).values
    return np.empty(0, np.uint8) if bits is None else bits


def _merge(stored: Csr, bits: Array, rows: Array, found: Csr, found_bits: Array) -> tuple[Csr, Array]:
    """Some empty rows of `stored` filled with those found for them."""
    place = np.concatenate([np.repeat(np.arange(stored.rows), stored.counts), np.repeat(rows, found.counts)])
    order = np.argsort(place, kind="stable")
    counts = np.bincount(place, minlength=stored.rows)
    indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    indices = np.concatenate([np.asarray(stored.indices), found.indices])[order].astype(np.int32)
    return Csr(indptr, indices, stored.columns), np.concatenate([bits, found_bits])[order]


def _nothing(rows: int, columns: int) -> Csr:
    return Csr(np.zeros(rows + 1, np.int64), np.empty(0, np.int32), columns)
