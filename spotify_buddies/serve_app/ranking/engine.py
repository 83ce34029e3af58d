"""The ranker: from users to ranked playlists, over one opened bundle. Knows neither Ray nor gRPC."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.serve_app.errors import NonFiniteScores
from spotify_buddies.serve_app.ranking import kernels
from spotify_buddies.serve_app.ranking.catalogue import Library, catalogue_of, wanted_genres
from spotify_buddies.serve_app.ranking.cold import factors_of, genres_of, has_entries, libraries
from spotify_buddies.serve_app.ranking.gathering import (
    NO_BITS,
    gather,
    known_reasons_of,
    libraries_of,
    mark,
    scored,
    share_of,
    ties_of,
)
from spotify_buddies.serve_app.ranking.lookup import Keys, find
from spotify_buddies.serve_app.ranking.plain_arrays import arrays_of, plain
from spotify_buddies.serve_app.ranking.query import RankedLists, Skipped, SongName, Source, Taste
from spotify_buddies.serve_app.ranking.retrieval import Retrieval
from spotify_buddies.serve_app.ranking.rules import Rules
from spotify_buddies.serve_app.ranking.song_lookup import TasteSongs, find_songs
from spotify_buddies.trainer.bundle import Bundle

Array = npt.NDArray[Any]

_NO_ROWS = np.empty(0, np.int32)
_NO_SCORES = np.empty(0, np.float32)
_NO_RULES = Rules()
_SOURCES = {
    kernels.LIVE: Source.LIVE,
    kernels.POPULAR: Source.POPULAR,
    kernels.POPULAR_IN_GENRE: Source.POPULAR_IN_GENRE,
}


class Engine:
    """Ranks playlists with one bundle. The arrays stay memory-mapped and are shared between processes.

    Every rank_... raises NonFiniteScores where a score of a list is NaN or infinite: nothing else looks at them.
    """

    def __init__(self, bundle: Bundle, version: str) -> None:
        self.bundle = plain(bundle)
        self.version = version
        self.libraries, self.ties = libraries_of(self.bundle), ties_of(self.bundle)
        self.known_reasons = known_reasons_of(self.bundle)
        self.catalogue = catalogue_of(self.bundle)
        self.retrieval = Retrieval.of(self.bundle)

    def warm_up(self, rules: Rules = _NO_RULES) -> list[RankedLists]:
        """Compile the kernels and map the bundle's pages, so that the first request is as fast as the rest.

        Returns lists of every kind that requests lead to, to warm up what uses them: numba compiles once for arrays of
        the bundle, which are read-only, and once for others. rules: of one user.
        """
        for array in arrays_of(self.bundle):
            if array.size:
                # One element per 4 KiB page is enough to map it.
                flat = array.reshape(-1)
                flat[:: max(1, 4096 // array.itemsize)].sum()
        if self.retrieval is not None:
            self.retrieval(np.ones((1, self.bundle.manifest.dimension), np.float32), 1)
        nothing, users = self.find_playlists([""]), self.bundle.manifest.users
        known = self.rank_known([self.bundle.user_ids.table[0] if users else ""], 1, nothing, rules)
        tastes = [Taste("", ("", SongName("", "")))]
        cold = self.rank_tastes(tastes, self.find_songs(tastes), _nobody(1, users), 1, nothing, rules)
        self.rank_cold(known.song_rows[:0], _nobody(0, users), 1, nothing, rules)
        given = self.rank_candidates(known.song_rows, _nobody(1, self.bundle.manifest.playlists), 1, nothing, rules)
        return [known, cold, replace(known, rows=given.rows, scores=given.scores, counts=given.counts)]

    @property
    def playlist_ids(self) -> Sequence[str]:
        """The playlists' ids, by row."""
        return cast("Sequence[str]", self.bundle.playlist_ids.table)

    def find_playlists(self, playlist_ids: Sequence[str]) -> Array:
        """Rows of the known ids, ascending int32, for exclusion. Unknown ids are left out."""
        if not playlist_ids:
            return _NO_ROWS
        rows = find(self.bundle.playlist_ids, Keys.of(playlist_ids))
        return np.unique(rows[rows >= 0])

    def block(self, users: int, *blocked: Mapping[int, Sequence[str]]) -> Csr | None:
        """What must not come back, by place of the user, as rows for Rules.blocked; None where there is nothing."""
        if not any(blocked):
            return None
        rows = [_NO_ROWS] * users
        for place in set().union(*blocked):
            rows[place] = self.find_playlists([playlist for ids in blocked for playlist in ids.get(place, ())])
        return Csr.from_rows(rows, self.bundle.manifest.playlists)

    def rank_known(self, user_ids: Sequence[str], limit: int, excluded: Array, rules: Rules = _NO_RULES) -> RankedLists:
        """Rank the candidates of users by id, in the order asked; duplicates are answered each time.

        A list is LIVE and may be shorter than limit, or, when no candidate is left (an unknown user, no pairing,
        all excluded), POPULAR. A user's own playlists never come back. excluded: playlist rows, ascending.
        """
        keys = Keys.of(user_ids)
        rows = find(self.bundle.user_ids, keys)
        rows[list(rules.hidden)] = -1
        return self._rank(
            rows, self.bundle.user_factors, rows, self.bundle.candidates, rows, limit, excluded, rules,
            user_ids=tuple(user_ids), keys=keys, bits=self.candidate_bits,
        )  # fmt: skip

    def rank_candidates(
        self, rows: Array, candidates: Csr, limit: int, excluded: Array, rules: Rules = _NO_RULES
    ) -> RankedLists:
        """Rank other candidates than the pairing's, by user row, -1 for nobody; row i of candidates belongs to rows[i].

        As rank_known in everything else, with the sources of the pairing's where these are among them; user_ids are
        left empty.
        """
        own = np.where(rows >= 0, np.arange(len(rows), dtype=np.int32), -1).astype(np.int32)
        best = scored(self.bundle, rows, candidates)
        lists = self._rank(rows, self.bundle.user_factors, rows, best, own, limit, excluded, rules)
        numbers = np.where(lists.source_numbers == Source.LIVE, kernels.LIVE, kernels.POPULAR).astype(np.int8)
        return replace(
            lists,
            candidate_sources=mark(
                self.bundle.candidates, self.candidate_bits, rows, numbers, lists.rows, lists.counts
            ),
        )

    def find_songs(self, tastes: Sequence[Taste]) -> TasteSongs:
        """Look the songs of tastes up: by id, or by names normalised as the data set's were."""
        return find_songs(self.bundle, tastes)

    def rank_tastes(
        self,
        tastes: Sequence[Taste],
        taste_songs: TasteSongs,
        neighbours: Csr | None,
        limit: int,
        excluded: Array,
        rules: Rules = _NO_RULES,
    ) -> RankedLists:
        """Rank the playlists of each taste's neighbours with a factor of its songs, or folded in from them.

        neighbours: (tastes x users) with cosines, most similar first; None: the search was skipped, and the answer says
        so. COLD_NEIGHBOURS; where nothing is left of them POPULAR_IN_GENRE, of the genre that most of the songs are of;
        where nothing is left of that, or no song has a genre, POPULAR.
        """
        user_ids = tuple(taste.user_id for taste in tastes)
        keys = Keys.of(user_ids)
        users = find(self.bundle.user_ids, keys)
        users[list(rules.hidden)] = -1
        own_rows = np.arange(len(tastes), dtype=np.int32)
        near = _nobody(len(tastes), self.bundle.manifest.users) if neighbours is None else neighbours
        factors, genres = factors_of(self.bundle, taste_songs.songs, near), genres_of(self.bundle, taste_songs.songs)
        candidates, bits = self._gather(near, users, factors, limit, excluded, rules)
        lists = self._rank(
            users, factors, own_rows, candidates, own_rows, limit, excluded, rules, genres,
            library=Library(taste_songs.songs, own_rows), bits=bits,
        )  # fmt: skip
        skipped = () if neighbours is not None else (Skipped.NEIGHBOUR_SEARCH,)
        return replace(
            lists,
            user_ids=user_ids,
            keys=keys,
            sources=_cold(lists.sources),
            skipped=(skipped,) * len(tastes),
            unknown_songs=taste_songs.unknown,
            candidates=kernels.fold_lists(candidates.indptr, candidates.indices),
        )

    def rank_cold(
        self, users: Array, neighbours: Csr | None, limit: int, excluded: Array, rules: Rules = _NO_RULES
    ) -> RankedLists:
        """Rank for known users, by row, who have no candidates: as rank_tastes, with their library as taste.

        Their own factor is used where they have one. user_ids are left empty.
        """
        near = _nobody(len(users), self.bundle.manifest.users) if neighbours is None else neighbours
        songs = libraries(self.bundle, users)
        own = self.bundle.user_factors[users]
        factors = np.where(has_entries(own), own, factors_of(self.bundle, songs, near))
        own_rows = np.arange(len(users), dtype=np.int32)
        candidates, bits = self._gather(near, users, factors, limit, excluded, rules)
        genres = genres_of(self.bundle, songs)
        lists = self._rank(users, factors, own_rows, candidates, own_rows, limit, excluded, rules, genres, bits=bits)
        folded = kernels.fold_lists(candidates.indptr, candidates.indices)
        return replace(lists, sources=_cold(lists.sources), candidates=folded)

    def is_cheap(self, tastes: int) -> bool:
        """Whether the candidates of so many tastes are found too fast to be worth a thread."""
        return self.retrieval is None or self.retrieval.is_cheap(tastes)

    def _gather(
        self, neighbours: Csr, users: Array, factors: Array, limit: int, excluded: Array, rules: Rules
    ) -> tuple[Csr, Array]:
        """The candidates of tastes and the source bits of each, see gathering.gather."""
        share = share_of(limit, rules.max_per_owner)
        list_rules = self.list_rules(rules, excluded, len(users))
        return gather(self.bundle, self.retrieval, neighbours, users, factors, list_rules, share)

    @property
    def candidate_scores(self) -> Array:
        """The scores that the bundle's candidates are sorted by; empty where they are to be scored."""
        return _scores_of(self.bundle.candidates)

    @property
    def candidate_bits(self) -> Array:
        """The sources of the bundle's candidates; empty where it does not say: they are the pairing's."""
        return NO_BITS if self.bundle.candidate_sources is None else self.bundle.candidate_sources

    def _rank(
        self,
        users: Array,
        vectors: Array,
        vector_rows: Array,
        candidates: Csr,
        candidate_rows: Array,
        limit: int,
        excluded: Array,
        rules: Rules,
        genre_rows: Array = _NO_ROWS,
        user_ids: tuple[str, ...] = (),
        keys: Keys | None = None,
        library: Library | None = None,
        bits: Array = NO_BITS,
    ) -> RankedLists:
        count = len(users)
        library = library or Library(self.bundle.user_songs, users)
        rows, scores, counts = _empty(count, limit)
        list_sources = np.empty(count, np.int8)
        asked = kernels.Asked(
            users, vectors, vector_rows, candidates.indptr, candidates.indices, _scores_of(candidates),
            candidate_rows, genre_rows, wanted_genres(self.bundle, library, rules),
        )  # fmt: skip
        list_rules = self.list_rules(rules, excluded, count)
        out = kernels.ListColumns(rows, scores, counts, list_sources)
        propensities = None
        if rules.draws is None:
            kernels.rank(asked, self.catalogue, list_rules, out)
        else:
            propensities = np.ones((count, limit), np.float32)
            kernels.explore(asked, self.catalogue, list_rules, out, rules.draws.columns, propensities)
        # What is beyond the counts is zero.
        if not np.isfinite(scores).all():
            raise NonFiniteScores(self.version)
        labels = tuple(map(_SOURCES.__getitem__, list_sources.tolist()))
        return RankedLists(
            user_ids or ("",) * count, rows, scores, counts, labels, ((),) * count, (0,) * count,
            library.songs, library.rows, keys, mark(candidates, bits, candidate_rows, list_sources, rows, counts),
            propensities=propensities,
        )  # fmt: skip

    def list_rules(self, rules: Rules, excluded: Array, users: int) -> kernels.ListRules:
        """Rules as the kernels take them. excluded: playlist rows, ascending."""
        if rules.blocked is None:
            indptr, rows = np.zeros(users + 1, np.int64), _NO_ROWS
        else:
            indptr, rows = rules.blocked.indptr, rules.blocked.indices
        return kernels.ListRules(
            excluded, indptr, rows, rules.max_per_owner, self._most_equal(rules), rules.max_song_containment,
            rules.adventurous, rules.calibration,
        )  # fmt: skip

    def _most_equal(self, rules: Rules) -> int:
        """Equal bytes of two sketches up to which their playlists are not too near.

        Bytes of b-bit MinHash (Li and Koenig, WWW 2010) are equal with probability j + (1 - j) / 256.
        """
        width = int(self.bundle.sketches.shape[1])
        return math.floor(width * (1 / 256 + rules.max_song_overlap * 255 / 256))


def _cold(sources: tuple[Source, ...]) -> tuple[Source, ...]:
    return tuple(Source.COLD_NEIGHBOURS if source is Source.LIVE else source for source in sources)


def _scores_of(lists: Csr) -> Array:
    """What a list holds beside its rows; an empty array where it holds nothing: a kernel takes no None."""
    return _NO_SCORES if lists.values is None else lists.values


def _empty(users: int, limit: int) -> tuple[Array, Array, Array]:
    rows = np.full((users, limit), -1, np.int32)
    return rows, np.zeros((users, limit), np.float32), np.zeros(users, np.int32)


def _nobody(rows: int, users: int) -> Csr:
    return Csr(np.zeros(rows + 1, np.int64), _NO_ROWS, users, np.empty(0, np.float32))
