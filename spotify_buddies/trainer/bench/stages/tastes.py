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
    """The 50 nearest, one taste a call: of a random half of some users' songs, and of the libraries of most listeners.

    As served: exact, and beyond the index's exact_work FAISS and an exact re-rank. The other lines are the two ways
    alone.
    """
    user_songs = Csr.load(bench.dataset / MATRIX, "user_songs")
    search = NeighbourSearch.open(bench.paired / INDEX, user_songs)
    kinds = {
        "tastes, nearest 50": _halves(user_songs, bench.tastes),
        "tastes of most listeners, nearest 50": _heaviest(search, bench.tastes // 3),
    }
    everything = np.iinfo(np.int64).max
    ways = {
        "exact count alone": replace(search, exact_work=everything),
        OURS: search,
        "FAISS and re-rank alone": replace(search, exact_work=0),
    }
    figures = []
    for work, tastes in kinds.items():
        truth = replace(search, exact_work=everything).search(tastes, _AT)
        figures += [_figure(work, name, way, tastes, truth) for name, way in ways.items()]
    return figures


def _figure(work: str, name: str, search: NeighbourSearch, tastes: Csr, truth: Csr) -> Figure:
    single = [Csr.from_rows([tastes.row(row)], tastes.columns) for row in range(tastes.rows)]
    for taste in single[:3]:
        search.search(taste, _AT)
    worked, latencies, processor = time.process_time(), [], []
    for taste in single:
        started, busy = time.perf_counter(), time.process_time()
        search.search(taste, _AT)
        latencies.append(1e3 * (time.perf_counter() - started))
        processor.append(1e3 * (time.process_time() - busy))
    p50, p99 = np.percentile(latencies, (50, 99))
    listeners = [search.work(taste) for taste in single]
    return Figure(
        work=work,
        by=name,
        amount=tastes.rows,
        unit="tastes",
        seconds=round(sum(latencies) / 1e3, 4),
        cpu_seconds=round(time.process_time() - worked, 4),
        peak_rss_mib=round(peak_rss_mib(), 1),
        facts={
            "p50_ms": round(float(p50), 3),
            "p99_ms": round(float(p99), 3),
            "p50_processor_ms": round(float(np.median(processor)), 3),
            "p50_listeners": int(np.median(listeners)),
            "recall_at_50": recall(search.search(tastes, _AT), truth),
        },
    )


def _halves(user_songs: Csr, count: int) -> Csr:
    rng = generator(42, "bench/tastes")
    able = np.flatnonzero(user_songs.counts >= 2)
    picked = np.sort(rng.choice(able, min(able.size, count), replace=False))
    halves = [rng.choice(user_songs.row(u), user_songs.row(u).size // 2, replace=False) for u in picked.tolist()]
    return Csr.from_rows(halves, user_songs.columns)


def _heaviest(search: NeighbourSearch, count: int) -> Csr:
    """The libraries whose songs have most listeners in total, the heaviest first."""
    users, heard = search.user_songs, search.postings.counts
    running = np.concatenate([np.zeros(1, np.int64), np.cumsum(heard[users.indices])])
    listeners = running[users.indptr[1:]] - running[users.indptr[:-1]]
    return users.take(np.argsort(-listeners, kind="stable")[:count])
