"""Triplets a second, validation MRR and device memory of the training on a CUDA device, beside the published recipe.

    python tests/benchmarks/train_gpu.py                       a million users, on the device
    python tests/benchmarks/train_gpu.py --device cpu --small  the same code on a CPU, to see that it runs

Builds its data from a seed and needs no files. Speed is that of made-up likes of the size of the full data, the median
of the rounds; the MRR is that of planted tastes, after `--epochs` epochs. `fused` is what `buddies train run` takes on
a CUDA device for bpr; `fused, deterministic` gives the same bytes each time; `recipe` is torch's autograd and
SparseAdam at batches of 16,384. `hybrid` is the default model: its steps by torch on the device, and by numba on the
processors, from one state, on song sets that are made up as well; planted users and playlists hold songs of their
genre. Exit code 1 where there is no CUDA device and none was forgone.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from train_cpu import made_up, show, stored

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.metrics.ranking import FactorScorer, ranks, summarise
from spotify_buddies.trainer.models.backends import Backend, open_backend
from spotify_buddies.trainer.models.drawn import Drawn
from spotify_buddies.trainer.models.hybrid.backend import start_state
from spotify_buddies.trainer.models.hybrid.songs import SongSets, feature
from spotify_buddies.trainer.models.hybrid.state import first_state, likes_end, taste_dimensions
from spotify_buddies.trainer.models.hybrid.taste import TasteBasis
from spotify_buddies.trainer.models.model import initial_model
from spotify_buddies.trainer.models.order import TripletFile, TripletSource
from spotify_buddies.trainer.settings import TrainSettings

GENRES, NEGATIVES = 100, 50


@dataclass(frozen=True)
class Size:
    """Users, playlists and likes of a user: of the data for speed, and of the planted tastes."""

    speed: tuple[int, int, int]
    quality: tuple[int, int, int]
    rounds: int
    recipe_triplets: int
    hybrid_triplets: int


FULL = Size((1_000_000, 946_000, 24), (50_000, 20_000, 24), 5, 8_000_000, 16_000_000)
SMALL = Size((20_000, 20_000, 12), (2_000, 2_000, 12), 1, 100_000, 500_000)
# Songs of a user and of a playlist, and users and playlists to a song.
USER_SONGS, PLAYLIST_SONGS, TO_A_SONG = 100, 60, 2

SETTINGS = {
    "recipe (torch SparseAdam)": TrainSettings(model="bpr", backend="torch"),
    "fused, deterministic": TrainSettings(model="bpr", backend="fused", deterministic=True),
    "fused": TrainSettings(model="bpr", backend="fused"),
}

HYBRID = {
    "hybrid, numba": TrainSettings(backend="numba"),
    "hybrid, deterministic": TrainSettings(backend="fused", deterministic=True),
    "hybrid": TrainSettings(backend="fused"),
}


def planted(users: int, playlists: int, likes: int, seed: int = 1) -> tuple[Drawn, np.ndarray]:
    """Users who like the playlists of a genre, three times of four; held-out likes among random playlists."""
    rng = np.random.default_rng(seed)
    of_genre = playlists // GENRES
    genre = np.where(rng.random((users, likes + 1)) < 0.75, (np.arange(users) % GENRES)[:, None], -1)
    genre = np.where(genre < 0, rng.integers(0, GENRES, genre.shape), genre)
    liked = (genre + GENRES * (rng.random(genre.shape) ** 2 * of_genre).astype(np.int64)).astype(np.int32)
    ends = np.arange(users + 1, dtype=np.int64)
    pool = Csr(ends * 64, rng.integers(0, playlists, users * 64, dtype=np.int32), playlists)
    source = Drawn(Csr(ends * likes, liked[:, :likes].ravel(), playlists), pool, pool, 4, 0.5)
    others = rng.integers(0, playlists, (users, NEGATIVES), dtype=np.int32)
    rows = np.column_stack([np.arange(users, dtype=np.int32), liked[:, likes], others])
    return source, rows[: min(users, 20000)]


def song_sets(users: int, playlists: int, seed: int = 1) -> SongSets:
    """Songs of a row's genre, nine times of ten, some of which are far more popular; ten songs to an artist."""
    rng = np.random.default_rng(seed)
    songs = (users + playlists) // TO_A_SONG

    def drawn(rows: int, count: int) -> Csr:
        genre = np.where(rng.random((rows, count)) < 0.9, (np.arange(rows) % GENRES)[:, None], -1)
        genre = np.where(genre < 0, rng.integers(0, GENRES, genre.shape), genre)
        picked = genre + GENRES * (rng.random(genre.shape) ** 2 * (songs // GENRES)).astype(np.int64)
        picked.sort(axis=1)
        again = np.zeros(picked.shape, np.bool_)
        again[:, 1:] = picked[:, 1:] == picked[:, :-1]
        ends = np.concatenate([[0], np.cumsum((~again).sum(axis=1))])
        return Csr(ends, picked[~again].astype(np.int32), songs)

    artist = (np.arange(songs) % GENRES + GENRES * (np.arange(songs) // (10 * GENRES))).astype(np.int32)
    return SongSets(drawn(users, USER_SONGS), drawn(playlists, PLAYLIST_SONGS), artist)


def any_state(sets: SongSets, settings: TrainSettings) -> dict[str, np.ndarray]:
    """A state to time steps from: song factors by chance, as a taste of a million users takes long to be learned."""
    rng, rows = np.random.default_rng(1), feature(sets, settings.artist_weight)
    taste = taste_dimensions(settings)

    def basis(width: int) -> TasteBasis:
        drawn = (rng.standard_normal((count, width), np.float32) for count in (sets.songs, rows.artist_weights.size))
        return TasteBasis(*(0.01 * table for table in drawn))

    return first_state(rows, rows, settings, basis(taste), basis(likes_end(settings) - taste))


def measure_hybrid(size: Size, epochs: int, *, on_device: bool) -> Iterator[list[str]]:
    """A line for each way of training the hybrid model."""
    users, playlists, likes = size.speed
    source = replace(made_up(users, playlists, likes), most=size.hybrid_triplets)
    sets = song_sets(users, playlists)
    # Hubs are found on the processors, once, before any step.
    state = any_state(sets, TrainSettings(lower_hubs=False))
    of_planted, rows = planted(*size.quality)
    planted_sets = song_sets(*size.quality[:2])
    begun = start_state(feature(planted_sets, TrainSettings().artist_weight), TrainSettings())
    for name, settings in HYBRID.items():
        timed = open_backend(settings.model_copy(update={"lower_hubs": False}), _copy(state), sets)
        clear(on_device)
        speed = rate(timed, source, size.rounds)
        memory = peak(on_device and settings.backend == "fused")
        del timed
        backend = open_backend(settings, _copy(begun), planted_sets)
        for number in range(1, epochs + 1):
            for _ in backend.epoch(of_planted, 1, number):
                pass
        mrr = summarise(ranks(rows, FactorScorer(backend.model())))["mrr"]
        del backend
        yield [f"{name}, drawn", f"{len(source.part(1)):,}", f"{speed:,.0f}", f"{mrr:.4f}", memory]


def _copy(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: array.copy() for name, array in state.items()}  # the numba backend learns in place


def clear(on_device: bool) -> None:
    """Forget the peak of the device's memory, and what is kept there for later."""
    import torch

    if on_device:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak(on_device: bool) -> str:
    """The most memory of the device since then."""
    import torch

    return f"{torch.cuda.max_memory_allocated() / 2**30:.2f} GiB" if on_device else "-"


def opened(source: Drawn, settings: TrainSettings) -> Backend:
    """A backend on fresh factors."""
    model = initial_model(source.positives.rows, source.positives.columns, settings.dimension, settings.seed)
    return open_backend(settings, {"user_factors": model.user_factors, "playlist_factors": model.playlist_factors})


def rate(backend: Backend, source: TripletSource, rounds: int) -> float:
    """Triplets a second over an epoch, the median of the rounds, after an epoch that is not counted."""
    rates = []
    for number in range(rounds + 1):
        start = time.perf_counter()  # the loss of a block is asked for, which waits for the device
        done = sum(count for _, count in backend.epoch(source, 1, number + 1))
        rates.append(done / (time.perf_counter() - start))
    return statistics.median(rates[1:])


def some(source: Drawn, count: int) -> TripletFile:
    """At least so many triplets of an epoch, in a random order, as a file would hold them."""
    blocks: list[np.ndarray] = []
    for block in source.blocks(1, 1):
        blocks.append(block)
        if sum(map(len, blocks)) >= count:
            break
    rows = np.random.default_rng(1).permutation(np.concatenate(blocks))
    return TripletFile(rows, source.positives.rows, source.positives.columns)


def reached(settings: TrainSettings, size: tuple[int, int, int], epochs: int, *, drawn: bool) -> float:
    """The MRR of planted tastes after so many epochs, of negatives that are drawn anew or of one file of them."""
    source, rows = planted(*size)
    triplets = source if drawn else stored(source)
    backend = opened(source, settings)
    for number in range(1, epochs + 1):
        for _ in backend.epoch(triplets, 1, number):
            pass
    return summarise(ranks(rows, FactorScorer(backend.model())))["mrr"]


def measure(size: Size, epochs: int) -> Iterator[list[str]]:
    """A line for each way of training."""
    import torch

    on_device = torch.cuda.is_available()
    yield ["trained by", "triplets", "triplets/s", "MRR", "peak device memory"]
    source = made_up(*size.speed)
    # The recipe is slow, and reads a file as it does in practice.
    few = some(source, size.recipe_triplets)
    for name, settings in SETTINGS.items():
        for what, triplets in {"file": few, "drawn": source}.items():
            if settings.backend == "torch" and what == "drawn":
                continue
            clear(on_device)
            speed = rate(opened(source, settings), triplets, size.rounds)
            memory = peak(on_device)
            mrr = reached(settings, size.quality, epochs, drawn=what == "drawn")
            yield [f"{name}, {what}", f"{len(triplets):,}", f"{speed:,.0f}", f"{mrr:.4f}", memory]
    yield from measure_hybrid(size, epochs, on_device=on_device)


def tiles(size: Size) -> Iterator[list[str]]:
    """The Triton kernel alone, with more or fewer triplets and warps in a program."""
    import torch

    from spotify_buddies.trainer.models.bpr.device.kernels import update

    users, playlists, _ = size.speed
    rows = torch.from_numpy(some(made_up(*size.speed), 1 << 20).triplets).cuda()
    tables = [torch.rand((count, 128), device="cuda") - 0.5 for count in (users, playlists)]
    tables += [torch.ones(count, device="cuda") for count in (users, playlists)]
    yield ["tile", "warps", "triplets/s"]
    for tile, warps in ((1, 1), (2, 1), (4, 1), (4, 2), (8, 2), (8, 4), (16, 4)):
        rates = []
        for _ in range(size.rounds + 1):
            start = time.perf_counter()
            float(update(rows, *tables, 0.05, 0.01, batch=len(rows), tile=tile, warps=warps))
            rates.append(len(rows) / (time.perf_counter() - start))
        yield [str(tile), str(warps), f"{statistics.median(rates[1:]):,.0f}"]


def told(lines: Iterator[list[str]]) -> Iterator[list[str]]:
    """The lines, each also on stderr as soon as it is there: the table comes at the end."""
    for line in lines:
        print("  ".join(line), file=sys.stderr, flush=True)
        yield line


def main() -> int:
    """See the top of the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--small", action="store_true", help="little data, one round")
    parser.add_argument("--tiles", action="store_true", help="also time the Triton kernel's choices")
    parser.add_argument("--epochs", type=int, default=5, help="of the planted tastes")
    chosen = parser.parse_args()
    if chosen.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import torch

    if chosen.device == "cuda" and not torch.cuda.is_available():
        print(
            f"torch {torch.__version__} finds no CUDA device here: run this on a machine with an NVIDIA GPU and a CUDA "
            "build of torch, or try the code with --device cpu --small",
            file=sys.stderr,
        )
        return 1
    name = torch.cuda.get_device_name() if chosen.device == "cuda" else "CPU"
    size = SMALL if chosen.small else FULL
    users, playlists, _ = size.speed
    print(f"{name}, torch {torch.__version__}; {users:,} users, {playlists:,} playlists, dimension 128\n", flush=True)
    show(list(told(measure(size, chosen.epochs))))
    if chosen.tiles and chosen.device == "cuda":
        print()
        show(list(told(tiles(size))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
