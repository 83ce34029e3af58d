from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
import pytest
from threadpoolctl import threadpool_limits

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages.stage import hash_file
from spotify_buddies.pairing.neighbours.index_files import SearchError
from spotify_buddies.pairing.neighbours.nearest import nearest_users
from spotify_buddies.pairing.neighbours.search import NeighbourSearch, build_index, recall
from spotify_buddies.pairing.settings import PairingSettings
from tests.pairing.conftest import SAMPLE, clustered, csr, entries, same

Array = npt.NDArray[Any]

ALWAYS_FAISS = {"exact_work": 0}


@pytest.fixture(scope="module")
def people() -> Csr:
    return clustered(1_500, 4_000, 25, seed=4)


@pytest.fixture(scope="module")
def folder(people: Csr, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("index")
    build_index(people, target, PairingSettings(dimension=128))
    return target


@pytest.fixture
def search(people: Csr, folder: Path) -> NeighbourSearch:
    return NeighbourSearch.open(folder, people)


@pytest.fixture(params=["exact", "faiss"])
def either(request: pytest.FixtureRequest, search: NeighbourSearch) -> NeighbourSearch:
    return search if request.param == "exact" else replace(search, **ALWAYS_FAISS)


def small(rows: list[list[int]], songs: int, folder: Path, **changes: int) -> NeighbourSearch:
    users = csr(rows, songs)
    build_index(users, folder, PairingSettings(**changes))
    return NeighbourSearch.open(folder, users)


def test_an_exact_answer_is_what_nearest_users_gives_when_self_is_added(people: Csr, search: NeighbourSearch):
    tastes = csr([people.row(i).tolist() for i in range(50)], people.columns)
    found, near = search.search(tastes, 11), nearest_users(people, 10, block_users=500)
    for i in range(50):
        others = [v for v in found.row(i).tolist() if v != i][:10]
        assert others == near.row(i).tolist()[: len(others)]
        assert len(others) == min(10, near.row(i).size)


def test_the_own_library_as_taste_finds_its_user_first(people: Csr, either: NeighbourSearch):
    found = either.search(csr([people.row(i).tolist() for i in (0, 700, 1_499)], people.columns), 5)
    assert [found.row(i)[0] for i in range(3)] == [0, 700, 1_499]
    assert found.values is not None
    assert found.values[found.indptr[:-1]].tolist() == pytest.approx([1.0] * 3)


def test_faiss_finds_nine_of_ten_of_the_exact_neighbours(people: Csr, search: NeighbourSearch):
    rng = np.random.default_rng(9)
    halves = [rng.choice(people.row(i), people.row(i).size // 2, replace=False) for i in range(0, 1_500, 10)]
    tastes = Csr.from_rows(halves, people.columns)
    proposed = replace(search, exact_work=0, breadth=300).search(tastes, 50)
    assert (recall(proposed, search.search(tastes, 50)) or 0) > 0.9


def test_cosines_are_exact_and_fall(people: Csr, either: NeighbourSearch):
    taste = people.row(3)[:9]
    found = either.search(Csr.from_rows([taste], people.columns), 40)
    assert found.values is not None
    for user, cosine in zip(found.indices.tolist(), found.values.tolist(), strict=True):
        shared = np.intersect1d(taste, people.row(user)).size
        assert cosine == pytest.approx(shared / (9 * people.row(user).size) ** 0.5, rel=1e-6)
    assert (np.diff(found.values) <= 0).all()


def test_an_empty_taste_and_no_tastes_have_no_neighbours(people: Csr, either: NeighbourSearch):
    assert entries(either.search(csr([[], []], people.columns), 5)) == [[], []]
    assert entries(either.search(csr([], people.columns), 5)) == []


def test_songs_that_nobody_has_have_no_neighbours(tmp_path: Path):
    for exact_work in (0, 1_000):
        folder = tmp_path / str(exact_work)
        folder.mkdir()
        search = small([[0, 1], [1, 2]], 9, folder, exact_work=exact_work)
        assert entries(search.search(csr([[7, 8], [1, 8]], 9), 5)) == [[], [0, 1]]


def test_more_than_there_are_users_gives_those_who_share_a_song(tmp_path: Path):
    for exact_work in (0, 1_000):
        folder = tmp_path / str(exact_work)
        folder.mkdir()
        search = small([[0, 1], [1, 2], [5]], 6, folder, exact_work=exact_work)
        found = search.search(csr([[2, 1]], 6), 1_000)
        assert entries(found) == [[1, 0]]
        assert found.values is not None
        assert found.values.tolist() == pytest.approx([1.0, 0.5])


def test_faiss_may_be_asked_for_more_than_it_holds(people: Csr, tmp_path: Path):
    """Every tenth user is in the index, which pads what it lacks with -1."""
    sampled = np.arange(people.rows) % 10 == 0
    build_index(people, tmp_path, PairingSettings(dimension=32), sampled=sampled)
    search = replace(NeighbourSearch.open(tmp_path, people), exact_work=0, breadth=people.rows)
    taste = csr([people.row(3).tolist()], people.columns)
    found = search.search(taste, people.rows)
    exact = replace(search, exact_work=10**9).search(taste, people.rows)
    assert same(found, exact)
    assert 0 < found.nnz <= 150
    assert (found.indices % 10 == 0).all()


def test_the_work_of_a_taste_is_the_listeners_of_its_songs(tmp_path: Path):
    search = small([[0, 1], [1, 2], [5]], 6, tmp_path)
    assert search.work(csr([[1, 2], [5], [4]], 6)) == 2 + 1 + 1
    assert search.work(csr([], 6)) == 0


def test_a_song_given_twice_counts_once(people: Csr, either: NeighbourSearch):
    once, twice = (csr([songs], people.columns) for songs in ([5, 9, 40], [40, 5, 9, 5, 40]))
    assert same(either.search(once, 20), either.search(twice, 20))


def test_no_neighbours_asked_for_is_none_given(people: Csr, either: NeighbourSearch):
    assert entries(either.search(csr([[1, 2, 3]], people.columns), 0)) == [[]]


def test_rows_of_one_call_are_answered_like_single_calls(people: Csr, search: NeighbourSearch):
    # Some tastes are within the budget and some are not.
    mixed = replace(search, exact_work=int(np.median(search.postings.counts)) * 10)
    tastes = [people.row(i).tolist() for i in range(0, 400, 20)]
    together = mixed.search(csr(tastes, people.columns), 10)
    for i, taste in enumerate(tastes):
        assert mixed.search(csr([taste], people.columns), 10).indices.tolist() == together.row(i).tolist()


def test_tastes_over_another_number_of_songs_are_refused(search: NeighbourSearch):
    with pytest.raises(ValueError, match="tastes over 3 songs"):
        search.search(csr([[1]], 3), 5)


def test_threads_can_search_at_the_same_time(people: Csr, search: NeighbourSearch):
    tastes = [csr([people.row(i).tolist()], people.columns) for i in range(60)]
    alone = [search.search(taste, 10).indices.tolist() for taste in tastes]
    with ThreadPoolExecutor(4) as pool:
        assert [found.indices.tolist() for found in pool.map(lambda taste: search.search(taste, 10), tastes)] == alone


@pytest.mark.parametrize("rows", [[], [[]], [[0]], [[], []]])
def test_an_index_over_nobody_or_nothing_answers(rows: list[list[int]], tmp_path: Path):
    search = small(rows, 3, tmp_path)
    assert entries(search.search(csr([[0, 1]], 3), 5)) == [[0] if rows == [[0]] else []]


def test_a_rebuilt_index_has_the_same_bytes(people: Csr, folder: Path, tmp_path: Path):
    build_index(people, tmp_path, PairingSettings(dimension=128, block_users=17))
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted(path.name for path in tmp_path.iterdir())
    assert [hash_file(folder / name) for name in names] == [hash_file(tmp_path / name) for name in names]


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_blas_threads_does_not_change_the_bytes(threads: int, people: Csr, folder: Path, tmp_path: Path):
    with threadpool_limits(threads):
        build_index(people, tmp_path, PairingSettings(dimension=128))
    for name in ("projection.npy", "users.faiss"):
        assert hash_file(tmp_path / name) == hash_file(folder / name)


def test_an_index_for_other_users_is_refused(people: Csr, folder: Path):
    with pytest.raises(SearchError, match="users, songs, entries"):
        NeighbourSearch.open(folder, csr([[0]], people.columns))


def test_a_missing_or_foreign_file_is_refused_by_name(people: Csr, folder: Path, tmp_path: Path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "users.faiss").write_bytes(b"not an index")
    with pytest.raises(SearchError, match=r"users\.faiss"):
        NeighbourSearch.open(copy, people)
    (copy / "search.json").write_text(json.dumps([1]))
    with pytest.raises(SearchError, match=r"search\.json"):
        NeighbourSearch.open(copy, people)
    (copy / "search.json").unlink()
    with pytest.raises(SearchError, match=r"search\.json"):
        NeighbourSearch.open(copy, people)


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("postings.columns.npy", lambda _: np.int64(1_000_000), "4000 songs x 1000000 users, need 4000 x 1500"),
        ("postings.indptr.npy", lambda array: np.append(array, array[-1]), "4001 songs x 1500 users"),
        ("postings.indptr.npy", lambda array: array.astype(np.int32), "int32 and int32, need int64 and int32"),
        ("postings.indices.npy", lambda array: array.astype(np.int64), "int64 and int64, need int64 and int32"),
        ("projection.place.npy", lambda array: replaced(array, 10**6), r"entry 0 is 1000000, outside -1\.\."),
        ("projection.place.npy", lambda array: replaced(array, -2), r"entry 0 is -2, outside -1\.\."),
        ("projection.place.npy", lambda array: array[:-1], r"int32 \(3999,\), need int32 \(4000,\)"),
        ("projection.place.npy", lambda array: array.astype(np.int64), r"int64 \(4000,\), need int32"),
        ("projection.npy", lambda array: array.astype(np.float64), "float64"),
        ("projection.npy", lambda array: array[0], r"float32 \(128,\), need"),
        ("projection.npy", lambda array: array[:, :64].copy(), "vectors of 128 dimensions, projection.npy has 64"),
    ],
)
def test_a_number_or_a_type_that_would_lead_out_of_an_array_is_refused(
    people: Csr, folder: Path, tmp_path: Path, file: str, change: Callable[[Array], Array], said: str
):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    np.save(copy / file, change(np.load(copy / file)))
    with pytest.raises(SearchError, match=said):
        NeighbourSearch.open(copy, people)


def replaced(array: Array, value: int) -> Array:
    array[0] = value
    return array


@pytest.mark.parametrize("numbers", [[0, 1, 1_500], [-1, 1, 2]])
def test_vectors_of_users_that_there_are_not_are_refused(people: Csr, folder: Path, tmp_path: Path, numbers: list[int]):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    index = faiss.IndexScalarQuantizer(128, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
    vectors = np.eye(3, 128, dtype=np.float32)
    index.train(vectors)
    index.add(vectors)
    faiss.write_index(index, str(copy / "users.faiss"))
    with pytest.raises(SearchError, match=r"users\.faiss: 3 vectors, need one for each of the 1500 users"):
        NeighbourSearch.open(copy, people)
    index.reset()
    numbered = faiss.IndexIDMap(index)
    numbered.add_with_ids(vectors, np.array(numbers))
    faiss.write_index(numbered, str(copy / "users.faiss"))
    with pytest.raises(SearchError, match=r"users\.faiss: .* need numbers within 0\.\.1499"):
        NeighbourSearch.open(copy, people)


@pytest.mark.parametrize(
    "file", ["users.faiss", "postings.indptr.npy", "postings.indices.npy", "projection.npy", "projection.place.npy"]
)
@pytest.mark.parametrize("left", [None, b"", b"not an array"])
def test_a_missing_empty_or_broken_file_is_refused_by_name(
    people: Csr, folder: Path, tmp_path: Path, file: str, left: bytes | None
):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / file).unlink()
    if left is not None:
        (copy / file).write_bytes(left)
    with pytest.raises(SearchError, match=file.partition(".")[0]):
        NeighbourSearch.open(copy, people)


def test_songs_out_of_order_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="ascending"):
        build_index(csr([[0], [], [2, 1]], 3), tmp_path, PairingSettings())


def test_statistics_say_what_faiss_and_the_whole_search_find(people: Csr, tmp_path: Path):
    statistics = build_index(people, tmp_path, PairingSettings(dimension=64))
    assert statistics["recall_at_50"] == 1.0
    assert 0.8 < statistics["recall_at_50_faiss"] <= 1.0
    assert statistics["users"] == 1_500


@pytest.mark.sample
@pytest.mark.skipif(not SAMPLE.exists(), reason="the real data sample is not beside the checkout")
def test_faiss_alone_finds_95_of_100_exact_neighbours_of_real_listeners(tmp_path: Path):
    statistics = build_index(_real(), tmp_path, PairingSettings())
    assert statistics["recall_at_50_faiss"] > 0.95
    assert statistics["recall_at_50"] == 1.0


def _real() -> Csr:
    users: dict[str, int] = {}
    songs: dict[str, int] = {}
    rows: list[set[int]] = []
    with SAMPLE.open(encoding="utf-8") as lines:
        for user, song, _ in (line.split("\t") for line in lines):
            if users.setdefault(user, len(users)) == len(rows):
                rows.append(set())
            rows[users[user]].add(songs.setdefault(song, len(songs)))
    return csr([sorted(row) for row in rows], len(songs))
