"""The pairing of a data set: nearest users, neighbours and candidates, and the index for tastes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pairing import stage
from pairing.csr import Csr
from pairing.nearest import nearest_users
from pairing.progress import Progress, silent
from pairing.search import build_index
from pairing.select import Selection, reachable, select
from pairing.settings import PairingSettings
from pairing.stage import Stamp

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
    dataset: Path, directory: Path, settings: PairingSettings, *, progress: Progress = silent
) -> PairingSummary:
    """Run the stages nearest, candidates and index under `directory`; finished ones of the same input are kept.

    dataset: the folder of a finished data set, of which 3-matrix (user_songs) and 7-own (owned) are read. StageError
    when one is missing.
    """
    matrix, own = stage.load(dataset, "3-matrix"), stage.load(dataset, "7-own")
    user_songs, owned = Csr.load(matrix.directory, "user_songs"), Csr.load(own.directory, "owned")
    songs = {"3-matrix": matrix.fingerprint}

    def run(
        name: str, inputs: Mapping[str, str], used: tuple[str, ...], build: Callable[[Path], dict[str, Any]]
    ) -> Stamp:
        # Only the settings that change a stage's result are part of its key: a change of another one keeps it.
        return stage.run(directory, name, inputs=inputs, settings=settings.model_dump(include=set(used)), build=build)

    def build_nearest(folder: Path) -> dict[str, Any]:
        found = nearest_users(user_songs, settings.nearest, block_users=settings.block_users, progress=progress)
        found.save(folder, "nearest")
        return _describe_nearest(found)

    def build_candidates(folder: Path) -> dict[str, Any]:
        chosen = _select(user_songs, Csr.load(near.directory, "nearest"), owned, settings, progress)
        chosen.neighbours.save(folder, "neighbours")
        chosen.candidates.save(folder, "candidates")
        return _describe_selection(chosen, owned)

    def build_search(folder: Path) -> dict[str, Any]:
        return build_index(user_songs, folder, settings, progress=progress)

    near = run("nearest", songs, _NEAREST, build_nearest)
    ownership = {**songs, "7-own": own.fingerprint, "nearest": near.fingerprint}
    stages = (
        near,
        run("candidates", ownership, _CANDIDATES, build_candidates),
        run("index", songs, _INDEX, build_search),
    )
    reused = tuple(stamp.name for stamp in stages if stamp.reused)
    return PairingSummary(directory, {stamp.name: stamp.statistics for stamp in stages}, reused)


def _select(user_songs: Csr, nearest: Csr, owned: Csr, settings: PairingSettings, progress: Progress) -> Selection:
    """Select, and once more with longer rows for the users whom the first round left with few candidates."""
    chosen = select(nearest, owned, settings, progress=progress)
    if chosen.few.size == 0 or settings.widened_nearest <= settings.nearest:
        return chosen
    wider = nearest_users(
        user_songs, settings.widened_nearest, block_users=settings.block_users, rows=chosen.few, progress=progress
    )
    return select(_replace_rows(nearest, chosen.few, wider), owned, settings, progress=progress)


def _replace_rows(matrix: Csr, rows: Array, other: Csr) -> Csr:
    """`matrix` with its `rows` (ascending) replaced by the rows of `other`, in order."""
    if matrix.values is None or other.values is None:
        raise ValueError("both need values")
    counts = matrix.counts
    counts[rows] = other.counts
    indptr = np.zeros(counts.size + 1, np.int64)
    np.cumsum(counts, out=indptr[1:])
    new = np.zeros(counts.size, np.bool_)
    new[rows] = True
    from_other = np.repeat(new, counts)
    from_matrix = np.repeat(~new, matrix.counts)
    indices = np.empty(from_other.size, np.int32)
    values = np.empty(from_other.size, np.float32)
    indices[from_other], indices[~from_other] = other.indices, matrix.indices[from_matrix]
    values[from_other], values[~from_other] = other.values, matrix.values[from_matrix]
    return Csr(indptr, indices, matrix.columns, values)


def _describe_nearest(nearest: Csr) -> dict[str, Any]:
    values = np.empty(0, np.float32) if nearest.values is None else nearest.values
    return {
        "users": nearest.rows,
        "users_without": int((nearest.counts == 0).sum()),
        "nearest": _spread(nearest.counts),
        "cosine_mean": round(float(values.mean(dtype=np.float64)), 6) if values.size else None,
    }


def _describe_selection(chosen: Selection, owned: Csr) -> dict[str, Any]:
    times = np.bincount(chosen.neighbours.indices, minlength=owned.rows)
    return {
        "users": chosen.neighbours.rows,
        "neighbours": _spread(chosen.neighbours.counts),
        "users_serving_as_neighbour": int((times > 0).sum()),
        "times_as_neighbour": _spread(times[times > 0]),
        "reachable_playlists": _spread(reachable(chosen.neighbours, owned)),
        "candidates": _spread(chosen.candidates.counts),
        "playlists_offered": int(np.unique(chosen.candidates.indices).size),
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
