"""The models that are compared, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.stages.progress import Progress, silent
from spotify_buddies.trainer.bench.quality.split import Split
from spotify_buddies.trainer.models.blend.parts import Part
from spotify_buddies.trainer.models.items.als import fit_als
from spotify_buddies.trainer.models.items.ease import BALANCED, fit_ease, song_cosines
from spotify_buddies.trainer.models.items.elsa import fit_elsa
from spotify_buddies.trainer.models.items.item_model import Factored, Weighted
from spotify_buddies.trainer.models.items.knn import fit_knn
from spotify_buddies.trainer.models.items.uniform import fit_uniform_bpr
from spotify_buddies.trainer.models.items.walks import fit_walks
from spotify_buddies.trainer.models.model import Model

Array = npt.NDArray[Any]

# In the order of the table. The blend has all of IN_BLEND; EASE as published stands for itself.
FIXED = ("popularity", "ItemKNN", "EASE", "ease", "balanced", "walks", "songs")
SEEDED = ("ELSA", "als", "bpr")
IN_BLEND = ("ease", "balanced", "walks", "als", "bpr", "songs", "popularity")
TITLES = {
    "ease": "EASE with songs",
    "balanced": "EASE with songs, balanced",
    "walks": "RP3beta (walks)",
    "als": "ALS",
    "bpr": "BPR, uniform negatives",
    "songs": "songs alone",
}


def fit_fixed(split: Split, progress: Progress = silent, *, all_of_them: bool = True) -> Mapping[str, Part]:
    """The models without randomness. all_of_them False: only those that the blend has."""
    known = split.known
    fits = {
        "popularity": lambda: Part("popularity", bias=np.log1p(known.column_counts()).astype(np.float32)),
        "ItemKNN": lambda: Part("ItemKNN", items=fit_knn(known)),
        "EASE": lambda: Part("EASE", items=fit_ease(known, regularisation=50, dropout=0)),
        "ease": lambda: Part("ease", items=fit_ease(known, songs=split.songs)),
        "balanced": lambda: Part("balanced", items=fit_ease(known, songs=split.songs, **BALANCED)),
        "walks": lambda: Part("walks", items=fit_walks(known)),
        "songs": lambda: Part("songs", items=_songs(split)),
    }
    wanted = [name for name in FIXED if all_of_them or name in IN_BLEND]
    found = {}
    for done, name in enumerate(wanted, 1):
        found[name] = fits[name]()
        progress("models", done, len(wanted), "models")
    return found


def fit_seeded(
    split: Split, seed: int, progress: Progress = silent, *, epochs: int | None = None
) -> tuple[Mapping[str, Part], int]:
    """ALS and BPR of one seed, and BPR's epochs: as many as `epochs`, or as the held-out rows of the split want."""

    def worth(model: Model) -> float:
        return float(split.ndcg(Factored(model).scores).mean())

    als = fit_als(split.known, seed=seed, progress=progress)
    if epochs is None:
        bpr, epochs = fit_uniform_bpr(split.known, seed=seed, worth=worth, progress=progress)
    else:
        bpr, _ = fit_uniform_bpr(split.known, seed=seed, epochs=epochs, progress=progress)
    return {"als": Part("als", als.model), "bpr": Part("bpr", bpr.model)}, epochs


def fit_low_rank(split: Split, seed: int, progress: Progress = silent) -> Part:
    """ELSA, which stands for EASE where there are too many playlists."""
    return Part("ELSA", fit_elsa(split.known, seed=seed, progress=progress).model)


def scores_of(part: Part, users: Array) -> Array:
    """Scores of all playlists, float32 (rows, P)."""
    if part.bias is not None:
        return np.broadcast_to(part.bias, (users.size, part.bias.size))
    if part.model is not None:
        return Factored(part.model).scores(users)
    if part.items is None:
        raise ValueError(f"part {part.name} is empty")
    return part.items.scores(users)


def _songs(split: Split) -> Weighted:
    cosines = song_cosines(split.songs)
    np.fill_diagonal(cosines, 0)
    return Weighted(split.known, cosines)
