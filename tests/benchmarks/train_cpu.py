"""Triplets a second, and the validation MRR, beside implicit's BPR and the published recipe (torch, SparseAdam).

    python tests/benchmarks/train_cpu.py                     made-up likes of the size of `tenth`: speed alone
    python tests/benchmarks/train_cpu.py DATASET             a finished data set: speed
    python tests/benchmarks/train_cpu.py DATASET --quality   and the MRR of ours and of the recipe, epoch by epoch

All take turns in one process with as many threads each; the figure is the median of the rounds. implicit draws its own
negatives and learns from every like once an iteration; a like is counted as one triplet, also where it is skipped.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.dataset.table import Dataset, open_dataset
from spotify_buddies.trainer.models.backends import Backend, open_backend
from spotify_buddies.trainer.models.drawn import Drawn
from spotify_buddies.trainer.models.model import EpochReport, Validation, initial_model
from spotify_buddies.trainer.models.order import TripletFile, TripletSource
from spotify_buddies.trainer.models.train import train, training_key
from spotify_buddies.trainer.settings import TrainSettings

Array = npt.NDArray[np.generic]

USERS, PLAYLISTS, LIKES, POOL = 102_000, 94_600, 24, 128


def made_up(users: int, playlists: int, likes: int, seed: int = 1) -> Drawn:
    """Likes of playlists some of which are far more popular, and pools from all of them."""
    rng = np.random.default_rng(seed)
    liked = (rng.random((users, likes)) ** 2 * playlists).astype(np.int32)
    ends = np.arange(users + 1, dtype=np.int64)
    pool = rng.integers(0, playlists, users * POOL, dtype=np.int32)
    return Drawn(
        positives=Csr(ends * likes, liked.ravel(), playlists),
        hard=Csr(ends * POOL, pool, playlists),
        easy=Csr(ends * POOL, rng.permutation(pool), playlists),
        negatives=4,
        hard_share=0.5,
    )


def from_dataset(data: Dataset) -> Drawn:
    """The drawn triplets of a data set."""
    pools = data.pools
    if pools is None:
        raise SystemExit(f"{data.directory}: built by an earlier release; build it again with `buddies data build`")
    return Drawn(pools.positives, pools.hard, pools.easy, pools.negatives, pools.hard_share)


def stored(source: Drawn) -> TripletFile:
    """One epoch of a source as a file would hold it."""
    rows = np.random.default_rng(1).permutation(np.concatenate(list(source.blocks(1, 1))))
    return TripletFile(rows, source.positives.rows, source.positives.columns)


def opened(source: Drawn, settings: TrainSettings) -> Backend:
    model = initial_model(source.positives.rows, source.positives.columns, settings.dimension, settings.seed)
    return open_backend(settings, {"user_factors": model.user_factors, "playlist_factors": model.playlist_factors})


def ours(backend: Backend, source: TripletSource, least: int) -> Callable[[], float]:
    """Triplets a second over as many whole epochs as hold `least` triplets."""
    numbers = iter(range(1, 1 << 30))

    def run() -> float:
        done, start = 0, time.perf_counter()
        while done < least:
            done += sum(count for _, count in backend.epoch(source, 1, next(numbers)))
        return done / (time.perf_counter() - start)

    return run


def implicits(source: Drawn, dimension: int, threads: int, least: int) -> Callable[[], float]:
    """implicit's BPR with a bias among its factors, so that a row is as long as ours."""
    from implicit.bpr import BayesianPersonalizedRanking

    shape = source.positives.rows, source.positives.columns
    # A matrix of its own: implicit sorts in place and refuses read-only arrays.
    indices, indptr = np.array(source.positives.indices), np.array(source.positives.indptr)
    likes = csr_matrix((np.ones(indices.size, np.float32), indices, indptr), shape=shape)
    likes.sort_indices()
    rounds = max(1, -(-least // likes.nnz))

    def run() -> float:
        model = BayesianPersonalizedRanking(
            factors=dimension - 1, iterations=rounds, num_threads=threads, random_state=1, use_gpu=False
        )
        start = time.perf_counter()
        model.fit(likes, show_progress=False)
        return rounds * likes.nnz / (time.perf_counter() - start)

    return run


def speed(source: Drawn, threads: int, dimension: int, rounds: int, least: int) -> list[list[str]]:
    """Name, median triplets a second, ours (drawn) against it."""
    import torch

    torch.set_num_threads(threads)
    numba = TrainSettings(model="bpr", backend="numba", threads=threads, dimension=dimension)
    recipe = TrainSettings(model="bpr", backend="torch", dimension=dimension)
    file = stored(source)
    runs = {
        "ours, drawn": ours(opened(source, numba), source, least),
        "ours, file": ours(opened(source, numba), file, least),
        "implicit BPR": implicits(source, dimension, threads, least),
        "torch SparseAdam": ours(opened(source, recipe), head(file, 40 * recipe.batch), 1),
    }
    for name in ("ours, drawn", "ours, file"):
        runs[name]()  # compiles
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            rates[name].append(run())
    medians = {name: statistics.median(rounds) for name, rounds in rates.items()}
    best = medians["ours, drawn"]
    lines = [["scorer", "triplets/s", "least", "most", "ours, drawn / it"]]
    for name, value in medians.items():
        spread = (min(rates[name]), max(rates[name]))
        lines.append([name, f"{value:,.0f}", *(f"{edge:,.0f}" for edge in spread), f"{best / value:.2f}"])
    return lines


def head(source: TripletFile, rows: int) -> TripletFile:
    """The first rows of a source; the recipe is slow."""
    return replace(source, triplets=source.triplets[:rows])


def quality(data: Dataset, source: Drawn, threads: int, seeds: list[int]) -> Iterator[list[str]]:
    """Validation MRR on random and on hard negatives, after epoch 5 and of the best epoch, by source and recipe."""
    yield ["trained by", "seed", "epoch 5", "hard", "best", "hard", "at epoch"]
    choices: dict[str, tuple[TrainSettings, bool]] = {
        "recipe (torch SparseAdam), file": (TrainSettings(model="bpr", backend="torch", patience=10), False),
        "ours, one thread, file": (TrainSettings(model="bpr", backend="numba", threads=1), False),
        f"ours, {threads} threads, file": (TrainSettings(model="bpr", backend="numba", threads=threads), False),
        "ours, one thread, drawn": (TrainSettings(model="bpr", backend="numba", threads=1), True),
    }
    for name, (settings, drawn) in choices.items():
        for seed in seeds:
            chosen = settings.model_copy(update={"seed": seed})
            epochs = fit(data, source if drawn else data.triplets, chosen)
            best = max(epochs, key=lambda report: report.metrics["random/mrr"])
            values = [report.metrics[f"{kind}/mrr"] for report in (epochs[4], best) for kind in ("random", "hard")]
            yield [name, str(seed), *(f"{value:.4f}" for value in values), str(best.epoch)]


def fit(data: Dataset, source: TripletSource | Array | None, settings: TrainSettings) -> list[EpochReport]:
    """Every epoch of one training."""
    if source is None:
        raise SystemExit(f'{data.directory}: holds no file of triplets; build it with BUDDIES_DATA__TRIPLETS="file"')
    heard: list[EpochReport] = []
    validation = Validation(data.validation, data.hard_validation)
    with tempfile.TemporaryDirectory() as directory:
        train(
            source,
            validation,
            data.users,
            data.playlists,
            settings,
            Path(directory),
            key=training_key(data.fingerprint, settings),
            on_epoch=heard.append,
        )
    return heard


def show(lines: list[list[str]]) -> None:
    """In columns."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        cells = [line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))]
        print("  ".join(cells), flush=True)


def main() -> None:
    """See the top of the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", nargs="?", type=Path, help="a finished data set; none: made-up likes")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--least", type=int, default=2_000_000, help="triplets of a round, at least")
    parser.add_argument("--quality", action="store_true", help="train ours and the recipe, and compare the MRR")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42])
    chosen = parser.parse_args()
    data = open_dataset(chosen.dataset) if chosen.dataset else None
    source = made_up(USERS, PLAYLISTS, LIKES) if data is None else from_dataset(data)
    print(
        f"{source.positives.rows:,} users, {source.positives.columns:,} playlists, {len(source):,} triplets an epoch, "
        f"dimension {chosen.dimension}, {chosen.threads} threads, medians of {chosen.rounds}\n"
    )
    show(speed(source, chosen.threads, chosen.dimension, chosen.rounds, chosen.least))
    if chosen.quality and data is not None:
        print()
        show(list(quality(data, source, chosen.threads, chosen.seeds)))


if __name__ == "__main__":
    main()
