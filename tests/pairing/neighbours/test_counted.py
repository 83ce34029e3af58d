"""Tastes counted in the song lists of an index folder, without its vectors."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.pairing.neighbours.counted import CountedSearch
from spotify_buddies.pairing.neighbours.index_files import SearchError
from spotify_buddies.pairing.neighbours.search import NeighbourSearch, build_index
from spotify_buddies.pairing.settings import PairingSettings
from tests.pairing.conftest import clustered, csr, same

EVERYTHING = 10**9


@pytest.fixture(scope="module")
def people() -> Csr:
    return clustered(800, 1_500, 20, seed=6)


@pytest.fixture(scope="module")
def folder(people: Csr, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("index")
    build_index(people, target, PairingSettings(dimension=16))
    return target


def drawn_tastes(people: Csr) -> Csr:
    """Parts of libraries, whole ones, one song, and none."""
    rng = np.random.default_rng(2)
    picked = [np.sort(rng.choice(people.row(i), people.row(i).size // 2, replace=False)) for i in range(60)]
    return Csr.from_rows([*picked, people.row(3), people.row(4)[:1], np.empty(0, np.int32)], people.columns)


@pytest.mark.parametrize("k", [0, 1, 7, 100, 2_000])
def test_the_answer_is_that_of_the_index(people: Csr, folder: Path, k: int):
    tastes = drawn_tastes(people)
    counted = CountedSearch.open(folder, people, EVERYTHING).search(tastes, k)
    assert same(counted, NeighbourSearch.open(folder, people).search(tastes, k))


def test_ties_go_to_the_lower_row_as_in_the_index(tmp_path: Path):
    """Every user has one of two songs, so that all who share one are equally near."""
    users = csr([[song % 2] for song in range(600)], 2)
    build_index(users, tmp_path, PairingSettings())
    tastes = csr([[0], [1], [0, 1]], 2)
    counted = CountedSearch.open(tmp_path, users, EVERYTHING).search(tastes, 50)
    assert same(counted, NeighbourSearch.open(tmp_path, users).search(tastes, 50))
    assert counted.row(0).tolist() == list(range(0, 100, 2))
    assert counted.row(2).tolist() == list(range(50))


def test_the_order_is_that_of_the_fractions(people: Csr, folder: Path):
    """By integers: m * m / n of two users, multiplied out."""
    taste = people.row(11)
    found = CountedSearch.open(folder, people, EVERYTHING).search(Csr.from_rows([taste], people.columns), 40)
    shared = {user: np.intersect1d(taste, people.row(user)).size for user in range(people.rows)}
    both = [(user, shared[user] ** 2, people.row(user).size) for user in shared if shared[user]]
    scale = int(np.prod([1, *sorted({size for _, _, size in both})], dtype=object))
    best = sorted(both, key=lambda one: (-(one[1] * scale // one[2]), one[0]))[:40]
    assert found.row(0).tolist() == [user for user, _, _ in best]


def test_the_bound_is_the_smaller_of_the_two(people: Csr, folder: Path, tmp_path: Path):
    assert CountedSearch.open(folder, people, 500).most == 500
    assert CountedSearch.open(folder, people, EVERYTHING).most == PairingSettings().exact_work
    build_index(people, tmp_path, replace_work(PairingSettings(dimension=16), 0))
    assert CountedSearch.open(tmp_path, people, 500).most == 0


def replace_work(settings: PairingSettings, work: int) -> PairingSettings:
    return settings.model_copy(update={"exact_work": work})


def test_more_work_than_the_bound_is_refused(people: Csr, folder: Path):
    tastes = drawn_tastes(people)
    search = CountedSearch.open(folder, people, EVERYTHING)
    work = search.work(tastes)
    assert work[-1] == 0
    assert work.sum() == NeighbourSearch.open(folder, people).work(tastes)
    with pytest.raises(ValueError, match=f"{int(work.max()):,} listeners of its songs, at most 10 are counted"):
        CountedSearch.open(folder, people, 10).search(tastes, 5)
    with pytest.raises(ValueError, match="tastes over 3 songs"):
        search.search(csr([[1]], 3), 5)


def test_counters_are_clean_for_the_next_taste_and_threads_do_not_share_them(people: Csr, folder: Path):
    search = CountedSearch.open(folder, people, EVERYTHING)
    tastes = [Csr.from_rows([people.row(i)], people.columns) for i in range(80)]
    fresh = [CountedSearch.open(folder, people, EVERYTHING).search(taste, 10) for taste in tastes]
    assert all(same(search.search(taste, 10), wanted) for taste, wanted in zip(tastes, fresh, strict=True))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda taste: search.search(taste, 10), tastes))
    assert all(same(one, wanted) for one, wanted in zip(found, fresh, strict=True))
    with search.scratch() as (counts, *_):
        assert not counts.any()


def test_lists_of_others_are_refused(people: Csr, folder: Path):
    with pytest.raises(SearchError, match="users, songs, entries"):
        CountedSearch.open(folder, csr([[0]], people.columns), 5)


def test_neither_the_vectors_nor_faiss_are_needed(people: Csr, folder: Path, tmp_path: Path):
    for name in ("postings.indptr.npy", "postings.indices.npy", "postings.columns.npy", "search.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    tastes = drawn_tastes(people)
    assert CountedSearch.open(tmp_path, people, EVERYTHING).search(tastes, 5).nnz > 0
    asked = "import sys, spotify_buddies.pairing.neighbours.counted; print('faiss' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split() == ["False"]
