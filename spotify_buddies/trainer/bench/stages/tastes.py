"""The search for users near a taste that arrives at run time."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.arrays.seeds import generator
from spotify_buddies.foundation.stages.usage import peak_rss_mib
from spotify_buddies.pairing.neighbours.search import NeighbourSearch, recall
from spotify_buddies.pairing.result import INDEX
from spotify_buddies.trainer.bench.figure import OURS, Figure
from spotify_buddies.trainer.bench.plan import Bench
from spotify_buddies.trainer.dataset.table import MATRIX

Array = npt.NDArray[Any]

_AT = 50


def ours(bench: Bench) -> list[Figure]:
    """The 50 nearest of a random half of some users' songs, one taste a call.

    As served: exact where that is cheap, else FAISS and an exact re-rank. The other two lines are the two ways alone.
    """
    user_songs = Csr.load(bench.dataset / MATRIX, "user_songs")
    search = NeighbourSearch.open(bench.paired / INDEX, user_songs)
    tastes = _halves(user_songs, bench.tastes)
    everything = np.iinfo(np.int64).max
    ways = {
        "exact count alone": replace(search, exact_work=everything),
        OURS: search,
        "FAISS and re-rank alone": replace(search, exact_work=0),
    }
    truth = replace(search, exact_work=everything).search(tastes, _AT)
    return [_figure(name, way, tastes, truth) for name, way in ways.items()]


def _figure(name: str, search: NeighbourSearch, tastes: Csr, truth: Csr) -> Figure:
    single = [Csr.from_rows([tastes.row(row)], tastes.columns) for row in range(tastes.rows)]
    for taste in single[:3]:
        search.search(taste, _AT)
    worked, latencies = time.process_time(), []
    for taste in single:
        started = time.perf_counter()
        search.search(taste, _AT)
        latencies.append(1e3 * (time.perf_counter() - started))
    p50, p99 = np.percentile(latencies, (50, 99))
    return Figure(
        work="tastes, nearest 50",
        by=name,
        amount=tastes.rows,
        unit="tastes",
        seconds=round(sum(latencies) / 1e3, 4),
        cpu_seconds=round(time.process_time() - worked, 4),
        peak_rss_mib=round(peak_rss_mib(), 1),
        facts={
            "p50_ms": round(float(p50), 3),
            "p99_ms": round(float(p99), 3),
            "recall_at_50": recall(search.search(tastes, _AT), truth),
        },
    )


def _halves(user_songs: Csr, count: int) -> Csr:
    rng = generator(42, "bench/tastes")
    able = np.flatnonzero(user_songs.counts >= 2)
    picked = np.sort(rng.choice(able, min(able.size, count), replace=False))
    halves = [rng.choice(user_songs.row(u), user_songs.row(u).size // 2, replace=False) for u in picked.tolist()]
    return Csr.from_rows(halves, user_songs.columns)
