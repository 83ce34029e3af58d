"""Inputs of the drawing of negatives, loaded once per stage."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages.blocks import read_only
from spotify_buddies.trainer.dataset.kernels import Tastes
from spotify_buddies.trainer.dataset.negatives.kernels import Labels
from spotify_buddies.trainer.dataset.scoring import load_tastes
from spotify_buddies.trainer.dataset.table import LIKED, MATRIX, OWN, SCORE, SONGS, SPLIT

Array = npt.NDArray[Any]


def load_pools(parts: Mapping[str, Path]) -> tuple[Tastes, Labels]:
    """Tastes, with the playlists alone that may be negatives, and labels.

    parts: the directories of the stages 2-songs to 7-own, under these names. The arrays are read-only but for the
    split.
    """
    liked, owned = Csr.load(parts[LIKED], "liked"), Csr.load(parts[OWN], "owned")
    beta = np.load(parts[SCORE] / "beta.npy")
    labels = Labels(
        liked_ptr=read_only(liked.indptr),
        liked=read_only(liked.indices),
        split=np.load(parts[SPLIT] / "split.npy"),
        owner=read_only(np.load(parts[OWN] / "owner.npy")),
        owned_ptr=read_only(owned.indptr),
        owned=read_only(owned.indices),
        offered=read_only(np.load(parts[SPLIT] / "playlist_kept.npy")),
    )
    return load_tastes(parts[MATRIX], parts[SONGS], beta, labels.offered), labels
