"""Answers for one taste, whose neighbours are counted in this process: two calls of kernels, and Python before them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from spotify_buddies.pairing.neighbours.counted import CountedSearch
from spotify_buddies.serve_app.errors import NonFiniteScores
from spotify_buddies.serve_app.neighbours import nearest
from spotify_buddies.serve_app.ranking.catalogue import refused_of
from spotify_buddies.serve_app.ranking.encoding.kernels.taste import answer_taste
from spotify_buddies.serve_app.ranking.encoding.single import Shared
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.gathering import CANDIDATES, nearest_wanted, share_of
from spotify_buddies.serve_app.ranking.kernels.tastes import count_taste
from spotify_buddies.serve_app.ranking.lookup import Keys, find
from spotify_buddies.serve_app.ranking.plain_arrays import unchecked_csr
from spotify_buddies.serve_app.ranking.query import Arm, RankedLists, SongName, Source, Taste
from spotify_buddies.serve_app.ranking.reasons import EXAMPLES, UNSHARED
from spotify_buddies.serve_app.ranking.rules import Rules
from spotify_buddies.serve_app.ranking.song_lookup import keys_of
from spotify_buddies.trainer.bundle import Bundle, KeyIndex
from spotify_buddies.trainer.bundle.sources import PAIRING, POPULAR, TASTE

Array = npt.NDArray[Any]

# By the numbers of the kernels: LIVE, POPULAR, POPULAR_IN_GENRE.
_SOURCES = Source.COLD_NEIGHBOURS, Source.POPULAR, Source.POPULAR_IN_GENRE
_LABELS = {source.value: (source,) for source in _SOURCES}
_NUMBERS = np.array(_SOURCES, np.int8)
_HERE = np.zeros(1, np.int32)


def _key_arrays(keys: list[str], owner: Array) -> tuple[Array, ...]:
    asked = Keys.of(keys)
    return asked.hashes, asked.offsets, asked.data, owner


_NO_KEYS = _key_arrays([], _HERE[:0])


@dataclass(frozen=True)
class CountedTaste:
    """A taste whose songs were looked up. songs int32, ascending; unknown: those not found; work: their listeners.

    counted: whether the neighbours were, that is, whether the rest holds. near int32 (n,): the nearest users, and the
    factor float32 (1, d) and genre int32 (1,) of the songs and them.
    """

    songs: Array
    unknown: int
    work: int
    near: Array
    factor: Array
    genre: Array
    counted: bool


class TasteAnswers:
    """Looks up, searches, ranks, explains and encodes one taste of an engine; lists as Engine.rank_tastes makes them.

    search: whose bound says which tastes are answered here, up to what is counted on the event loop. k: nearest users
    that are counted.
    """

    def __init__(self, engine: Engine, shared: Shared, search: CountedSearch, k: int) -> None:
        self._engine, self._shared, self._search = engine, shared, search
        bundle = engine.bundle
        self._k, self._most = min(k, bundle.manifest.users), min(search.most, nearest.COUNT_AT_ONCE)
        self._matching: Any = bundle.manifest.matching
        self._tables = _song_tables(bundle)
        self._factors = bundle.user_factors, bundle.manifest.users
        self._summed = _summed(bundle)
        self._genres = bundle.song_genres, bundle.song_listeners, bundle.genre_popular.rows
        self._owned = bundle.owned.indptr, bundle.owned.indices
        self._labels = _NUMBERS, UNSHARED[_NUMBERS], PAIRING, TASTE, POPULAR

    def count(self, taste: Taste) -> CountedTaste:
        """Find the songs of a taste and, where they have few enough listeners, the nearest users."""
        names, ids = self._keys(taste)
        with self._search.scratch() as scratch:
            songs, unknown, work, near, _, factor, genre = count_taste(
                len(taste.songs), names, ids, self._tables, self._search.arrays, scratch, self._most, self._k,
                self._factors, self._summed, self._genres,
            )  # fmt: skip
        return CountedTaste(songs, unknown, work, near, factor, genre, work <= self._most)

    def warm_up(self) -> None:
        """Compile the kernels, and map the pages of the song lists."""
        taste, nothing = Taste("", ("", SongName("", ""))), _HERE[:0]
        for array in self._search.arrays:
            # One element per 4 KiB page is enough to map it.
            array[:: max(1, 4096 // array.itemsize)].sum()
        # Several tastes in a call, and one in another mode, are counted by another kernel.
        self._search.warm_up()
        counted = self.count(taste)
        for explained in (True, False):
            self.answer(
                taste, counted, self.nearest(taste, counted, nothing, Rules()), 1, nothing, Rules(), bytes(16),
                Arm.PRODUCTION, explained=explained,
            )  # fmt: skip

    @property
    def is_cheap(self) -> bool:
        """Whether `nearest` takes too little time to be worth a thread."""
        return self._engine.is_cheap(1)

    def nearest(self, taste: Taste, counted: CountedTaste, excluded: Array, rules: Rules) -> Array:
        """The playlists nearest to the taste's factor, int32 (1, n), -1 padded; none where the engine seeks none."""
        if self._engine.retrieval is None:
            return np.empty((1, 0), np.int32)
        user = find(self._engine.bundle.user_ids, Keys.of([taste.user_id]))
        list_rules = self._engine.list_rules(rules, excluded, 1)
        wanted = nearest_wanted(user, refused_of(self._engine.bundle), list_rules)
        return self._engine.retrieval(counted.factor, wanted)

    def answer(
        self,
        taste: Taste,
        counted: CountedTaste,
        nearest: Array,
        limit: int,
        excluded: Array,
        rules: Rules,
        drawn: bytes,
        arm: Arm,
        *,
        explained: bool,
    ) -> tuple[bytes, RankedLists]:
        """The answer as Encoder.encode writes it, and its list. drawn: from draw_ids(1). NonFiniteScores."""
        key, shared = taste.user_id.encode(errors="surrogatepass"), self._shared
        rows, scores = np.empty((1, limit), np.int32), np.empty((1, limit), np.float32)
        counts, number, found_by = np.empty(1, np.int32), np.empty(1, np.int8), np.empty((1, limit), np.uint8)
        folded = np.empty(1, np.uint64)
        data = answer_taste(
            np.uint64(xxhash.xxh3_64_intdigest(key)), np.frombuffer(key, np.uint8), np.frombuffer(drawn, np.uint8),
            shared.user_index, (counted.songs, counted.unknown, counted.near, counted.factor, counted.genre), nearest,
            self._owned, CANDIDATES, share_of(limit, rules.max_per_owner), shared.catalogue,
            tuple(self._engine.list_rules(rules, excluded, 1)), shared.libraries, shared.ties, shared.fixed[arm],
            self._labels, explained, EXAMPLES, (rows, scores, counts, number, found_by, folded),
        )  # fmt: skip
        if not all(map(math.isfinite, scores[0].tolist())):
            raise NonFiniteScores(self._engine.version)
        songs = unchecked_csr(np.array([0, counted.songs.size]), counted.songs, self._search.songs)
        lists = RankedLists(
            (taste.user_id,), rows, scores, counts, _LABELS[int(number[0])], ((),), (counted.unknown,), songs, _HERE,
            None, found_by, folded,
        )  # fmt: skip
        return data.tobytes(), lists

    def _keys(self, taste: Taste) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        """The keys of the songs by name, and of those by id, as count_taste takes them."""
        songs = taste.songs
        by_id = [i for i, song in enumerate(songs) if isinstance(song, str)]
        if not by_id:
            return _key_arrays(*keys_of(songs, self._matching)), _NO_KEYS  # type: ignore[arg-type]
        ids = _key_arrays([str(songs[i]) for i in by_id], np.array(by_id, np.int32))
        by_name = [i for i, song in enumerate(songs) if isinstance(song, SongName)]
        if not by_name:
            return _NO_KEYS, ids
        keys, owner = keys_of([songs[i] for i in by_name], self._matching)  # type: ignore[misc]
        return _key_arrays(keys, np.array(by_name, np.int32)[owner]), ids


def _song_tables(bundle: Bundle) -> tuple[Any, ...]:
    """As find_rows takes them: arrays all the same where there are no other spellings."""
    keys, ids = (_arrays(index) for index in (bundle.song_keys, bundle.song_ids))
    none = bundle.song_id_rows[:0]
    if bundle.song_aliases is None or bundle.song_alias_rows is None:
        return keys, keys, none, ids, bundle.song_id_rows
    return keys, _arrays(bundle.song_aliases), bundle.song_alias_rows, ids, bundle.song_id_rows


def _arrays(index: KeyIndex) -> tuple[Array, ...]:
    return index.hashes, index.rows, index.table.offsets, index.table.data


def _summed(bundle: Bundle) -> tuple[Array, ...]:
    """As count_taste takes them: of no songs where the model has none."""
    if bundle.song_factors is not None:
        return bundle.song_factors.arrays
    none = np.empty((0, 0), np.uint16)
    return none, none, np.empty(0, np.float32), np.ones(2, np.float32), np.empty(0, np.float32)
