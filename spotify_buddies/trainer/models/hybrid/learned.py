"""Taste learned without likes: a linear map of a wide SVD that brings the two halves of a song set together.

docs/adr/0019-learned-taste.md has the measurements behind every number here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from spotify_buddies.foundation.arrays.seeds import derive, generator
from spotify_buddies.foundation.stages.blocks import over_blocks
from spotify_buddies.foundation.stages.progress import Progress, silent
from spotify_buddies.trainer.models.hybrid.reduced import MOST_SETS, MOST_SONGS, Reduced, reduce
from spotify_buddies.trainer.models.hybrid.songs import Feature
from spotify_buddies.trainer.models.hybrid.split_kernels import Known, split_sums
from spotify_buddies.trainer.models.hybrid.taste import TasteBasis, fit_taste, give_back, unit

Array = npt.NDArray[Any]

LEAST_SONGS = 4
# Fewer sets, or fewer held-out ones, teach and judge nothing: the taste is then the SVD, by its singular values.
LEAST_SETS, LEAST_JUDGES = 256, 16
_JUDGED_AMONG = 4_000
# Of a few sets an epoch ends sooner: the map would know all of them by heart before it is judged again.
_MOST_PASSES = 12
_CHUNK = 8


@dataclass(frozen=True)
class Learning:
    """How a taste is learned.

    wide: dimensions of the SVD that the map reads. removed: of a set's own part in the SVD, the multiple that its
    halves lose. batch: sets a step. epoch_sets: sets an epoch, of a small data set several passes, of a large one a
    part of a pass. patience: epochs after the best one. sets, songs: at most so many sets teach, and so many songs have
    a row in the SVD.
    """

    wide: int = 512
    removed: float = 2.0
    rate: float = 1e-3
    temperature: float = 0.07
    batch: int = 1_024
    epochs: int = 16
    patience: int = 3
    epoch_sets: int = 32_768
    sets: int = MOST_SETS
    songs: int = MOST_SONGS


@dataclass(frozen=True)
class LearnedTaste:
    """taste: what the map makes of songs (S, d) and artists (A, d). leading: the first dimensions of the SVD.

    mrr: of held-out halves among others, before the first epoch and after each; empty where there was too little to
    learn from.
    """

    taste: TasteBasis
    leading: TasteBasis
    mrr: tuple[float, ...]


def learn_taste(
    rows: Feature,
    dimension: int,
    leading: int,
    seed: int,
    progress: Progress = silent,
    how: Learning | None = None,
) -> LearnedTaste:
    """Learn `dimension` dimensions from the song sets of all parts; also the first `leading` of their SVD.

    Songs beyond the most frequent are placed by the sets that hold them. What is beyond the rank of the rows is zeros.
    The bytes depend on the seed alone, on a CPU.
    """
    how = how or Learning()
    reduced = reduce(rows, seed, sets=how.sets, songs=how.songs)
    width = max(how.wide, dimension, leading)
    basis = fit_taste(reduced.rows, width, seed, progress)
    vectors = reduced.rows.vectors(basis.songs, basis.artists)
    with threadpool_limits(1, "blas"):
        places = reduced.rows.rows(0, vectors)
        power = np.einsum("ij,ij->j", places, places, dtype=np.float64)
        table, mrr = _learn(reduced, vectors, places, power, (dimension, seed), how, progress)
        turn = np.concatenate([table, np.eye(leading, width, dtype=np.float32)])
        songs_, artists = _placed(rows, reduced, basis, power, np.ascontiguousarray(turn.T))
    taste = TasteBasis(songs_, artists).first(dimension)
    return LearnedTaste(taste, TasteBasis(songs_[:, dimension:].copy(), artists[:, dimension:].copy()), mrr)


def _learn(
    reduced: Reduced,
    vectors: Array,
    places: Array,
    power: Array,
    asked_for: tuple[int, int],
    how: Learning,
    progress: Progress,
) -> tuple[Array, tuple[float, ...]]:
    """The map float32 (dimension, width) and its judgements. asked_for: dimension and seed."""
    dimension, seed = asked_for
    table = np.zeros((dimension, power.size), np.float32)
    # The SVD by its singular values ranks better than alone, and is where the map starts.
    np.fill_diagonal(table, np.sqrt(power / max(power.max(initial=0.0), 1e-12)))
    teaching = reduced.whole[reduced.rows.sets.parts[0].counts[reduced.whole] >= LEAST_SONGS]
    if dimension == 0 or teaching.size < LEAST_SETS or len(reduced.halves) < LEAST_JUDGES:
        return table, ()
    from spotify_buddies.trainer.models.hybrid.contrast import contrast

    known = _known(reduced, vectors, power, how.removed)
    among = places[_among(reduced, seed)]
    asked, other = places[reduced.halves[:, 0]], places[reduced.halves[:, 1]]

    def judge(learned: Array) -> float:
        scores = unit(asked @ learned.T) @ unit(np.concatenate([other, among]) @ learned.T).T
        own = np.diagonal(scores)[:, None]
        return float(np.mean(1.0 / (1 + (scores > own).sum(axis=1))))

    def epoch(number: int) -> Iterator[tuple[Array, Array]]:
        progress("learned taste", number, how.epochs, "epochs")
        for turn in range(min(_MOST_PASSES, max(1, how.epoch_sets // teaching.size))):
            yield from _batches(teaching, known, derive(seed, f"hybrid/splits/{number}/{turn}"), how)

    return contrast(
        table,
        epoch,
        judge,
        rate=how.rate,
        temperature=how.temperature,
        epochs=how.epochs,
        patience=how.patience,
    )


def _known(reduced: Reduced, vectors: Array, power: Array, multiple: float) -> Known:
    rows, part = reduced.rows, reduced.rows.sets.parts[0]
    removed = np.divide(multiple, power, out=np.zeros(power.size), where=power > 1e-9).astype(np.float32)
    squares = np.square(rows.song_weights), np.square(rows.artist_weights)
    return Known(part.indptr, part.indices, rows.scales[0], vectors, *squares, rows.sets.artist, removed)


def _among(reduced: Reduced, seed: int) -> Array:
    """Sets that held-out halves are told from."""
    rng = generator(seed, "hybrid/judged among")
    return rng.choice(reduced.whole, min(_JUDGED_AMONG, reduced.whole.size), replace=False)


def _batches(teaching: Array, known: Known, seed: int, how: Learning) -> Iterator[tuple[Array, Array]]:
    """The halves of an epoch's sets in a random order, a batch at a time; what is left over waits for another epoch."""
    order = np.random.default_rng(seed).permutation(teaching)[: how.epoch_sets]
    size = min(how.batch, order.size)
    order = order[: order.size // size * size]
    width = known.vectors.shape[1]
    for start in range(0, order.size, _CHUNK * size):
        picked = order[start : start + _CHUNK * size]
        a, b = np.empty((picked.size, width), np.float32), np.empty((picked.size, width), np.float32)

        def fill(first: int, last: int, picked: Array = picked, a: Array = a, b: Array = b) -> None:
            split_sums(first, last, picked, known, np.uint64(seed), a, b)

        for _ in over_blocks(picked.size, 512, "", silent, fill):
            pass
        for first in range(0, picked.size, size):
            yield a[first : first + size], b[first : first + size]


def _placed(rows: Feature, reduced: Reduced, basis: TasteBasis, power: Array, turn: Array) -> tuple[Array, Array]:
    """Songs (S, d) and artists (A, d) after the columns of `turn` (width, d), those without a place placed by sets."""
    own = basis.songs @ turn
    artists: Array = basis.artists @ turn
    songs: Array = own[reduced.place]
    rest = (reduced.place >= reduced.own) & (rows.song_weights > 0)
    songs[reduced.place >= reduced.own] = 0
    if rest.any():
        # A right singular vector is X.T (X v) / sigma^2, which songs that the basis does not hold have as well.
        inverse = np.divide(1.0, power, out=np.zeros(power.size), where=power > 1e-9) / reduced.share
        turned = (turn * inverse[:, None]).astype(np.float32)
        vectors = rows.vectors(_spread(basis.songs @ turned, reduced), basis.artists @ turned)
        found = np.zeros_like(songs)
        for part in range(len(rows.sets.parts)):
            give_back(rows, part, rows.rows(part, vectors), found)
        songs[rest] = rows.song_weights[rest, None] * found[rest]
    return songs, artists


def _spread(own: Array, reduced: Reduced) -> Array:
    """Rows of the reduced songs for all songs, zeros for those without a row of their own."""
    spread: Array = own[reduced.place]
    spread[reduced.place >= reduced.own] = 0
    return spread
