"""The place of the liked playlist within its list: against loops, and free of what was shown first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.bundle import Bundle
from spotify_buddies.trainer.bundle.songs import SongFactors
from spotify_buddies.trainer.dataset.table import Dataset, open_dataset
from spotify_buddies.trainer.retrain.in_list import in_lists
from tests.trainer.hand_made import hand_made
from tests.trainer.planted import PLAYLISTS, SONGS, USERS, Planted

BIAS = 0.5
EVERYBODY, ALL = range(USERS), range(PLAYLISTS)


@pytest.fixture(scope="module")
def data(planted: Planted) -> Dataset:
    return open_dataset(planted.dataset)


def blocks(said: list[tuple[int, int, list[int], int | None]]) -> pl.DataFrame:
    """Rows of user, liked, ignored and rank, by the planted rows."""
    return pl.DataFrame(
        [
            (f"user-{user}", [f"playlist-{liked}"], [f"playlist-{one}" for one in ignored], rank)
            for user, liked, ignored, rank in said
        ],
        schema={
            "user_id": pl.String(),
            "liked": pl.List(pl.String()),
            "ignored": pl.List(pl.String()),
            "rank": pl.Int64(),
        },
        orient="row",
    )


def some_blocks(rng: np.random.Generator, count: int) -> list[tuple[int, int, list[int], int | None]]:
    found: list[tuple[int, int, list[int], int | None]] = []
    for _ in range(count):
        shown = rng.choice(PLAYLISTS, int(rng.integers(2, 6)), replace=False).tolist()
        rank = int(rng.integers(len(shown)))
        found.append((int(rng.integers(USERS)), shown[rank], shown[:rank] + shown[rank + 1 :], rank + 1))
    return found


def by_loops(said: list[tuple[int, int, list[int], int | None]], bundle: Bundle) -> float:
    """The weighted MRR, one block and one playlist at a time."""
    users = {name: row for row, name in enumerate(bundle.user_ids.table)}
    lists = {name: row for row, name in enumerate(bundle.playlist_ids.table)}

    def score(user: int, playlist: int) -> float:
        row, column = users[f"user-{user}"], lists.get(f"playlist-{playlist}")
        if column is None:
            return -np.inf
        value = float(bundle.user_factors[row].astype(np.float64) @ bundle.playlist_factors[column].astype(np.float64))
        offered = bundle.candidates.row(row).tolist()
        if bundle.candidate_offsets is not None and column in offered:
            value += float(bundle.candidate_offsets[bundle.candidates.indptr[row] + offered.index(column)])
        return value

    total = weight = 0.0
    for user, liked, ignored, rank in said:
        if rank is None or not ignored:
            continue
        own, others = score(user, liked), [score(user, one) for one in ignored]
        place = 1 + sum(one > own for one in others) + 0.5 * sum(one == own for one in others)
        total += rank**BIAS / place
        weight += rank**BIAS
    return total / weight


def random_bundle(directory: Path, data: Dataset, seed: int, **rest: object) -> Bundle:
    rng = np.random.default_rng(seed)
    playlists = rest.pop("playlists", ALL)
    users, lists = rng.normal(size=(USERS, 4)), rng.normal(size=(len(playlists), 4))  # type: ignore[arg-type]
    return hand_made(directory, data, users, lists, users=EVERYBODY, playlists=playlists, **rest)  # type: ignore[arg-type]


def test_the_figures_are_those_of_loops_with_offsets_and_unknown_playlists_last(data: Dataset, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    known = rng.permutation(PLAYLISTS)[: PLAYLISTS - 30].tolist()
    picked = [np.sort(rng.choice(len(known), 40, replace=False)) for _ in EVERYBODY]
    rows = Csr.from_rows(picked, len(known))
    offered = Csr(rows.indptr, rows.indices, rows.columns, rng.normal(0, 5, rows.nnz).astype(np.float32))
    new = random_bundle(tmp_path / "new", data, 2, playlists=known, offered=offered)
    serving = random_bundle(tmp_path / "serving", data, 3)
    said = some_blocks(rng, 300)
    # Neither says where the liked playlist was among others.
    left_out = [(0, 1, [2, 3], None), (0, 1, [], 1)]
    found = in_lists(blocks([*said, *left_out]), data, new, serving, BIAS)
    assert found is not None
    assert (found.blocks, found.people) == (300, len({user for user, *_ in said}))
    wanted = by_loops(said, new), by_loops(said, serving)
    assert (found.new.value, found.serving.value) == pytest.approx(wanted, abs=2e-6)
    assert found.difference.value == pytest.approx(wanted[0] - wanted[1], abs=3e-6)
    # The offsets are large: without them the figure is another.
    assert new.candidate_offsets is not None
    assert found.new.low < found.new.value < found.new.high
    plain = in_lists(blocks(said), data, random_bundle(tmp_path / "plain", data, 2, playlists=known), serving, BIAS)
    assert plain is not None
    assert abs(plain.new.value - found.new.value) > 1e-3


def test_of_equal_scores_the_liked_one_is_in_the_middle(data: Dataset, tmp_path: Path) -> None:
    same = hand_made(
        tmp_path / "same", data, np.ones((USERS, 1)), np.ones((PLAYLISTS, 1)), users=EVERYBODY, playlists=ALL
    )
    none = hand_made(tmp_path / "none", data, np.ones((USERS, 1)), np.ones((1, 1)), users=EVERYBODY, playlists=[119])
    found = in_lists(blocks([(0, 1, [2, 3, 4, 5], 1), (1, 6, [7, 8, 9, 10], 4)]), data, same, none, BIAS)
    assert found is not None
    # Five of one score, and five that nobody knows.
    assert (found.new.value, found.serving.value) == pytest.approx((1 / 3, 1 / 3), abs=1e-6)
    partly = in_lists(blocks([(0, 119, [2, 3], 1), (1, 2, [119], 1)]), data, same, none, BIAS)
    assert partly is not None
    assert partly.serving.value == pytest.approx((1 + 1 / 2) / 2)


def test_without_a_block_that_has_a_rank_there_is_nothing_to_say(data: Dataset, tmp_path: Path) -> None:
    bundle = random_bundle(tmp_path / "one", data, 1)
    assert in_lists(blocks([(0, 1, [2], None), (1, 1, [], 1)]), data, bundle, bundle, BIAS) is None
    assert in_lists(blocks([]), data, bundle, bundle, BIAS) is None


def test_a_listener_whom_the_bundle_does_not_know_is_the_sum_of_their_songs(data: Dataset, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    factors = SongFactors(
        rng.normal(size=(SONGS, 2)).astype(np.float16),
        rng.normal(size=(SONGS, 2)).astype(np.float16),
        np.ones(SONGS, np.float32),
        np.ones(1, np.float32),
    )
    lists = rng.normal(size=(PLAYLISTS, 4))
    known = list(range(0, USERS, 2))
    users = rng.normal(size=(len(known), 4))
    bundle = hand_made(tmp_path / "half", data, users, lists, users=known, playlists=ALL, song_factors=factors)
    all_of_them = factors(data.user_songs)
    all_of_them[known] = users
    whole = hand_made(tmp_path / "whole", data, all_of_them, lists, users=EVERYBODY, playlists=ALL)
    said = some_blocks(rng, 200)
    assert any(user % 2 for user, *_ in said)
    found = in_lists(blocks(said), data, bundle, whole, BIAS)
    assert found is not None
    assert found.new.value == pytest.approx(by_loops(said, whole), abs=2e-6)
    assert found.difference.value == pytest.approx(0, abs=2e-6)


def test_a_bundle_against_itself_differs_by_nothing_and_a_better_one_by_more(data: Dataset, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    said = some_blocks(rng, 400)
    one = random_bundle(tmp_path / "one", data, 6)
    same = in_lists(blocks(said), data, one, one, BIAS)
    assert same is not None
    assert (same.difference.low, same.difference.value, same.difference.high) == (0, 0, 0)
    # A dimension for each user, in which the liked playlists stand.
    lists = np.zeros((PLAYLISTS, USERS))
    for user, liked, *_ in said:
        lists[liked, user] = 1
    knows = hand_made(tmp_path / "knows", data, np.eye(USERS), lists, users=EVERYBODY, playlists=ALL)
    better = in_lists(blocks(said), data, knows, one, BIAS)
    assert better is not None
    assert better.new.value > 0.95
    assert better.difference.low > 0.2


def test_weights_take_out_that_people_look_at_the_first_ones_more(data: Dataset, tmp_path: Path) -> None:
    """Two orders of equal quality, of which one was shown: weighted they are equal, unweighted the shown one leads."""
    rng = np.random.default_rng(7)
    relevance = rng.normal(size=(USERS, PLAYLISTS))
    shown_order, other_order = (relevance + rng.normal(size=relevance.shape) for _ in range(2))
    users = rng.integers(USERS, size=8_000)[:, None]
    drawn = np.argsort(rng.random((users.size, PLAYLISTS)), axis=1)[:, :5]
    shown = np.take_along_axis(drawn, np.argsort(-shown_order[users, drawn], axis=1), axis=1)
    # Whoever sees the one that suits best likes it; it is seen less the lower it stands.
    best = np.argmax(relevance[users, shown], axis=1)
    seen = np.flatnonzero(rng.random(users.size) < (best + 1) ** -BIAS)
    said: list[tuple[int, int, list[int], int | None]] = [
        (int(users[i, 0]), int(shown[i, best[i]]), np.delete(shown[i], best[i]).tolist(), int(best[i]) + 1)
        for i in seen.tolist()
    ]
    shown_one, other_one = (
        hand_made(tmp_path / name, data, np.eye(USERS), order.T, users=EVERYBODY, playlists=ALL)
        for name, order in (("shown", shown_order), ("other", other_order))
    )
    weighted = in_lists(blocks(said), data, other_one, shown_one, BIAS)
    unweighted = in_lists(blocks(said), data, other_one, shown_one, 0)
    assert weighted is not None
    assert unweighted is not None
    assert weighted.difference.low < 0 < weighted.difference.high
    assert abs(weighted.difference.value) < 0.015
    assert unweighted.difference.high < 0
    assert unweighted.difference.value < -0.03
