"""The ranker: from listeners to ranked playlists, over one opened bundle. Knows neither Ray nor gRPC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pairing.csr import Csr
from pairing.foldin import fold_in
from pairing.names import song_key
from serve_app import kernels
from serve_app.query import Lists, Skipped, SongName, Source, Taste
from serve_app.views import plain
from trainer.bundle import Bundle

Array = npt.NDArray[Any]

# A taste gets as many candidates as a listener with a pairing.
CANDIDATES = 75
_NO_ROWS = np.empty(0, np.int32)


@dataclass(frozen=True)
class TasteSongs:
    """The songs of tastes as rows: songs (tastes x songs, ascending, no duplicates); unknown: songs not found, each."""

    songs: Csr
    unknown: tuple[int, ...]


class Engine:
    """Ranks playlists with one bundle. The arrays stay memory-mapped and are shared between processes."""

    def __init__(self, bundle: Bundle, version: str) -> None:
        self.bundle = plain(bundle)
        self.version = version

    def warm_up(self) -> None:
        """Compile the kernels and touch the pages of the factors, so that the first request is as fast as the rest."""
        for array in (
            self.bundle.user_factors,
            self.bundle.playlist_factors,
            self.bundle.candidates.indices,
            self.bundle.owner,
        ):
            if array.size:
                # One element per 4 KiB page is enough to map it.
                flat = array.reshape(-1)
                flat[:: max(1, 4096 // array.itemsize)].sum()
        self.rank_known([self.bundle.user_ids.table[0] if self.bundle.manifest.users else ""], 1, _NO_ROWS)
        nobody = _nobody(1, self.bundle.manifest.users)
        self.rank_tastes([Taste("", ())], self.find_songs([Taste("", ())]), nobody, 1, _NO_ROWS)

    def find_playlists(self, playlist_ids: Sequence[str]) -> Array:
        """Rows of the known ids, ascending int32, for exclusion. Unknown ids are left out."""
        if not playlist_ids:
            return _NO_ROWS
        rows = self.bundle.playlist_ids.find(playlist_ids)
        return np.unique(rows[rows >= 0]).astype(np.int32)

    def rank_known(self, user_ids: Sequence[str], limit: int, excluded: Array) -> Lists:
        """Rank the candidates of listeners by id, in the order asked; duplicates are answered each time.

        A list is LIVE and may be shorter than limit, or, when no candidate is left (an unknown listener, no pairing,
        all excluded), POPULAR. A listener's own playlists never come back. excluded: playlist rows, ascending.
        """
        rows = self.bundle.user_ids.find(user_ids)
        lists = self._rank(rows, self.bundle.user_factors, rows, self.bundle.candidates, rows, limit, excluded)
        return replace(lists, user_ids=tuple(user_ids), songs=self.bundle.user_songs, song_rows=rows)

    def rank_candidates(self, rows: Array, candidates: Csr, limit: int, excluded: Array) -> Lists:
        """Rank other candidates than the pairing's, by user row, -1 for nobody; row i of candidates belongs to rows[i].

        As rank_known in everything else; user_ids are left empty.
        """
        own = np.where(rows >= 0, np.arange(len(rows), dtype=np.int32), -1).astype(np.int32)
        return self._rank(rows, self.bundle.user_factors, rows, candidates, own, limit, excluded)

    def find_songs(self, tastes: Sequence[Taste]) -> TasteSongs:
        """Look the songs of tastes up: by id, or by names normalised as the data set's were."""
        wanted = [song for taste in tastes for song in taste.songs]
        rows = np.full(len(wanted), -1, np.int32)
        by_id = [i for i, song in enumerate(wanted) if isinstance(song, str)]
        by_name = [i for i, song in enumerate(wanted) if isinstance(song, SongName)]
        matching: Any = self.bundle.manifest.matching
        if by_id:
            entries = self.bundle.song_ids.find([str(wanted[i]) for i in by_id])
            known = entries >= 0
            rows[np.asarray(by_id)[known]] = self.bundle.song_id_rows[entries[known]]
        if by_name:
            names = [song for song in wanted if isinstance(song, SongName)]
            keys = [song_key(n.title, n.artist, matching) for n in names]
            # A name of spaces alone has the key of the songs that have no name.
            named = np.array([not key.startswith("\x1f") and not key.endswith("\x1f") for key in keys])
            rows[by_name] = np.where(named, self.bundle.song_keys.find(keys), -1)
        split = np.split(rows, np.cumsum([len(taste.songs) for taste in tastes])[:-1]) if tastes else []
        songs = Csr.from_rows([np.unique(part[part >= 0]) for part in split], self.bundle.manifest.songs)
        return TasteSongs(songs, tuple(int((part < 0).sum()) for part in split))

    def rank_tastes(
        self,
        tastes: Sequence[Taste],
        found: TasteSongs,
        neighbours: Csr | None,
        limit: int,
        excluded: Array,
    ) -> Lists:
        """Rank the playlists of each taste's neighbours with a factor folded in from them.

        neighbours: (tastes x users) with cosines, most similar first; None: the search was skipped, so the answer is
        POPULAR and says so. Otherwise COLD_NEIGHBOURS, or POPULAR where the neighbours own nothing that is left.
        """
        users = self.bundle.user_ids.find([taste.user_id for taste in tastes])
        own_rows = np.arange(len(tastes), dtype=np.int32)
        near = _nobody(len(tastes), self.bundle.manifest.users) if neighbours is None else neighbours
        candidates = self._gather(near, users, excluded)
        factors = np.ascontiguousarray(fold_in(near, self.bundle.user_factors), np.float32)
        lists = self._rank(users, factors, own_rows, candidates, own_rows, limit, excluded)
        cold = {Source.LIVE: Source.COLD_NEIGHBOURS, Source.POPULAR: Source.POPULAR}
        skipped = () if neighbours is not None else (Skipped.NEIGHBOUR_SEARCH,)
        return replace(
            lists,
            user_ids=tuple(taste.user_id for taste in tastes),
            sources=tuple(cold[source] for source in lists.sources),
            skipped=(skipped,) * len(tastes),
            unknown_songs=found.unknown,
            songs=found.songs,
            song_rows=own_rows,
        )

    def _gather(self, neighbours: Csr, users: Array, excluded: Array) -> Csr:
        found = kernels.gather_owned(
            neighbours.indptr, neighbours.indices, self.bundle.owned.indptr, self.bundle.owned.indices, users, excluded,
            CANDIDATES,
        )  # fmt: skip
        indptr = np.zeros(neighbours.rows + 1, np.int64)
        np.cumsum((found >= 0).sum(axis=1), out=indptr[1:])
        return Csr(indptr, found[found >= 0], self.bundle.manifest.playlists)

    def _rank(
        self,
        users: Array,
        vectors: Array,
        vector_rows: Array,
        candidates: Csr,
        candidate_rows: Array,
        limit: int,
        excluded: Array,
    ) -> Lists:
        count = len(users)
        rows = np.full((count, limit), -1, np.int32)
        scores = np.zeros((count, limit), np.float32)
        counts = np.zeros(count, np.int32)
        sources = np.zeros(count, np.int8)
        kernels.rank(
            users, vectors, vector_rows, candidates.indptr, candidates.indices, candidate_rows,
            self.bundle.playlist_factors, self.bundle.owner, self.bundle.popular, self.bundle.popular_scores, excluded,
            rows, scores, counts, sources,
        )  # fmt: skip
        labels = tuple(Source.LIVE if source == kernels.LIVE else Source.POPULAR for source in sources)
        return Lists(
            ("",) * count, rows, scores, counts, labels, ((),) * count, (0,) * count, self.bundle.user_songs, users
        )  # fmt: skip


def _nobody(rows: int, users: int) -> Csr:
    return Csr(np.zeros(rows + 1, np.int64), _NO_ROWS, users, np.empty(0, np.float32))
