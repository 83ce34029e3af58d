"""Kinds of wanted playlists and of people: popularity, size of the library, owned or not."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.trainer.dataset.table import Dataset
from spotify_buddies.trainer.evaluation.served.questions import Questions
from spotify_buddies.trainer.metrics.lists import deciles, rows_of

Array = npt.NDArray[Any]

# Songs of a library, lower edges.
SIZES = (0, 10, 20, 50, 100, 200)


def groups_of(questions: Questions, data: Dataset, likes: Array) -> dict[str, Array]:
    """The label of every wanted playlist by dimension, str (wanted.nnz,): "<order> <name>".

    popularity: the tenth of all playlists by likes in training, 1 the least liked. library: songs of whoever asks.
    owner: whether the playlist has one.
    """
    wanted = np.asarray(questions.wanted.indices)
    tenths = deciles(likes)[wanted]
    sizes = np.searchsorted(SIZES, questions.songs.counts, side="right") - 1
    edges = [*(f"{low}-{high - 1}" for low, high in pairwise(SIZES)), f"{SIZES[-1]} or more"]
    owned = np.asarray(data.owner)[wanted] >= 0
    return {
        "popularity": _labels(tenths, [f"tenth {tenth + 1}" for tenth in range(10)]),
        "library": _labels(sizes[rows_of(questions.wanted)], [f"{edge} songs" for edge in edges]),
        "owner": _labels(owned.astype(np.int64), ["nobody's", "owned"]),
    }


def _labels(numbers: Array, names: list[str]) -> Array:
    """The names with their order before them, so that they sort."""
    return np.array([f"{order:02d} {name}" for order, name in enumerate(names)])[numbers]
