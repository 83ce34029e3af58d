from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages import stage
from spotify_buddies.foundation.stages.stage import StageError, hash_file
from spotify_buddies.pairing.build import build_pairing
from spotify_buddies.pairing.neighbours.search import NeighbourSearch
from spotify_buddies.pairing.settings import PairingSettings
from tests.pairing.conftest import clustered, csr, entries

MakeDataset = Callable[..., Path]
SMALL = PairingSettings(dimension=32, block_users=50)


def clusters() -> tuple[Csr, Csr]:
    """400 users of 8 clusters; every third owns two playlists."""
    owned = [[2 * (i // 3), 2 * (i // 3) + 1] if i % 3 == 0 else [] for i in range(400)]
    return clustered(400, 800, 8, seed=5), csr(owned, 268)


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hash_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "timings.json"
    }


def test_the_three_stages_hold_the_files_of_the_formats_page(make_dataset: MakeDataset, tmp_path: Path):
    users, owned = clusters()
    target = tmp_path / "pairing"
    build_pairing(make_dataset(users, owned), target, SMALL)
    nearest = Csr.load(target / "nearest", "nearest")
    neighbours, candidates = (Csr.load(target / "candidates", name) for name in ("neighbours", "candidates"))
    assert (nearest.rows, nearest.columns) == (neighbours.rows, neighbours.columns) == (400, 400)
    assert (candidates.rows, candidates.columns, candidates.values) == (400, 268, None)
    assert nearest.values is not None
    assert nearest.values.dtype == np.float32
    hits = NeighbourSearch.open(target / "index", users).search(csr([users.row(7).tolist()], 800), 3)
    assert hits.row(0)[0] == 7


def test_statistics_are_those_of_the_files(make_dataset: MakeDataset, tmp_path: Path):
    summary = build_pairing(make_dataset(*clusters()), tmp_path / "pairing", SMALL)
    neighbours = Csr.load(tmp_path / "pairing" / "candidates", "neighbours")
    statistics = summary.statistics["candidates"]
    times = np.bincount(neighbours.indices)
    assert statistics["neighbours"]["mean"] == pytest.approx(neighbours.counts.mean(), abs=1e-3)
    assert statistics["neighbours"]["median"] == np.median(neighbours.counts)
    assert statistics["times_as_neighbour"]["max"] == times.max()
    assert statistics["users_serving_as_neighbour"] == (times > 0).sum()
    assert statistics["reachable_playlists"]["mean"] == pytest.approx(2 * neighbours.counts.mean(), abs=1e-3)
    assert statistics["users_with_few_candidates"] == 0
    assert summary.statistics["index"]["recall_at_50"] == 1.0


def test_a_second_run_keeps_every_stage(make_dataset: MakeDataset, tmp_path: Path):
    dataset = make_dataset(*clusters())
    first = build_pairing(dataset, tmp_path / "pairing", SMALL)
    again = build_pairing(dataset, tmp_path / "pairing", SMALL.model_copy(update={"block_users": 7}))
    assert first.reused == ()
    assert again.reused == ("nearest", "candidates", "index")
    assert first.statistics == again.statistics


def test_another_sample_keeps_the_nearest_users(make_dataset: MakeDataset, tmp_path: Path):
    dataset = make_dataset(*clusters())
    build_pairing(dataset, tmp_path / "pairing", SMALL)
    again = build_pairing(dataset, tmp_path / "pairing", SMALL.model_copy(update={"candidates": 9}))
    assert again.reused == ("nearest", "index")


def test_two_builds_give_the_same_bytes_whatever_the_block(make_dataset: MakeDataset, tmp_path: Path):
    dataset = make_dataset(*clusters())
    build_pairing(dataset, tmp_path / "one", SMALL)
    build_pairing(dataset, tmp_path / "two", SMALL.model_copy(update={"block_users": 3}))
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


@pytest.mark.parametrize(
    "stopped_at", ["nearest users", "select neighbours", "gather candidates", "fit the index", "index users"]
)
def test_an_interrupted_build_ends_with_the_same_files(stopped_at: str, make_dataset: MakeDataset, tmp_path: Path):
    dataset = make_dataset(*clusters())

    def interrupt(what: str, done: int, total: int, unit: str = "items") -> None:
        if what == stopped_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_pairing(dataset, tmp_path / "broken", SMALL, progress=interrupt)
    build_pairing(dataset, tmp_path / "broken", SMALL)
    build_pairing(dataset, tmp_path / "whole", SMALL)
    assert digests(tmp_path / "broken") == digests(tmp_path / "whole")


def test_users_with_few_candidates_are_widened_past_the_nearest(make_dataset: MakeDataset, tmp_path: Path):
    # Users 0..9 are alike and own nothing; the owners, 10 and 11, share one song with all of them.
    alike = [[0, 1, 2, 3, 4, 5]] * 10
    users = csr([*alike, [0, 7, 8, 9], [0, 10, 11, 12]], 13)
    owned = csr([*([[]] * 10), [0, 1, 2], [3, 4, 5]], 6)
    narrow = SMALL.model_copy(update={"nearest": 5})
    statistics = build_pairing(make_dataset(users, owned), tmp_path / "pairing", narrow).statistics["candidates"]
    candidates = Csr.load(tmp_path / "pairing" / "candidates", "candidates")
    assert statistics["users_widened"] >= 10
    assert candidates.row(0).tolist() == [0, 1, 2, 3, 4, 5]
    # An owner reaches three playlists at most, which stays few.
    assert statistics["users_with_few_candidates"] == 2


def test_a_data_set_without_ownership_is_refused_by_name(make_dataset: MakeDataset, tmp_path: Path):
    dataset = make_dataset(*clusters())
    (dataset / "7-own" / "stage.json").unlink()
    with pytest.raises(StageError, match="7-own"):
        build_pairing(dataset, tmp_path / "pairing", SMALL)


def test_a_half_rebuilt_data_set_is_refused(make_dataset: MakeDataset, tmp_path: Path):
    users, owned = clusters()
    dataset = make_dataset(users, owned)
    build_pairing(dataset, tmp_path / "pairing", SMALL)
    other = clustered(400, 800, 8, seed=6)
    stage.run(dataset, "3-matrix", inputs={}, settings={}, build=lambda to: other.save(to, "user_songs") or {})
    with pytest.raises(StageError, match=r"6-split: made from another '3-matrix'.*buddies data build"):
        build_pairing(dataset, tmp_path / "pairing", SMALL)


def test_users_who_are_not_sampled_have_no_row_and_are_nobodys_neighbour(make_dataset: MakeDataset, tmp_path: Path):
    users, owned = clusters()
    sampled = np.arange(400) % 4 != 0
    target = tmp_path / "pairing"
    statistics = build_pairing(make_dataset(users, owned, sampled), target, SMALL).statistics
    for name, folder in {"nearest": "nearest", "neighbours": "candidates", "candidates": "candidates"}.items():
        matrix = Csr.load(target / folder, name)
        assert matrix.rows == 400
        assert (matrix.counts[~sampled] == 0).all()
        assert (matrix.counts[sampled] > 0).all()
    for name, folder in {"nearest": "nearest", "neighbours": "candidates"}.items():
        assert sampled[Csr.load(target / folder, name).indices].all()
    assert [statistics[name]["users"] for name in ("nearest", "candidates", "index")] == [300, 300, 300]
    assert statistics["candidates"]["users_with_few_candidates"] == 0
    assert statistics["nearest"]["users_without"] == 0


@pytest.mark.parametrize("exact_work", [0, 10**9])
def test_users_who_are_not_sampled_answer_no_taste(exact_work: int, make_dataset: MakeDataset, tmp_path: Path):
    users, owned = clusters()
    sampled = np.arange(400) % 4 != 0
    settings = SMALL.model_copy(update={"exact_work": exact_work})
    build_pairing(make_dataset(users, owned, sampled), tmp_path / "pairing", settings)
    hits = NeighbourSearch.open(tmp_path / "pairing" / "index", users).search(csr([users.row(8).tolist()], 800), 400)
    assert hits.nnz > 20
    assert sampled[hits.indices].all()


def test_the_same_users_sampled_are_no_reason_to_find_neighbours_anew(make_dataset: MakeDataset, tmp_path: Path):
    users, owned = clusters()
    build_pairing(make_dataset(users, owned), tmp_path / "pairing", SMALL)
    again = build_pairing(make_dataset(users, csr(entries(owned), 999)), tmp_path / "pairing", SMALL)
    assert again.reused == ("nearest", "candidates", "index")
    sampled = np.arange(400) > 0
    again = build_pairing(make_dataset(users, owned, sampled), tmp_path / "pairing", SMALL)
    assert again.reused == ()


def test_the_widened_pass_asks_for_a_block_of_users_at_a_time(make_dataset: MakeDataset, tmp_path: Path):
    # The five nearest of the forty own nothing. Of the two owners one reaches five playlists, the other one.
    users = csr([[0, 1, 2, 3]] * 40 + [[0, 5], [0, 6]], 7)
    owned = csr([*([[]] * 40), [0, 1, 2, 3, 4], [5]], 6)
    settings = SMALL.model_copy(update={"nearest": 5, "block_users": 7})
    seen: list[int] = []

    def note(what: str, done: int, total: int, unit: str = "items") -> None:
        if what == "widen":
            seen.append(done)

    build_pairing(make_dataset(users, owned), tmp_path / "blocks", settings, progress=note)
    assert seen == [7, 14, 21, 28, 35, 41]
    build_pairing(make_dataset(users, owned), tmp_path / "whole", settings.model_copy(update={"block_users": 999}))
    assert digests(tmp_path / "blocks") == digests(tmp_path / "whole")
    assert Csr.load(tmp_path / "blocks" / "candidates", "candidates").row(0).tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(("users", "owned"), [([], []), ([[]], [[]]), ([[0]], [[]]), ([[0], [0]], [[0], []])])
def test_hardly_any_users_is_no_error(
    users: list[list[int]], owned: list[list[int]], make_dataset: MakeDataset, tmp_path: Path
):
    dataset = make_dataset(csr(users, 1), csr(owned, 1))
    summary = build_pairing(dataset, tmp_path / "pairing", SMALL)
    assert summary.statistics["candidates"]["users"] == len(users)
