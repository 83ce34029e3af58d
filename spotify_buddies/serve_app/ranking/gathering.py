"""Candidates of tastes: the playlists of their neighbours, and those nearest to their factors. Sources of lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import compress
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.serve_app.ranking import kernels
from spotify_buddies.serve_app.ranking.catalogue import refused_of
from spotify_buddies.serve_app.ranking.retrieval import Retrieval
from spotify_buddies.trainer.bundle import Bundle
from spotify_buddies.trainer.bundle.sources import ALL, PAIRING, POPULAR, TASTE, CandidateSource

Array = npt.NDArray[Any]

# A taste gets as many candidates of its neighbours as a user with a pairing, and so many nearest to its factor.
CANDIDATES = 75
NEAREST = 200
# At most so many more, in place of those that a request excludes.
_SPARE = 200
NO_BITS = np.empty(0, np.uint8)
# Which masks of sources hold each source (sources, masks), and their names: enums are slow for every call.
_HELD = np.array([[bool(mask & source) for mask in range(ALL + 1)] for source in CandidateSource], np.int64)
_NAMES = tuple(str(source.name).lower() for source in CandidateSource)
# The same by mask, for so few places that numpy takes longer than a loop.
_NAMES_OF = tuple(tuple(compress(_NAMES, _HELD[:, mask])) for mask in range(ALL + 1))
FEW = 32


def gather(
    bundle: Bundle,
    retrieval: Retrieval | None,
    neighbours: Csr,
    users: Array,
    factors: Array,
    rules: kernels.ListRules,
    share: int,
) -> tuple[Csr, Array]:
    """At most CANDIDATES playlists of each row's neighbours, and beside them the NEAREST to its factor.

    share: at first, at most so many of one neighbour. retrieval None: the neighbours' alone. Returns the candidates,
    those of the neighbours first, and their source bits, uint8 (nnz,). What the rules exclude, and what is refused, may
    be among the nearest; it is left out when the lists are made.
    """
    near = kernels.Ragged(neighbours.indptr, neighbours.indices)
    owned = kernels.Ragged(bundle.owned.indptr, bundle.owned.indices)
    refused = refused_of(bundle)
    gathered = kernels.gather_owned(near, owned, refused, users, rules, CANDIDATES, share)
    nearest = np.empty((len(users), 0), np.int32)
    if retrieval is not None:
        wanted = _wanted_each(users, refused, rules)
        nearest = retrieval(factors, int(wanted.max(initial=NEAREST)))
        # As many for each as alone: whoever else is asked for changes nobody's list.
        nearest[np.arange(nearest.shape[1]) >= wanted[:, None]] = -1
    shape = (len(users), gathered.shape[1] + nearest.shape[1])
    rows, bits, counts = np.empty(shape, np.int32), np.empty(shape, np.uint8), np.empty(len(users), np.int64)
    kernels.join(gathered, PAIRING, nearest, TASTE, rows, bits, counts)
    filled = np.arange(shape[1]) < counts[:, None]
    indptr = np.zeros(neighbours.rows + 1, np.int64)
    np.cumsum(counts, out=indptr[1:])
    return Csr(indptr, rows[filled], bundle.manifest.playlists), bits[filled]


def nearest_wanted(users: Array, refused: kernels.Ragged, rules: kernels.ListRules) -> int:
    """How many playlists nearest to a factor are looked for: some more in place of those that nobody of these gets."""
    return int(_wanted_each(users, refused, rules).max(initial=NEAREST))


def _wanted_each(users: Array, refused: kernels.Ragged, rules: kernels.ListRules) -> Array:
    """The same for each row alone, int64 (rows,)."""
    never = np.zeros(len(users), np.int64)
    if refused.indptr.size:
        known = users >= 0
        never[known] = refused.indptr[users[known] + 1] - refused.indptr[users[known]]
    wanted: Array = NEAREST + np.minimum(_SPARE, rules.excluded.size + np.diff(rules.blocked_indptr) + never)
    return wanted


def share_of(limit: int, max_per_owner: int) -> int:
    """How many candidates one neighbour gives at first, so that there are enough owners for a list."""
    return max(1, CANDIDATES * max_per_owner // max(limit, max_per_owner))


def libraries_of(bundle: Bundle) -> kernels.Libraries:
    """What reasons are found in."""
    users, own = bundle.user_songs, bundle.playlist_songs
    # Empty where there are none: kernels take no None.
    starts, songs = (own.indptr, own.indices) if own else (users.indptr[:0], users.indices[:0])
    return kernels.Libraries(bundle.owner, users.indptr, users.indices, bundle.song_listeners, starts, songs)


def known_reasons_of(bundle: Bundle) -> kernels.KnownReasons:
    """What the bundle says itself of why its candidates suit their users."""
    said = bundle.candidate_reasons
    return kernels.KnownReasons(bundle.candidates.indptr, bundle.candidates.indices, NO_BITS if said is None else said)


def ties_of(bundle: Bundle) -> kernels.Ties:
    """What reasons without a song are found in; empty arrays for what the bundle does not hold."""
    users, own, artist = bundle.user_songs, bundle.playlist_songs, bundle.artist_rows
    followed, beside = bundle.followed, bundle.co_followers
    no_starts, no_rows = users.indptr[:0], users.indices[:0]
    return kernels.Ties(
        no_rows if artist is None else artist,
        *((no_starts, no_rows) if own is None else (own.indptr, own.indices)),
        *((no_starts, no_rows) if beside is None else (beside.indptr, beside.indices)),
        *((no_starts, no_rows) if followed is None else (followed.indptr, followed.indices)),
    )


def scored(bundle: Bundle, users: Array, candidates: Csr) -> Csr:
    """Candidates of user rows, best first with whole scores: the stored ones of the bundle's own, see whole_scores."""
    held = bundle.candidates
    if held.values is None:
        return candidates
    ordered, scores = np.empty(candidates.nnz, np.int32), np.empty(candidates.nnz, np.float32)
    kernels.whole_scores(
        (held.indptr, held.indices, held.values), users, bundle.user_factors, bundle.playlist_factors,
        candidates.indptr, candidates.indices, ordered, scores,
    )  # fmt: skip
    return Csr(candidates.indptr, ordered, candidates.columns, scores)


def mark(candidates: Csr, bits: Array, candidate_rows: Array, list_sources: Array, rows: Array, counts: Array) -> Array:
    """What found each playlist of the lists, uint8 (users, limit). See kernels.mark; bits may be NO_BITS."""
    out = np.empty(rows.shape, np.uint8)
    kernels.mark(
        candidates.indptr, candidates.indices, bits, candidate_rows, list_sources, rows, counts, PAIRING, POPULAR, out
    )
    return out


def count_sources(bits: Array) -> Mapping[str, int]:
    """How many places of lists each source found, by its name in lower case; without those that found none.

    bits: from `mark`. A place that several sources found counts for each of them.
    """
    if bits.size > FEW:
        counts = (_HELD @ np.bincount(bits.ravel(), minlength=ALL + 1)).tolist()
        return {name: count for name, count in zip(_NAMES, counts, strict=True) if count}
    found: dict[str, int] = {}
    for mask, count in Counter(bits.tobytes()).items():
        for name in _NAMES_OF[mask]:
            found[name] = found.get(name, 0) + count
    return found
