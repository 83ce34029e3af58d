"""The nearest users of tastes, one at a time: by groups of counters, by a list of the users met, by FAISS.

    python -m tests.benchmarks.taste_search --preset tenth
    python -m tests.benchmarks.taste_search --preset million --faiss   # builds the index: some minutes, 360 MB

The users' song sets are drawn as `buddies data synth` draws them, without files or playlists. The ways take turns, so
that what else the machine does falls on all alike; milliseconds of the thread's processor time. `as served` is the
whole search of the product, which chooses the way. Every answer of the first three is compared with that of the list;
FAISS proposes search_breadth users and ranks them exactly, and its recall@50 is printed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.pairing.neighbours.exact.count import ExactCount
from spotify_buddies.pairing.neighbours.search import NeighbourSearch, build_index, recall
from spotify_buddies.pairing.settings import PairingSettings
from spotify_buddies.trainer.synth.catalogue import make_catalogue
from spotify_buddies.trainer.synth.draws import LIBRARIES, draw_blocks
from spotify_buddies.trainer.synth.write import PRESETS

Array = npt.NDArray[Any]
Way = Callable[[Csr], Csr]

AT = 50
LIGHT, HEAVY = 0, 2**40  # the work that sends ExactCount the one way or the other


def main() -> None:
    """Read the command line, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="tenth")
    parser.add_argument("--tastes", type=int, default=300)
    parser.add_argument("--faiss", action="store_true", help="build the whole index; as served, and FAISS alone, too")
    asked = parser.parse_args()
    users = draw(asked.preset)
    postings = users.transpose()
    exact, heard = ExactCount.of(users, postings), postings.counts
    print(f"{users.rows:,} users, {users.nnz:,} listens")
    ways: dict[str, Way] = {
        "users met, listed": lambda taste: counted(exact, taste, LIGHT),
        "groups of counters": lambda taste: counted(exact, taste, HEAVY),
    }
    with tempfile.TemporaryDirectory() as folder:
        if asked.faiss:
            search = indexed(users, Path(folder))
            ways["as served"] = lambda taste: search.search(taste, AT)
            ways["FAISS alone"] = lambda taste: replace(search, exact_work=0).search(taste, AT)
        for name, tastes in kinds(users, heard, asked.tastes).items():
            measure(name, tastes, heard, ways)


def draw(preset: str) -> Csr:
    """The users' song sets of a preset, ascending."""
    size = PRESETS[preset]
    world = make_catalogue(size.songs, 42)
    counts, songs = [np.zeros(1, np.int64)], []
    for block in draw_blocks(world, LIBRARIES, size.users, 42):
        counts.append(np.diff(block.indptr))
        order = np.lexsort((block.songs, np.repeat(np.arange(block.rows), counts[-1])))
        songs.append(block.songs[order].astype(np.int32))
    return Csr(np.cumsum(np.concatenate(counts)), np.concatenate(songs), size.songs)


def indexed(users: Csr, folder: Path) -> NeighbourSearch:
    """The product's index of these users."""
    started = time.process_time()
    statistics = build_index(users, folder, PairingSettings())
    print(f"index: {time.process_time() - started:.0f} s of processor time, {statistics['bytes'] / 2**20:.0f} MiB")
    return NeighbourSearch.open(folder, users)


def kinds(users: Csr, heard: Array, count: int) -> dict[str, Csr]:
    """Halves of random libraries, the libraries of most listeners, and the widest taste that a call may hold."""
    rng = np.random.default_rng(42)
    able = np.flatnonzero(users.counts >= 2)
    picked = np.sort(rng.choice(able, min(able.size, count), replace=False)).tolist()
    halves = [np.sort(rng.choice(users.row(u), users.row(u).size // 2, replace=False)) for u in picked]
    heaviest = np.argsort(-listeners(users, heard), kind="stable")[: max(1, count // 3)]
    popular = np.argsort(-heard, kind="stable")
    return {
        "halves": Csr.from_rows(halves, users.columns),
        "libraries of most listeners": users.take(heaviest),
        "their first 1,000 songs": Csr.from_rows([users.row(u)[:1_000] for u in heaviest.tolist()], users.columns),
        "the 1,000 most heard songs": Csr.from_rows([np.sort(popular[:1_000])] * 20, users.columns),
    }


def listeners(tastes: Csr, heard: Array) -> Array:
    """How many listeners the songs of each taste have together, int64 (tastes,)."""
    running = np.concatenate([np.zeros(1, np.int64), np.cumsum(heard[tastes.indices])])
    total: Array = running[tastes.indptr[1:]] - running[tastes.indptr[:-1]]
    return total


def counted(exact: ExactCount, taste: Csr, work: int) -> Csr:
    """The exact answer to one taste by one of the two ways."""
    out = (np.zeros(1, np.int64), np.zeros((1, AT), np.int32), np.zeros((1, AT), np.float32))
    exact.nearest(taste, np.zeros(1, np.int64), np.full(1, work), AT, out)
    found = int(out[0][0])
    return Csr(np.array([0, found]), out[1][0, :found], exact.user_starts.size - 1, out[2][0, :found])


def measure(name: str, tastes: Csr, heard: Array, ways: dict[str, Way]) -> None:
    """Print what each way takes; SystemExit where an exact answer is another."""
    single = [tastes.take(np.array([row])) for row in range(tastes.rows)]
    spent: dict[str, list[float]] = {way: [] for way in ways}
    found: list[float] = []
    for way in ways.values():
        way(single[0])
    for taste in single:
        answers = {}
        for way, search in ways.items():
            started = time.thread_time()
            answers[way] = search(taste)
            spent[way].append(1e3 * (time.thread_time() - started))
        truth = answers["users met, listed"]
        for way, answer in answers.items():
            if way == "FAISS alone":
                found.append(recall(answer, truth) or 0.0)
            elif not np.array_equal(answer.indices, truth.indices):
                raise SystemExit(f"{name}: {way} gives another answer than the list of users met")
    work = listeners(tastes, heard)
    print(f"\n{name}: {tastes.rows}, listeners p50 {np.median(work):,.0f}, most {work.max():,}")
    for way, values in spent.items():
        p50, p99 = np.percentile(values, (50, 99))
        beside = f"   recall@50 {np.mean(found):.3f}" if way == "FAISS alone" else ""
        print(f"  {way:<20} p50 {p50:8.3f} ms   p99 {p99:8.3f} ms{beside}")


if __name__ == "__main__":
    main()
