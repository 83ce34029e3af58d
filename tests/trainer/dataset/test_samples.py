"""What triplets are drawn from, and that they are then distributed as those of the file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chi2

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages.progress import silent
from spotify_buddies.trainer.dataset.negatives import triplets
from spotify_buddies.trainer.dataset.negatives.triplets import in_a_file, write_triplets
from spotify_buddies.trainer.models.drawn import Drawn
from spotify_buddies.trainer.settings import TRIPLETS_IN_A_FILE, DataSettings


def part(dataset, into: Path, **settings) -> Path:
    """Part 8 of a data set once more, with other settings."""
    into.mkdir()
    write_triplets(into, dataset.directories, DataSettings(**settings), silent)
    return into


def pools(directory: Path) -> dict[str, Csr]:
    return {name: Csr.load(directory, name) for name in ("positives", "hard", "easy")}


def negatives_by_user(rows: np.ndarray, users: int, playlists: int) -> np.ndarray:
    counts = np.zeros((users, playlists))
    np.add.at(counts, (rows[:, 0], rows[:, 2]), 1)
    return counts


def unlike(a: np.ndarray, b: np.ndarray) -> tuple[float, int]:
    """Chi-square of two samples of the same size, and its degrees of freedom."""
    some = a + b > 0
    return float((np.square(a - b)[some] / (a + b)[some]).sum()), int(some.sum()) - 1


def test_triplets_drawn_after_the_pools_are_those_drawn_with_them(random_dataset, tmp_path, monkeypatch):
    """Where it is known only from the pools that the triplets are few enough for a file, a second pass draws them."""
    dataset = random_dataset(11, users=12, playlists=60, songs=40, liked_share=0.1)
    together = part(dataset, tmp_path / "together")
    asked: list[int] = []

    def few_enough(rows: int, settings: DataSettings) -> bool:
        asked.append(rows)
        return len(asked) > 1

    monkeypatch.setattr(triplets, "in_a_file", few_enough)
    apart = part(dataset, tmp_path / "apart")
    assert len(asked) == 2
    names = sorted(path.name for path in together.iterdir())
    assert "triplets.npy" in names
    assert names == sorted(path.name for path in apart.iterdir())
    assert all((together / name).read_bytes() == (apart / name).read_bytes() for name in names)


def test_drawn_negatives_are_distributed_as_those_of_files(random_dataset, tmp_path):
    """Over 300 files of one planted set, which differ in the seed of their draws alone, and as many epochs."""
    dataset = random_dataset(11, users=12, playlists=60, songs=40, liked_share=0.1)
    source = Drawn(**pools(dataset.directories["8-triplets"]), negatives=4, hard_share=0.5)
    ours = np.concatenate([block for epoch in range(1, 301) for block in source.blocks(3, epoch)])
    files = np.concatenate(
        [np.load(part(dataset, tmp_path / str(seed), seed=seed) / "triplets.npy") for seed in range(300)]
    )
    drawn, stored = (negatives_by_user(rows, 12, 60) for rows in (ours, files))
    assert np.array_equal(drawn > 0, stored > 0)
    assert np.array_equal(drawn.sum(axis=1), stored.sum(axis=1))
    distances = [unlike(a, b) for a, b in zip(drawn, stored, strict=True) if a.any()]
    freedom = sum(free for _, free in distances)
    assert freedom > 50
    assert chi2.sf(sum(statistic for statistic, _ in distances), freedom) > 1e-3
    positives = Counter((u, p) for u, p, _ in ours.tolist())
    assert positives == Counter((u, p) for u, p, _ in files.tolist())


def test_drawn_negatives_are_never_liked_nor_owned(random_dataset):
    dataset = random_dataset(5)
    source = Drawn(**pools(dataset.directories["8-triplets"]), negatives=4, hard_share=0.5)
    rows = np.concatenate([block for epoch in (1, 2) for block in source.blocks(3, epoch)])
    assert len(rows) == 2 * len(dataset.triplets) > 200
    for user, positive, negative in rows.tolist():
        assert positive in dataset.likes(user, 0)
        assert negative not in set(dataset.liked.row(user).tolist())
        assert dataset.owner[negative] != user
        assert dataset.kept[negative]


def test_a_small_pool_is_kept_whole_and_a_large_one_sampled_evenly(make_dataset, tmp_path):
    # One user likes the best of 11 playlists; ten are left, of falling score: two are hard, eight are easy.
    playlists = [list(range(size)) for size in range(1, 12)]
    made = make_dataset([[0], []], playlists, 20, named=[1] * 11, liked_share=0.05, cold_users=0.0)
    whole = pools(made.directories["8-triplets"])
    assert whole["positives"].row(0).tolist() == [0]
    assert whole["hard"].row(0).tolist() == [1, 2]
    assert whole["easy"].row(0).tolist() == list(range(3, 11))
    counts: Counter[int] = Counter()
    for seed in range(160):
        some = pools(part(made, tmp_path / str(seed), seed=seed, pool_sample=3, triplets="drawn"))
        assert some["hard"].row(0).tolist() == [1, 2]
        kept = some["easy"].row(0).tolist()
        assert len(set(kept)) == 3
        assert kept == sorted(kept)
        counts.update(kept)
    # Each of eight is kept by 3 of 8 samples: 60 of 160, give or take 6.1.
    assert set(counts) == set(range(3, 11))
    assert max(abs(count - 60) for count in counts.values()) < 25


def test_drawn_triplets_leave_no_file_and_the_same_statistics(random_dataset, tmp_path):
    dataset = random_dataset(4)
    directory = tmp_path / "drawn"
    directory.mkdir()
    statistics = write_triplets(directory, dataset.directories, DataSettings(triplets="drawn"), silent)
    assert not list(directory.glob("triplets*"))
    assert not list(directory.glob("pile*"))
    assert statistics == dataset.statistics["8-triplets"] | {"in_a_file": False}
    for path in directory.iterdir():
        assert path.read_bytes() == (dataset.directories["8-triplets"] / path.name).read_bytes()


def test_the_statistics_count_what_is_in_the_file(random_dataset):
    dataset = random_dataset(4)
    statistics = dataset.statistics["8-triplets"]
    assert (statistics["triplets"], statistics["toy_triplets"]) == (len(dataset.triplets), len(dataset.toy))
    assert statistics["users_with_triplets"] == len(set(dataset.triplets[:, 0].tolist()))
    assert np.load(dataset.directories["8-triplets"] / "toy_users.npy").size == statistics["toy_users"]


def test_the_size_of_a_block_changes_nothing(random_dataset):
    whole, cut = random_dataset(4), random_dataset(4, block_users=7)
    assert {n: b for n, b in whole.files().items() if n.startswith("8")} == {
        n: b for n, b in cut.files().items() if n.startswith("8")
    }


@pytest.mark.parametrize(
    ("triplets", "count", "expected"),
    [
        ("auto", TRIPLETS_IN_A_FILE, True),
        ("auto", TRIPLETS_IN_A_FILE + 1, False),
        ("file", TRIPLETS_IN_A_FILE + 1, True),
        ("drawn", 1, False),
    ],
)
def test_few_triplets_are_written_and_many_are_drawn(triplets, count, expected):
    assert in_a_file(count, DataSettings(triplets=triplets)) is expected
