"""Peers of a model: others of the same likes and songs, trained for comparison and kept for the next one.

A new peer is a method of _Job and a line in train_peers; it serves nobody, so it needs no backend.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages import stage
from spotify_buddies.foundation.stages.progress import Progress, silent
from spotify_buddies.trainer.dataset.table import Dataset, train_likes
from spotify_buddies.trainer.models.fit import fill_in, fit, song_sets
from spotify_buddies.trainer.models.hybrid.songs import feature
from spotify_buddies.trainer.models.hybrid.taste import fit_taste, unit
from spotify_buddies.trainer.models.model import Model
from spotify_buddies.trainer.models.train import training_key
from spotify_buddies.trainer.settings import TrainSettings

Array = npt.NDArray[Any]

# As their authors set them; implicit's BPR ends at its best on the real sample after about a hundred iterations.
_BPR_ITERATIONS, _ALS_ITERATIONS = 100, 15
_ARRAYS = ("user_factors", "playlist_factors")


@dataclass(frozen=True)
class Peers:
    """Models by name, and the names of those left out, each with advice."""

    models: Mapping[str, Model]
    left_out: Mapping[str, str]


def train_peers(
    data: Dataset,
    settings: TrainSettings,
    work: Path,
    *,
    others: tuple[Csr, ...] = (),
    progress: Progress = silent,
) -> Peers:
    """Train the models that one of this data set is compared with, or take them from `work`, where they are kept.

    bpr: plain BPR of these settings. recipe: the published one (torch, SparseAdam, 0.005, batches of 16,384), its best
    epoch. implicit-bpr, implicit-als: the `implicit` library on the training likes, left out where it is not installed.
    taste: the cosine of tf-idf weighted songs after a truncated SVD (songs alone, no artists), which sees no likes.
    others: more song sets over the data set's songs, for taste. All have settings.dimension dimensions, implicit's BPR
    one more for its bias. Steps and decay of hybrid settings are not applied to the others. Users and
    playlists without likes in training are filled in as by `fit`.
    """
    job = _Job(data, settings, work, others, progress)
    wanted: dict[str, tuple[Callable[[], Model], dict[str, Any]]] = {
        "bpr": (job.plain, {"training": job.key(job.plain_settings)}),
        "recipe": (job.recipe, {"training": job.key(job.published_settings)}),
        "taste": (job.taste, {"others": [_digest(part) for part in others]}),
    }
    missing = set()
    if find_spec("implicit"):
        release = version("implicit")
        wanted["implicit-bpr"] = job.implicit_bpr, {"release": release, "iterations": _BPR_ITERATIONS}
        wanted["implicit-als"] = job.implicit_als, {"release": release, "iterations": _ALS_ITERATIONS}
    else:
        missing = {"implicit-bpr", "implicit-als"}
    models = {}
    for done, (name, (make, made_with)) in enumerate(wanted.items(), 1):
        models[name] = job.kept(name, make, made_with)
        progress("peers", done, len(wanted), "models")
    return Peers(models, dict.fromkeys(sorted(missing), "install 'spotify-buddies[bench]'"))


@dataclass(frozen=True)
class _Job:
    data: Dataset
    settings: TrainSettings
    work: Path
    others: tuple[Csr, ...]
    progress: Progress

    def kept(self, name: str, make: Callable[[], Model], made_with: Mapping[str, Any]) -> Model:
        """The model, from its folder where it was made from the same data and in the same way already."""

        def build(folder: Path) -> dict[str, Any]:
            model = make()
            for array in _ARRAYS:
                np.save(folder / f"{array}.npy", getattr(model, array))
            return {}

        inputs = {"dataset": self.data.fingerprint}
        chosen = {"dimension": self.settings.dimension, "seed": self.settings.seed, **made_with}
        folder = stage.run(self.work, f"peer-{name}", inputs=inputs, settings=chosen, build=build).directory
        return Model(*(np.load(folder / f"{array}.npy", mmap_mode="r") for array in _ARRAYS))

    @property
    def plain_settings(self) -> TrainSettings:
        defaults = ("learning_rate", "regularisation", "centring") if self.settings.model == "hybrid" else ()
        return self.settings.model_copy(update={**dict.fromkeys(defaults), "model": "bpr"})

    @property
    def published_settings(self) -> TrainSettings:
        published = {"learning_rate": 0.005, "regularisation": 0.0, "centring": 0.0, "batch": 16_384, "accumulate": 1}
        return self.settings.model_copy(update={"model": "bpr", "backend": "torch", **published})

    def plain(self) -> Model:
        return self._fit("bpr", self.plain_settings)

    def recipe(self) -> Model:
        return self._fit("recipe", self.published_settings)

    def key(self, settings: TrainSettings) -> str:
        return training_key(self.data.fingerprint, settings)

    def _fit(self, name: str, settings: TrainSettings) -> Model:
        key = self.key(settings)
        directory = self.work / "checkpoints" / key[:8]
        model = fit(self.data, settings, directory, key=key, progress=self.progress, what=name)
        shutil.rmtree(directory)  # the model is kept
        return model

    def implicit_bpr(self) -> Model:
        from implicit.cpu.bpr import BayesianPersonalizedRanking

        settings = {"iterations": _BPR_ITERATIONS, "random_state": self.settings.seed, "num_threads": 1}
        return self._implicit(BayesianPersonalizedRanking, settings)

    def implicit_als(self) -> Model:
        from implicit.cpu.als import AlternatingLeastSquares

        return self._implicit(
            AlternatingLeastSquares, {"iterations": _ALS_ITERATIONS, "random_state": self.settings.seed}
        )

    def _implicit(self, kind: Callable[..., Any], settings: Mapping[str, Any]) -> Model:
        with threadpool_limits(1, "blas"):  # the library has threads of its own, and asks for one BLAS thread in each
            model = kind(factors=self.settings.dimension, **settings)
            model.fit(sp.csr_matrix(self._likes.to_scipy()), show_progress=False)
        # A popularity bias, where there is one, is a dimension that is 1 for every user.
        factors = Model(np.asarray(model.user_factors), np.asarray(model.item_factors))
        return fill_in(factors, self.data.user_songs, self._likes.counts > 0, self._likes.column_counts() > 0)

    @cached_property
    def _likes(self) -> Csr:
        return train_likes(self.data)

    def taste(self) -> Model:
        rows = feature(song_sets(self.data, self.others), artist_weight=0.0)
        basis = fit_taste(rows, self.settings.dimension, self.settings.seed, self.progress)
        vectors = rows.vectors(basis.songs, basis.artists)
        return Model(unit(rows.rows(0, vectors)), unit(rows.rows(1, vectors)))


def _digest(rows: Csr) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(rows.indptr).data)
    digest.update(np.ascontiguousarray(rows.indices).data)
    return digest.hexdigest()
