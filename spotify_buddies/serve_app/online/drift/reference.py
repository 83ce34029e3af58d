"""What a version was trained on, in the bins of the signals, from its bundle."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.serve_app.online.drift.signals import Counted, Signal
from spotify_buddies.trainer.bundle import Bundle

Array = npt.NDArray[Any]

# Of sizes and of scores: deciles.
_BINS = 10
# Places of a list that stand for what the version shows: the default limit of a request.
_PLACES = 5
_UNKNOWN = "unknown"


def count_libraries(bundle: Bundle, users: Sequence[Sequence[str]]) -> Counted:
    """Library sizes of the users of each day that the bundle knows, beside those of all its users, in deciles.

    users: the distinct ones of each day. Users without a row are left out: the share of cold users tells of them.
    """
    sizes = np.diff(np.asarray(bundle.user_songs.indptr))
    edges = deciles(sizes)
    reference = np.bincount(np.searchsorted(edges, sizes, side="right"), minlength=edges.size + 1)
    place = np.searchsorted(edges, sizes, side="right")
    known = sorted(set().union(*users)) if users else []
    row_of = dict(zip(known, bundle.user_ids.find(known).tolist(), strict=True))
    days = np.zeros((len(users), edges.size + 1), np.int64)
    for day, of_day in enumerate(users):
        rows = np.array([row_of[user_id] for user_id in of_day], np.int64)
        days[day] = np.bincount(place[rows[rows >= 0]], minlength=edges.size + 1)
    return Counted(Signal.LIBRARY_SIZES, "known users", ranges(edges, "songs"), days, reference)


def count_genres(bundle: Bundle, days: int, shown: Sequence[tuple[int, str, int]]) -> Counted:
    """Genres of the playlists shown, beside those of all best candidates. shown: (day, playlist_id, places)."""
    signal, entries = Signal.GENRES_SHOWN, "playlists"
    if bundle.playlist_genre is None:
        return Counted(signal, entries, (), np.zeros((days, 0)), unmeasured="the bundle has no genres of playlists")
    genres = np.asarray(bundle.playlist_genre, np.int64)
    count = max(int(genres.max(initial=-1)), -1) + 1
    genres = np.where(genres < 0, count, genres)
    ids = sorted({playlist_id for _, playlist_id, _ in shown})
    row_of = dict(zip(ids, bundle.playlist_ids.find(ids).tolist(), strict=True))
    found = np.zeros((days, count + 1), np.int64)
    for day, playlist_id, places in shown:
        if (row := row_of[playlist_id]) >= 0:
            found[day, genres[row]] += places
    names = (*(f"genre {number}" for number in range(count)), _UNKNOWN)
    reference = np.bincount(genres[bundle.candidates.indices[best_places(bundle)]], minlength=count + 1)
    return Counted(signal, entries, names, found, *_reference(reference))


def score_edges(bundle: Bundle) -> tuple[Array, Array]:
    """Deciles of the scores of every user's best candidates, and how many of these lie between them, (edges + 1,).

    No edges where the bundle has no scores.
    """
    values = bundle.candidates.values
    scores = np.empty(0) if values is None else np.asarray(values[best_places(bundle)], np.float32)
    edges = deciles(scores)
    return edges, np.bincount(np.searchsorted(edges, scores, side="right"), minlength=edges.size + 1)


def best_places(bundle: Bundle) -> Array:
    """Where the first candidates of every user lie among all, int64."""
    starts, ends = (np.asarray(bundle.candidates.indptr[some]) for some in (slice(None, -1), slice(1, None)))
    places = starts[:, None] + np.arange(_PLACES)
    kept: Array = places[places < ends[:, None]]
    return kept


def deciles(values: Array) -> Array:
    """The distinct inner edges of ten bins of equal numbers; none for no values."""
    if not values.size:
        return np.empty(0)
    return np.unique(np.quantile(values, np.linspace(0, 1, _BINS + 1)[1:-1], method="higher"))


def ranges(edges: Array, unit: str) -> tuple[str, ...]:
    """Names of the bins between edges: below 7 songs, 7 to 12 songs, 12 and more songs (upper ends are not in)."""
    texts = [f"{edge:,.4g}" for edge in edges]
    if not texts:
        return (f"any {unit}",)
    between = [f"{low} to {high} {unit}" for low, high in pairwise(texts)]
    return (f"below {texts[0]} {unit}", *between, f"{texts[-1]} and more {unit}")


def _reference(counts: Array) -> tuple[Array | None, str]:
    return (counts, "") if counts.sum() else (None, "the bundle has no candidates")
