"""The models that are compared, by name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages.progress import Progress, silent
from spotify_buddies.trainer.bench.quality.split import Split
from spotify_buddies.trainer.models.blend.parts import Part
from spotify_buddies.trainer.models.items.als import fit_als
from spotify_buddies.trainer.models.items.ease import BALANCED, fit_ease, song_cosines
from spotify_buddies.trainer.models.items.elsa import fit_elsa
from spotify_buddies.trainer.models.items.item_model import Factored, Weighted
from spotify_buddies.trainer.models.items.knn import fit_knn
from spotify_buddies.trainer.models.items.similar import with_songs
from spotify_buddies.trainer.models.items.uniform import fit_uniform_bpr
from spotify_buddies.trainer.models.items.walks import fit_walks
from spotify_buddies.trainer.models.model import Model

Array = npt.NDArray[Any]

# In the order of the table. The blend has all of IN_BLEND; EASE as published stands for itself.
FIXED = ("popularity", "ItemKNN", "EASE", "ease", "balanced", "walks", "songs")
SEEDED = ("ELSA", "als", "als_songs", "bpr", "bpr_songs")
IN_BLEND = ("ease", "balanced", "walks", "als", "als_songs", "bpr", "bpr_songs", "songs", "popularity")
DIMENSION_OF_BPR, EPOCHS_WITH_SONGS = 256, 100
TITLES = {
    "ease": "EASE with songs",
    "balanced": "EASE with songs, balanced",
    "walks": "RP3beta (walks)",
    "als": "ALS",
    "als_songs": "ALS with songs",
    "bpr": "BPR, uniform negatives",
    "bpr_songs": "BPR with songs",
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
    """ALS and BPR of one seed, without and with songs, and BPR's epochs: `epochs`, or as many as held-out rows want."""

    def worth(model: Model) -> float:
        return float(split.ndcg(Factored(model).scores).mean())

    def bpr_of(rows: Csr) -> Factored:
        return fit_uniform_bpr(rows, seed=seed, epochs=EPOCHS_WITH_SONGS, progress=progress)[0]

    def als_of(rows: Csr) -> Factored:
        return fit_als(rows, seed=seed, progress=progress)

    wide = partial(fit_uniform_bpr, split.known, dimension=DIMENSION_OF_BPR, seed=seed, progress=progress)
    bpr, epochs = wide(worth=worth) if epochs is None else (wide(epochs=epochs)[0], epochs)
    found = {
        "als": als_of(split.known),
        "als_songs": with_songs(als_of, split.known, split.songs),
        "bpr": bpr,
        "bpr_songs": with_songs(bpr_of, split.known, split.songs),
    }
    return {name: Part(name, fitted.model) for name, fitted in found.items()}, epochs


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
