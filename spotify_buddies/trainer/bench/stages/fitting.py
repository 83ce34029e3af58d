"""BPR: triplets a second.

A step is one triplet (user, positive, negative) that moves three factors. Ours and torch visit rows of the triplets
file, or draw them where the data set has none; drawing counts. implicit draws for every training like one negative an
epoch, so an epoch has as many steps as there are likes; those that it draws and then leaves out, because the negative
is liked too, are counted as steps.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from spotify_buddies.foundation.stages.blocks import processors
from spotify_buddies.foundation.stages.progress import Counting
from spotify_buddies.foundation.stages.usage import peak_rss_mib
from spotify_buddies.trainer.bench.figure import OURS, Figure, timed
from spotify_buddies.trainer.bench.plan import Bench
from spotify_buddies.trainer.dataset.table import IN_TRAIN, Dataset, open_dataset
from spotify_buddies.trainer.models.drawn import Drawn, open_source
from spotify_buddies.trainer.models.fit import song_sets
from spotify_buddies.trainer.models.model import EpochReport, Validation
from spotify_buddies.trainer.models.order import TripletSource
from spotify_buddies.trainer.models.train import train
from spotify_buddies.trainer.settings import TrainSettings

Array = npt.NDArray[Any]

_EPOCHS = 3
_WORK = "BPR, {} dimensions"


def ours(bench: Bench) -> list[Figure]:
    """Plain BPR on as many threads as there are processors, and on one; the hybrid model."""
    data = open_dataset(bench.dataset)
    plain: dict[str, Any] = {"model": "bpr", "backend": "numba"}
    names: dict[str, dict[str, Any]] = {
        f"{OURS}, 1 thread": {**plain, "threads": 1},
        OURS: {**plain, "threads": processors()},
        f"{OURS}, hybrid": {"model": "hybrid"},
    }
    return [
        _fit(bench, data, bench.train.model_copy(update=changes), bench.bpr_triplets, name)
        for name, changes in names.items()
    ]


def by_torch(bench: Bench) -> list[Figure]:
    """The published recipe: sparse embeddings, SparseAdam, batches of 16,384."""
    published = TrainSettings(model="bpr", backend="torch", dimension=bench.train.dimension)
    return [_fit(bench, open_dataset(bench.dataset), published, bench.torch_triplets, "torch SparseAdam")]


def by_implicit(bench: Bench) -> list[Figure]:
    """BPR of the implicit library on the training likes; its own bias is one dimension more."""
    from implicit.bpr import BayesianPersonalizedRanking

    data = open_dataset(bench.dataset)
    likes = _likes(data)
    epochs = max(1, round(min(bench.bpr_triplets, 4 * likes.nnz) / max(likes.nnz, 1)))

    def fit(iterations: int) -> None:
        model = BayesianPersonalizedRanking(
            factors=bench.train.dimension, iterations=iterations, num_threads=processors(), random_state=42
        )
        model.fit(likes, show_progress=False)

    # Its start (factors drawn, likes copied) is no step: the difference of two fits is steps alone.
    began = _now()
    fit(0)
    start, worked = (end - begin for begin, end in zip(began, _now(), strict=True))
    figure = timed(_WORK.format(bench.train.dimension), "implicit", likes.nnz * epochs, "triplets", lambda: fit(epochs))
    steps = replace(
        figure,
        seconds=round(max(figure.seconds - start, 1e-4), 4),
        cpu_seconds=round(max((figure.cpu_seconds or 0.0) - worked, 1e-4), 4),
    )
    return [steps.with_facts(threads=processors(), start_seconds=round(start, 3))]


def _fit(bench: Bench, data: Dataset, settings: TrainSettings, most: int, name: str) -> Figure:
    """Three epochs of trainer.models.train; the second and third are timed, from checkpoint to last step."""
    triplets = _bounded(data, settings, most)
    clock = _Clock()
    directory = bench.home / "bpr"
    shutil.rmtree(directory, ignore_errors=True)
    nothing = np.empty((0, 2 + bench.data.validation_negatives), np.int32)
    train(
        triplets,
        Validation(nothing, nothing),
        data.users,
        data.playlists,
        settings.model_copy(update={"epochs": _EPOCHS}),
        directory,
        key="bench",
        sets=song_sets(data) if settings.model == "hybrid" else None,
        on_epoch=clock.epoch,
        progress=Counting(lambda *_: clock.step()),
    )
    shutil.rmtree(directory)
    seconds, processor = clock.medians()
    return Figure(
        work=_WORK.format(settings.dimension),
        by=name,
        amount=len(triplets),
        unit="triplets",
        seconds=round(seconds, 4),
        cpu_seconds=round(processor, 4),
        peak_rss_mib=round(peak_rss_mib(), 1),
        repeats=_EPOCHS - 1,
        facts={
            "threads": settings.threads if settings.backend == "numba" else processors(),
            "drawn": isinstance(triplets, Drawn),
        },
    )


def _bounded(data: Dataset, settings: TrainSettings, most: int) -> Array | TripletSource:
    """`most` triplets: the first of the file, which is shuffled, or those of every n-th user, to be drawn."""
    source = open_source(data, settings)
    if isinstance(source, Drawn):
        step = -(-len(source) // most)
        chosen = np.zeros(data.users, np.bool_)
        chosen[::step] = True
        return replace(source, positives=source.positives.only(chosen))
    return source if data.triplets is None else data.triplets[:most]


class _Clock:
    """Times the steps of every epoch but the first, which compiles."""

    def __init__(self) -> None:
        self._began: tuple[float, float] | None = None
        self._last = (0.0, 0.0)
        self._spent: list[tuple[float, float]] = []

    def step(self) -> None:
        """Hear of a block that is done."""
        self._last = _now()

    def epoch(self, _: EpochReport) -> None:
        """Hear of an epoch that is done, validated and saved."""
        if self._began is not None:
            self._spent.append((self._last[0] - self._began[0], self._last[1] - self._began[1]))
        self._began = _now()

    def medians(self) -> tuple[float, float]:
        """Seconds and processor seconds of an epoch."""
        seconds, processor = np.median(np.array(self._spent), axis=0).tolist()
        return float(seconds), float(processor)


def _now() -> tuple[float, float]:
    return time.monotonic(), time.process_time()


def _likes(data: Dataset) -> sp.csr_matrix[Any]:
    """The training likes, users x playlists, ones."""
    kept = np.asarray(data.split) == IN_TRAIN
    rows = np.repeat(np.arange(data.users, dtype=np.int32), data.liked.counts)[kept]
    columns = np.asarray(data.liked.indices)[kept]
    ones = np.ones(rows.size, np.float32)
    return sp.csr_matrix((ones, (rows, columns)), shape=(data.users, data.playlists))
