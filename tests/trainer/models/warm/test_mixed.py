"""What people said with implicit likes between: shares, order, and nothing lost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.dataset.table import Dataset, Pools, open_dataset
from spotify_buddies.trainer.models import order
from spotify_buddies.trainer.models.order import TripletFile
from spotify_buddies.trainer.models.warm.mixed import Mixed, implicit_likes
from spotify_buddies.trainer.models.warm.warm import Warm
from tests.trainer.hand_made import hand_made
from tests.trainer.planted import PLAYLISTS, USERS, Planted

# Users under 100 said something, the others are of implicit likes.
PEOPLE, LISTS = 200, 50
WEIGHTS = [0.5, 1.0, 4.0, 30.0]


@pytest.fixture
def blocks_of_64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "BLOCK", 64)


def triplets(seed: int, count: int, users: tuple[int, int]) -> np.ndarray:
    """All of them different."""
    rng = np.random.default_rng(seed)
    pairs = rng.choice((users[1] - users[0]) * LISTS, count, replace=False)
    return np.stack([users[0] + pairs // LISTS, pairs % LISTS, rng.integers(0, LISTS, count)], axis=1).astype(np.int32)


def mixed(weight: float, said: int = 1_000, implicit: int = 700, most: int | None = None) -> Mixed:
    return Mixed(
        TripletFile(triplets(1, said, (0, 100)), PEOPLE, LISTS, most),
        TripletFile(triplets(2, implicit, (100, 200)), PEOPLE, LISTS),
        weight,
    )


def is_said(block: np.ndarray) -> np.ndarray:
    return block[:, 0] < 100


def in_order(rows: np.ndarray) -> list[tuple[int, ...]]:
    return sorted(map(tuple, rows.tolist()))


@pytest.mark.usefixtures("blocks_of_64")
@pytest.mark.parametrize("weight", WEIGHTS)
def test_every_block_holds_as_much_of_each_as_the_weight_says(weight: float) -> None:
    blocks = list(mixed(weight).blocks(3, 1))
    assert len(blocks) == 16
    for block in blocks:
        said = is_said(block).sum()
        assert (block.dtype, block.shape[1]) == (np.int32, 3)
        assert len(block) - said == round(said / weight)
    assert {int(is_said(block).sum()) for block in blocks} == {64, 1_000 % 64}


@pytest.mark.usefixtures("blocks_of_64")
@pytest.mark.parametrize("weight", WEIGHTS)
def test_an_epoch_holds_everything_that_was_said_once(weight: float) -> None:
    source = mixed(weight)
    for epoch in (1, 2):
        rows = np.concatenate(list(source.blocks(3, epoch)))
        assert in_order(rows[is_said(rows)]) == in_order(triplets(1, 1_000, (0, 100)))


@pytest.mark.usefixtures("blocks_of_64")
def test_implicit_likes_come_pass_after_pass_without_a_gap() -> None:
    # 2,000 of 700: each comes twice or three times.
    rows = np.concatenate(list(mixed(0.5).blocks(3, 1)))
    rows = rows[~is_said(rows)]
    found, times = np.unique(rows, axis=0, return_counts=True)
    assert in_order(found) == in_order(triplets(2, 700, (100, 200)))
    assert set(times.tolist()) == {2, 3}
    # Nothing between the blocks is lost: the first 700 are one pass.
    assert in_order(rows[:700]) == in_order(triplets(2, 700, (100, 200)))


@pytest.mark.usefixtures("blocks_of_64")
def test_seed_and_epoch_alone_decide_the_order() -> None:
    one, again, of_seed, of_epoch = (
        np.concatenate(list(mixed(2.0).blocks(seed, epoch))) for seed, epoch in ((3, 2), (3, 2), (4, 2), (3, 1))
    )
    np.testing.assert_array_equal(one, again)
    for other in (of_seed, of_epoch):
        for part in (is_said, lambda rows: ~is_said(rows)):
            assert not np.array_equal(one[part(one)], other[part(other)])


@pytest.mark.usefixtures("blocks_of_64")
def test_epochs_of_parts_make_up_a_pass_and_say_how_long_they_are() -> None:
    source = mixed(4.0, most=300)
    assert len(source) == 1_250
    epochs = [np.concatenate(list(source.blocks(3, epoch))) for epoch in range(1, 5)]
    said = np.concatenate([rows[is_said(rows)] for rows in epochs])
    assert in_order(said) == in_order(triplets(1, 1_000, (0, 100)))
    for number, rows in enumerate(epochs, 1):
        part = source.part(number)
        assert part.number == 1
        # The last block of an epoch is rounded by itself.
        assert abs(len(part) - len(rows)) <= len(rows) // 64 + 1


def test_who_and_what_is_seen_is_what_either_has() -> None:
    source = mixed(1.0, said=20, implicit=30)
    users, lists = source.seen()
    both = np.concatenate([triplets(1, 20, (0, 100)), triplets(2, 30, (100, 200))])
    np.testing.assert_array_equal(np.flatnonzero(users), np.unique(both[:, 0]))
    np.testing.assert_array_equal(np.flatnonzero(lists), np.unique(both[:, 1:]))


@pytest.fixture(scope="module")
def standing(planted: Planted) -> Dataset:
    """Half of the likes are positives; the pools are some lists of other genres."""
    data = open_dataset(planted.dataset)
    liked = [np.sort(data.liked.row(user)[:5]) for user in range(USERS)]
    hard = [np.setdiff1d(np.arange(user % 7, PLAYLISTS, 9), data.liked.row(user)) for user in range(USERS)]
    easy = [np.setdiff1d(np.arange(user % 5, PLAYLISTS, 8), data.liked.row(user)) for user in range(USERS)]
    # Nobody knows what to compare the likes of user 4 with.
    hard[4] = easy[4] = np.empty(0, np.int64)
    liked[4] = liked[4][:0]
    pools = [Csr.from_rows(rows, PLAYLISTS) for rows in (liked, hard, easy)]
    return replace(data, pools=Pools(*pools, np.empty(0, np.int32), 4, 0.5))


def renamed(data: Dataset, users: np.ndarray, playlists: np.ndarray) -> Dataset:
    """The same data set with these rows of its tables, as one that was built later has them."""
    later = replace(data, user_songs=data.user_songs.take(users), playlist_songs=data.playlist_songs.take(playlists))
    vars(later)["user_table"], vars(later)["playlist_table"] = data.user_table[users], data.playlist_table[playlists]
    return later


def test_implicit_likes_are_those_of_the_earlier_data_set_over_the_rows_now(standing: Dataset) -> None:
    rng = np.random.default_rng(5)
    users, lists = rng.permutation(USERS)[:200], rng.permutation(PLAYLISTS)[:100]
    drawn = implicit_likes(standing, renamed(standing, users, lists))
    assert drawn is not None
    assert standing.pools is not None
    assert (drawn.negatives, drawn.hard_share) == (4, 0.5)
    for earlier, now in (
        (standing.pools.positives, drawn.positives),
        (standing.pools.hard, drawn.hard),
        (standing.pools.easy, drawn.easy),
    ):
        assert (now.rows, now.columns) == (200, 100)
        for row, user in enumerate(users):
            assert set(lists[now.row(row)]) == set(earlier.row(user)) & set(lists.tolist())
    rows = np.concatenate(list(drawn.blocks(1, 1)))
    assert all(positive in drawn.positives.row(user) for user, positive, _ in rows.tolist())


def test_what_people_said_they_dislike_is_no_implicit_like(standing: Dataset) -> None:
    assert standing.pools is not None
    liked = standing.pools.positives
    first = Csr.from_rows([liked.row(user)[:1] if user % 2 else [] for user in range(USERS)], PLAYLISTS)
    drawn = implicit_likes(standing, replace(standing, disliked_pairs=first))
    assert drawn is not None
    for user in range(USERS):
        assert drawn.positives.row(user).tolist() == liked.row(user)[user % 2 :].tolist()
    assert implicit_likes(standing, replace(standing, disliked_pairs=liked)) is None


def test_likes_of_whom_nothing_can_be_compared_with_are_left_out(standing: Dataset) -> None:
    assert standing.pools is not None
    kept = standing.pools.hard.counts > 0
    kept[::3] = False
    nothing = Csr(np.zeros(USERS + 1, np.int64), np.empty(0, np.int32), PLAYLISTS)
    few = replace(standing, pools=replace(standing.pools, hard=standing.pools.hard.only(kept), easy=nothing))
    drawn = implicit_likes(few, standing)
    assert drawn is not None
    np.testing.assert_array_equal(drawn.positives.counts > 0, kept)


def test_without_pools_or_common_ids_there_are_no_implicit_likes(standing: Dataset) -> None:
    assert implicit_likes(replace(standing, pools=None), standing) is None
    strangers = replace(standing)
    vars(strangers)["user_table"] = standing.user_table.with_columns(user_id="x" + standing.user_table["user_id"])
    assert implicit_likes(standing, strangers) is None


def test_a_retraining_mixes_where_it_has_a_weight_and_likes_and_its_key_tells_them_apart(
    standing: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> None:
    bundle = hand_made(
        tmp_path_factory.mktemp("bundle") / "one",
        standing,
        np.ones((USERS, 1)),
        np.ones((PLAYLISTS, 1)),
        users=range(USERS),
        playlists=range(PLAYLISTS),
    )
    said = TripletFile(triplets(1, 20, (0, 100)), USERS, PLAYLISTS)
    source = Warm(bundle, standing, 4.0).beside(said, standing)
    assert isinstance(source, Mixed)
    assert (source.said, source.weight) == (said, 4.0)
    alone = [Warm(bundle), Warm(bundle, standing), Warm(bundle, weight=4.0)]
    assert all(warm.beside(said, standing) is said for warm in alone)
    assert Warm(bundle, replace(standing, pools=None), 4.0).beside(said, standing) is said
    # What gives the same training has one key.
    assert len({warm.key for warm in (*alone[:2], Warm(bundle, standing, 4.0), Warm(bundle, standing, 1.0))}) == 3
    assert [Warm(bundle, standing, weight).named_weight for weight in (None, 4.0, 0.25)] == ["alone", "4", "0.25"]
