"""The pairing of a data set: nearest users, neighbours and candidates, and the index for tastes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages import stage
from spotify_buddies.foundation.stages.blocks import THREADS, Blocks, Shared
from spotify_buddies.foundation.stages.progress import Progress, silent
from spotify_buddies.foundation.stages.stage import Stamp
from spotify_buddies.pairing.neighbours.nearest import SongLists, find_nearest, nearest_users, share_songs
from spotify_buddies.pairing.neighbours.search import build_index
from spotify_buddies.pairing.result import (
    CANDIDATES,
    INDEX,
    MATRIX,
    NEAREST,
    NOT_SAMPLED,
    OWN,
    SPLIT,
    USER_KIND,
    inputs_of,
    load_dataset,
)
from spotify_buddies.pairing.selection.select import Selection, reachable, select
from spotify_buddies.pairing.settings import PairingSettings

Array = npt.NDArray[Any]

_NEAREST = ("nearest",)
_CANDIDATES = (
    *("seed", "nearest", "neighbours", "min_playlists", "candidates", "few_candidates"),
    "widened_nearest",
)
_INDEX = ("seed", "dimension", "index_songs", "search_breadth", "exact_work")


@dataclass(frozen=True)
class PairingSummary:
    """Statistics by stage name (nearest, candidates, index), and the stages that were found finished."""

    directory: Path
    statistics: Mapping[str, Mapping[str, Any]]
    reused: tuple[str, ...]


def build_pairing(
    dataset: Path,
    directory: Path,
    settings: PairingSettings,
    *,
    blocks: Blocks = THREADS,
    progress: Progress = silent,
) -> PairingSummary:
    """Run the stages nearest, candidates and index under `directory`; finished ones of the same input are kept.

    dataset: the folder of a finished data set, of which 3-matrix (user_songs), 6-split (user_kind) and 7-own (owned)
    are read. Users who are not sampled have empty rows and are nobody's neighbour. blocks: who searches for the nearest
    users; the files are the same whoever does. StageError when a part is missing or they are of two builds.
    """
    stamps = load_dataset(dataset)
    inputs = inputs_of(stamps)
    everybody = Csr.load(stamps[MATRIX].directory, "user_songs")
    owned = Csr.load(stamps[OWN].directory, "owned")
    sampled = np.load(stamps[SPLIT].directory / USER_KIND) != NOT_SAMPLED
    # Rows stay where they are: every later file is by the same user row.
    user_songs = everybody.only(sampled)

    def run(name: str, used: tuple[str, ...], build: Callable[[Path], dict[str, Any]], **beside: str) -> Stamp:
        # Only the settings that change a stage's result are part of its key: a change of another one keeps it.
        chosen = settings.model_dump(include=set(used))
        return stage.run(directory, name, inputs={**inputs[name], **beside}, settings=chosen, build=build)

    def build_nearest(folder: Path) -> dict[str, Any]:
        nearest = nearest_users(
            user_songs, settings.nearest, block_users=settings.block_users, blocks=blocks, progress=progress
        )
        nearest.save(folder, "nearest")
        return _describe_nearest(nearest, sampled)

    def build_candidates(folder: Path) -> dict[str, Any]:
        nearest = Csr.load(near.directory, "nearest")
        with _widening(user_songs, settings, blocks) as wider:
            widen = wider if settings.widened_nearest > settings.nearest else None
            chosen = select(nearest, owned, settings, sampled=sampled, widen=widen, progress=progress)
        chosen.neighbours.save(folder, "neighbours")
        chosen.candidates.save(folder, "candidates")
        return _describe_selection(chosen, owned, sampled)

    def build_search(folder: Path) -> dict[str, Any]:
        return build_index(everybody, folder, settings, sampled=sampled, progress=progress)

    near = run(NEAREST, _NEAREST, build_nearest)
    stages = (
        near,
        run(CANDIDATES, _CANDIDATES, build_candidates, nearest=near.fingerprint),
        run(INDEX, _INDEX, build_search),
    )
    reused = tuple(stamp.name for stamp in stages if stamp.reused)
    return PairingSummary(directory, {stamp.name: stamp.statistics for stamp in stages}, reused)


@contextmanager
def _widening(user_songs: Csr, settings: PairingSettings, blocks: Blocks) -> Iterator[Callable[[Array], Csr]]:
    """Finds settings.widened_nearest users for a few at a time; the song lists are laid out once, when needed."""
    with ExitStack() as stack:
        lists: list[Shared[SongLists]] = []

        def widen(rows: Array) -> Csr:
            if not lists:
                lists.append(stack.enter_context(share_songs(user_songs, blocks)))
            wide, block = settings.widened_nearest, settings.block_users
            return find_nearest(lists[0], user_songs.rows, wide, block_users=block, rows=rows)

        yield widen


def _describe_nearest(nearest: Csr, sampled: Array) -> dict[str, Any]:
    values = np.empty(0, np.float32) if nearest.values is None else nearest.values
    counts = nearest.counts[sampled]
    return {
        "users": int(counts.size),
        "users_without": int((counts == 0).sum()),
        "nearest": _spread(counts),
        "cosine_mean": round(float(values.mean(dtype=np.float64)), 6) if values.size else None,
    }


def _describe_selection(chosen: Selection, owned: Csr, sampled: Array) -> dict[str, Any]:
    times = chosen.neighbours.column_counts()
    return {
        "users": int(sampled.sum()),
        "neighbours": _spread(chosen.neighbours.counts[sampled]),
        "users_serving_as_neighbour": int((times > 0).sum()),
        "times_as_neighbour": _spread(times[times > 0]),
        "reachable_playlists": _spread(reachable(chosen.neighbours, owned)[sampled]),
        "candidates": _spread(chosen.candidates.counts[sampled]),
        "playlists_offered": int((chosen.candidates.column_counts() > 0).sum()),
        "users_with_few_candidates": int(chosen.few.size),
        "users_widened": int(chosen.widened.size),
    }


def _spread(values: Array) -> dict[str, float | None]:
    """Mean, quartiles, 99th percentile and maximum; nulls of nothing."""
    names = ("p25", "median", "p75", "p99", "max")
    if values.size == 0:
        return dict.fromkeys(("mean", *names))
    points = np.percentile(values, (25, 50, 75, 99, 100))
    numbers = (float(values.mean()), *points.tolist())
    return {name: round(number, 3) for name, number in zip(("mean", *names), numbers, strict=True)}
