"""The candidates of every user: the union of what the sources find, each within its budget."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages.blocks import cut, over_blocks, processors
from spotify_buddies.foundation.stages.progress import Progress, silent
from spotify_buddies.trainer.bundle.nearest_index import NearestIndex
from spotify_buddies.trainer.bundle.sources import FOLLOWS, NEW, PAIRING, POPULAR, TASTE
from spotify_buddies.trainer.candidates.follows import LikedTogether, find_together
from spotify_buddies.trainer.candidates.kernels import unite
from spotify_buddies.trainer.candidates.nearest import Nearest
from spotify_buddies.trainer.candidates.popular import most_popular, newcomers
from spotify_buddies.trainer.dataset.table import Dataset, train_likes
from spotify_buddies.trainer.models.model import Model
from spotify_buddies.trainer.settings import CandidateSettings

Array = npt.NDArray[Any]

# The order of the union: of playlists with equal scores the one that came first stays in front.
ORDER = (PAIRING, TASTE, FOLLOWS, POPULAR, NEW)


@dataclass(frozen=True)
class Candidates:
    """rows (U, P): every playlist once, in the order of ORDER, within a source best first. sources uint8 (nnz,): a mask
    of trainer.bundle.sources per entry, every source that found it within its budget. index: of all playlists by the
    scale they were found with, where there are too many to look at each.
    """

    rows: Csr
    sources: Array
    index: NearestIndex | None = None


@dataclass(frozen=True)
class Budgets:
    """How many playlists of each source count for a user, in the order of ORDER."""

    pairing: int
    taste: int
    follows: int
    popular: int
    new: int

    def of(self) -> Array:
        """int64 (5,)."""
        return np.array([self.pairing, self.taste, self.follows, self.popular, self.new], np.int64)


@dataclass(frozen=True)
class Found:
    """What the sources look with. A source that is left out is None."""

    paired: Csr
    taste: Nearest | None
    together: LikedTogether | None
    popular: Array
    new: Nearest | None


def find_candidates(
    data: Dataset,
    paired: Csr,
    model: Model,
    scale: Array,
    settings: CandidateSettings,
    *,
    followed: bool = False,
    disliked: Csr | None = None,
    progress: Progress = silent,
) -> Candidates:
    """The union of what the sources find for every user of the data set.

    paired (U, P): the pairing's candidates. scale float32 (d,): as Bundle.retrieval_scale. followed: the likes of the
    data set are people's own, not made from shared songs; only then what is followed together and what is popular are
    sources, and what a user follows already is no candidate, but for likes that are feedback alone. disliked
    (U, P): never candidates; None: nothing is. Neither are a user's own playlists.

    With settings.pairing_only the pairing's candidates come back as they are. Neither threads nor blocks change a row.
    Memory: 9 bytes a candidate in the bundle that follows, 4 while they are found, and for a block 5 bytes a candidate
    and 4 a playlist.
    """
    if settings.pairing_only:
        return Candidates(paired, np.full(paired.nnz, PAIRING, np.uint8))
    likes = train_likes(data)
    given = settings if followed else settings.model_copy(update={"follows": 0, "popular": 0})
    had = likes if followed and not data.feedback_alone else None
    refused = _refused(data.owned, *(rows for rows in (disliked, had) if rows is not None))
    found = _sources(data, paired, model, scale, given, likes, progress)
    united = unite_sources(found, model.user_factors, refused, budgets_of(given), settings.block_users, progress)
    return replace(united, index=found.taste.index if found.taste else None)


def budgets_of(settings: CandidateSettings) -> Budgets:
    """The budgets in the settings."""
    return Budgets(settings.pairing or 0, settings.taste, settings.follows, settings.popular, settings.new)


def _sources(
    data: Dataset,
    paired: Csr,
    model: Model,
    scale: Array,
    settings: CandidateSettings,
    likes: Csr,
    progress: Progress,
) -> Found:
    counts = likes.column_counts()
    new = newcomers(counts, data.playlist_songs.counts, settings.new_likes)
    factors, users, cells = model.playlist_factors, model.user_factors, settings.exact_cells
    return Found(
        paired,
        Nearest.of(factors, scale, users, exact_cells=cells) if settings.taste else None,
        find_together(likes, progress) if settings.follows else None,
        most_popular(counts),
        Nearest.of(factors, scale, users, rows=new, exact_cells=cells) if settings.new else None,
    )


def unite_sources(
    found: Found, factors: Array, refused: Csr, budgets: Budgets, block_users: int, progress: Progress = silent
) -> Candidates:
    """The union for every user. factors (U, d); refused (U, P), what each never gets."""
    playlists, amounts = found.paired.columns, budgets.of()

    def work(first: int, last: int) -> tuple[Array, Array, Array]:
        return _unite_block(found, factors, refused, amounts, playlists, first, last)

    block = cut(len(factors), block_users, processors())
    parts = list(over_blocks(len(factors), block, "candidates", progress, work))
    # An empty part in front, so that no users give no candidates.
    none = (np.zeros(1, np.int64), np.empty(0, np.int32), np.empty(0, np.uint8))
    counts, rows, sources = (np.concatenate(column) for column in zip(none, *parts, strict=True))
    return Candidates(Csr(np.cumsum(counts), rows, playlists), sources)


def _unite_block(
    found: Found, factors: Array, refused: Csr, budgets: Array, playlists: int, first: int, last: int
) -> tuple[Array, Array, Array]:
    """Counts, rows and sources of the users first..last, without gaps."""
    refused_ptr = np.asarray(refused.indptr[first : last + 1])
    # What is refused does not use up a budget: so many more are asked for.
    extra = int(np.diff(refused_ptr).max(initial=0))
    vectors, users = factors[first:last], last - first
    nothing = np.empty((users, 0), np.int32)

    def nearest(source: Nearest | None, budget: int) -> Array:
        return nothing if source is None or not budget else source(vectors, min(budget + extra, source.rows.size))

    lists = [
        _padded(found.paired, first, last) if budgets[0] else nothing,
        nearest(found.taste, int(budgets[1])),
        found.together(first, last, int(budgets[2]) + extra) if found.together and budgets[2] else nothing,
        np.tile(found.popular[: budgets[3] + extra] if budgets[3] else found.popular[:0], (users, 1)),
        nearest(found.new, int(budgets[4])),
    ]
    side_by_side = np.ascontiguousarray(np.concatenate(lists, axis=1), np.int32)
    starts = np.cumsum([0, *(part.shape[1] for part in lists)])
    shape = side_by_side.shape
    rows, sources, counts = np.empty(shape, np.int32), np.empty(shape, np.uint8), np.zeros(users, np.int64)
    unite(
        side_by_side, np.array(ORDER, np.uint8), budgets, starts, refused_ptr, np.asarray(refused.indices),
        np.full(playlists, -1, np.int32), rows, sources, counts,
    )  # fmt: skip
    filled = np.arange(shape[1]) < counts[:, None]
    return counts, rows[filled], sources[filled]


def _padded(rows: Csr, first: int, last: int) -> Array:
    """Some rows at one width, int32, -1 padded."""
    counts = np.diff(rows.indptr[first : last + 1])
    out = np.full((last - first, int(counts.max(initial=0))), -1, np.int32)
    out[np.arange(out.shape[1]) < counts[:, None]] = rows.indices[rows.indptr[first] : rows.indptr[last]]
    return out


def _refused(*parts: Csr) -> Csr:
    """The rows of all parts, one after the other."""
    if len(parts) == 1:
        return parts[0]
    pairs = [np.repeat(np.arange(part.rows), part.counts) for part in parts]
    rows, columns = np.concatenate(pairs), np.concatenate([np.asarray(part.indices) for part in parts])
    order = np.argsort(rows, kind="stable")
    indptr = np.zeros(parts[0].rows + 1, np.int64)
    np.cumsum(np.bincount(rows, minlength=parts[0].rows), out=indptr[1:])
    return Csr(indptr, columns[order].astype(np.int32), parts[0].columns)
