"""Part 8: triplets (user, positive, negative), written shuffled where they are not too many, else left to training.

For each training positive, whether the user owns it or not, `negatives` negatives: round(hard_share * negatives) from
the hard pool, the top ceil(hard_pool * n) by score of the user's n playlists that are scored, kept, not liked in any
part of the split and not owned; the others from the easy pool, the rest of these. Within a user a pool gives each
playlist once as long as it holds enough of them, and else with repeats. Where one pool is empty all come from the
other; where both are, the positive gets none and is counted. Of real follows negatives are uniform over all kept
playlists, and the hard pool is what the user dislikes, see trainer.dataset.negatives.uniform.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.seeds import derive, generator
from spotify_buddies.foundation.arrays.streams import hash_rows
from spotify_buddies.foundation.stages.blocks import THREADS, Blocks, over_blocks, processors, read_only
from spotify_buddies.foundation.stages.progress import Progress
from spotify_buddies.trainer.dataset.arrays import Growing
from spotify_buddies.trainer.dataset.kernels import Tastes
from spotify_buddies.trainer.dataset.labels.follows import real_labels
from spotify_buddies.trainer.dataset.negatives.kernels import Labels, negatives_of_block
from spotify_buddies.trainer.dataset.negatives.pools import load_pools
from spotify_buddies.trainer.dataset.negatives.samples import Drawn, write_pools
from spotify_buddies.trainer.dataset.negatives.uniform.drawing import (
    draw_follows,
    kept_of_pools,
    uniform_inputs,
)
from spotify_buddies.trainer.dataset.scoring import space_for
from spotify_buddies.trainer.dataset.table import IN_TRAIN, MATRIX, SPLIT, WARM
from spotify_buddies.trainer.settings import TRIPLETS_IN_A_FILE, DataSettings

Array = npt.NDArray[Any]

# 48 MB a pile; its permutation and shuffled copy take 80 MB more.
PILE_ROWS = 4_000_000
# Piles in memory at a time, of some 130 MB while they are shuffled, however many cores there are.
PILES_AT_ONCE = 4


Inputs = TypeVar("Inputs")
Inputs_contra = TypeVar("Inputs_contra", contravariant=True)


class Drawing(Protocol[Inputs_contra]):
    """What is done for a block of users, see `negatives_of_block`. most 0: no samples; negatives 0: no triplets."""

    def __call__(self, inputs: Inputs_contra, first: int, last: int, *, most: int, negatives: int) -> Drawn:
        """Draw for users first..last."""


@dataclass(frozen=True)
class Work(Generic[Inputs]):
    """What is drawn of. most: playlists of each pool that are kept."""

    inputs: Inputs
    draw: Drawing[Inputs]
    most: int


def draw_block(
    inputs: tuple[Tastes, Labels],
    first: int,
    last: int,
    *,
    most: int,
    negatives: int,
    hard: int,
    share: float,
    sampling: np.uint64,
    drawing: np.uint64,
) -> Drawn:
    """Samples and triplets of users first..last, as `negatives_of_block` says."""
    tastes, labels = inputs
    space = space_for(labels.owner.size)
    drawn: Drawn = negatives_of_block(
        tastes, labels, first, last, share, most, sampling, negatives, hard, drawing, space
    )
    return drawn


def write_triplets(
    directory: Path, parts: Mapping[str, Path], settings: DataSettings, progress: Progress, blocks: Blocks = THREADS
) -> dict[str, Any]:
    """Write what triplets are drawn from (see samples), and triplets.npy and triplets-toy.npy, int32 (N, 3), shuffled.

    The toy set is that of toy_users of the users. The two files are left out where the settings want them drawn.

    parts: the directories of the stages 2-songs to 7-own under these names.
    """
    tastes, labels = load_pools(parts)
    labels = labels._replace(split=read_only(labels.split))
    toy = toy_users(np.load(parts[SPLIT] / "user_kind.npy"), settings)
    sampling = np.uint64(derive(settings.seed, "pools"))
    drawing = np.uint64(derive(settings.seed, "triplets"))
    hard = int(settings.negatives * settings.hard_share + 0.5)
    if (follows := real_labels(parts[MATRIX])) is not None:
        most = kept_of_pools(toy.size, settings)
        of_follows = partial(draw_follows, hard=hard, sampling=sampling, drawing=drawing)
        uniform = Work(uniform_inputs(labels, follows), of_follows, most)
        return _write(directory, uniform, labels, toy, settings, progress, blocks)
    draw = partial(draw_block, hard=hard, share=settings.hard_pool, sampling=sampling, drawing=drawing)
    scored = Work((tastes, labels), draw, settings.pool_sample)
    return _write(directory, scored, labels, toy, settings, progress, blocks)


def _write(
    directory: Path,
    work: Work[Inputs],
    labels: Labels,
    toy: Array,
    settings: DataSettings,
    progress: Progress,
    blocks: Blocks,
) -> dict[str, Any]:
    users, playlists = labels.liked_ptr.size - 1, labels.owner.size
    # The most there can be: the number of piles must be known before the first row, and not depend on blocks.
    most_rows = settings.negatives * int((labels.split == IN_TRAIN).sum())
    with blocks.share(work.inputs) as shared, ExitStack() as stack:

        def drawn(what: str, most: int, negatives: int) -> Iterator[Drawn]:
            draw = partial(work.draw, most=most, negatives=negatives)
            return shared.over(draw, users, settings.block_users, what, progress)

        # Where it is sure that they are written, triplets are drawn in the pass that finds the pools.
        if in_a_file(most_rows, settings):
            piles = stack.enter_context(Piles(directory, most_rows, settings.seed))
            both = drawn("triplets", work.most, settings.negatives)
            statistics = write_pools(directory, both, playlists, toy, settings, piles.add)
        else:
            statistics = write_pools(directory, drawn("pools", work.most, 0), playlists, toy, settings, lambda _: None)
            if not in_a_file(statistics["triplets"], settings):
                return statistics | {"in_a_file": False}
            piles = stack.enter_context(Piles(directory, most_rows, settings.seed))
            for *_, rows in drawn("triplets", 0, settings.negatives):
                piles.add(rows)
    piles.shuffle(toy, progress)
    return statistics | {"in_a_file": True}


def in_a_file(triplets: int, settings: DataSettings) -> bool:
    """Whether that number of triplets is written out."""
    return settings.triplets == "file" or (settings.triplets == "auto" and triplets <= TRIPLETS_IN_A_FILE)


class Piles:
    """A shuffle of more rows than fit into memory: deal the rows to piles by chance, then shuffle pile by pile.

    Rows are dealt in the order they come in, so that the result depends on the seed and on the rows alone.
    """

    def __init__(self, directory: Path, most_rows: int, seed: int) -> None:
        self._directory = directory
        self._count = max(1, -(-most_rows // PILE_ROWS))
        self._seed = seed
        self._deal = generator(seed, "triplets/deal")
        self._open = ExitStack()
        self.rows = self.toy_rows = 0

    def __enter__(self) -> Piles:
        self._files = [self._open.enter_context(path.open("wb")) for path in self._paths()]
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def add(self, rows: Array) -> None:
        """Deal rows (n, 3)."""
        pile = self._deal.integers(0, self._count, len(rows), dtype=np.int64)
        # Stable: rows of a pile keep the order in which they came, whatever the sort of the platform. Numbers of two
        # bytes are sorted by their digits, in a fraction of the time.
        order = np.argsort(pile.astype(np.uint16), kind="stable")
        ends = np.cumsum(np.bincount(pile, minlength=self._count))
        for file, part in zip(self._files, np.split(rows[order], ends[:-1]), strict=True):
            part.tofile(file)

    def shuffle(self, toy: Array, progress: Progress) -> None:
        """Write triplets.npy, and triplets-toy.npy for the users that toy bool (U) marks; remove the piles."""
        with (
            Growing(self._directory / "triplets.npy", np.int32, (3,)) as whole,
            Growing(self._directory / "triplets-toy.npy", np.int32, (3,)) as small,
        ):
            shuffled = over_blocks(
                self._count, 1, "shuffle", progress, lambda number, _: self._pile(number),
                threads=min(processors(), PILES_AT_ONCE), unit="piles",
            )  # fmt: skip
            for rows in shuffled:
                whole.append(rows)
                # From the shuffled rows: the toy set is a part of the same order, without a shuffle of its own.
                small.append(rows[toy[rows[:, 0]]])
            self.rows, self.toy_rows = whole.rows, small.rows

    def _pile(self, number: int) -> Array:
        """The rows of a pile, shuffled; its file is removed."""
        path = self._paths()[number]
        rows = np.fromfile(path, np.int32).reshape(-1, 3)
        path.unlink()
        return rows[generator(self._seed, f"triplets/shuffle/{number}").permutation(len(rows))]

    def _paths(self) -> list[Path]:
        return [self._directory / f"pile-{number}.bin" for number in range(self._count)]


def toy_users(kind: Array, settings: DataSettings) -> Array:
    """The users of the toy set, bool (U): the ceil(toy_users * warm) warm users with the lowest hash."""
    warm = np.flatnonzero(kind == WARM)
    # By hash of the row: the same users at every run, and a larger share contains a smaller one.
    hashes = hash_rows(np.uint64(derive(settings.seed, "toy")), kind.size)[warm]
    # 0.07 * 100 is 7.000000000000001 in doubles, and must not give an eighth user.
    chosen = warm[np.argsort(hashes, kind="stable")[: int(np.ceil(settings.toy_users * warm.size - 1e-9))]]
    marked = np.zeros(kind.size, bool)
    marked[chosen] = True
    return marked
