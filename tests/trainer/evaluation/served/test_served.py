"""Questions and figures of the served protocol, asked of a ranker that answers from a table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.dataset.table import COLD, IN_TEST, IN_TRAIN, IN_VALIDATION, WARM, Dataset, open_dataset
from spotify_buddies.trainer.evaluation.served import figures as figures_module
from spotify_buddies.trainer.evaluation.served.figures import Figures, judge
from spotify_buddies.trainer.evaluation.served.protocol import ServedResult, ask_likes, version_metrics
from spotify_buddies.trainer.evaluation.served.questions import Questions, nothing, questions_of_likes
from spotify_buddies.trainer.evaluation.served.ranker import MostLiked
from spotify_buddies.trainer.evaluation.served.report import BESIDE, tables
from tests.trainer.planted import Planted

Array = Any


class Knowing:
    """Answers with what each person wants, from place `first` on; candidates: the same and one more."""

    def __init__(self, data: Dataset, first: int = 1) -> None:
        self._likes, self._first = data.liked, first
        self.asked: list[tuple[int, ...]] = []

    def rank_known(self, users: Array, seen: Csr, limit: int) -> Array:
        out = np.full((users.size, limit), -1, np.int32)
        for place, user in enumerate(users.tolist()):
            kept = np.setdiff1d(self._likes.row(user), seen.row(place))
            self.asked.append((user, *seen.row(place).tolist()))
            kept = kept[: max(0, limit - self._first + 1)]
            out[place, self._first - 1 : self._first - 1 + kept.size] = kept
        return out

    def rank_strangers(self, songs: Csr, seen: Csr, limit: int) -> Array:
        raise AssertionError("nobody here is a stranger")

    def offer_known(self, users: Array, most: int) -> tuple[Csr, Array]:
        offered = Csr.from_rows([self._likes.row(user) for user in users.tolist()], self._likes.columns)
        return offered, np.where(np.arange(offered.nnz) % 2 == 0, 1, 3).astype(np.uint8)

    def offer_strangers(self, songs: Csr, most: int) -> tuple[Csr, Array]:
        raise AssertionError("nobody here is a stranger")


@pytest.fixture(scope="module")
def data(planted: Planted) -> Dataset:
    return open_dataset(planted.dataset)


def test_people_ask_for_what_training_did_not_see_and_never_for_their_own(data: Dataset) -> None:
    sets = questions_of_likes(data)
    assert set(sets) == {"likes-validation", "likes-test", "likes-cold"}
    split, kind, owner = np.asarray(data.split), np.asarray(data.user_kind), np.asarray(data.owner)
    expected = {"likes-validation": (IN_VALIDATION, {IN_TRAIN}), "likes-test": (IN_TEST, {IN_TRAIN, IN_VALIDATION})}
    for name, (held, known) in expected.items():
        questions = sets[name]
        assert questions.users is not None
        for place, user in enumerate(questions.users.tolist()):
            span = slice(int(data.liked.indptr[user]), int(data.liked.indptr[user + 1]))
            likes, uses = data.liked.indices[span], split[span]
            held_out = {int(p) for p, use in zip(likes, uses, strict=True) if use == held and owner[p] != user}
            assert set(questions.wanted.row(place).tolist()) == held_out != set()
            seen = {int(p) for p, use in zip(likes, uses, strict=True) if use in known}
            assert set(questions.seen.row(place).tolist()) == seen
            assert kind[user] == WARM
    cold = sets["likes-cold"]
    assert cold.users is not None
    assert set(kind[cold.users].tolist()) == {COLD}
    assert cold.seen.nnz == 0


def test_real_follows_are_named_so(data: Dataset) -> None:
    sets = questions_of_likes(With(data, labels="follows"))  # type: ignore[arg-type]
    assert set(sets) == {"follows-validation", "follows-test", "follows-cold"}


class With:
    """A data set that says more."""

    def __init__(self, data: Dataset, **more: Any) -> None:
        self._data = data
        vars(self).update(more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._data, name)


def test_what_people_dislike_may_not_come_back_either(data: Dataset) -> None:
    plain = questions_of_likes(data)["likes-validation"]
    assert plain.users is not None
    first = int(plain.users[0])
    disliked = Csr.from_rows([[3, 119] if user == first else [] for user in range(data.users)], data.playlists)
    asked = questions_of_likes(With(data, disliked=disliked))["likes-validation"]  # type: ignore[arg-type]
    assert set(asked.seen.row(0).tolist()) == {*plain.seen.row(0).tolist(), 3, 119}
    assert asked.seen.row(1).tolist() == plain.seen.row(1).tolist()


def test_of_too_many_people_some_are_asked_evenly_spread(data: Dataset) -> None:
    everybody, some = questions_of_likes(data)["likes-validation"], questions_of_likes(data, 7)["likes-validation"]
    assert (len(some), len(everybody)) == (7, everybody.wanted.rows)
    assert everybody.users is not None
    assert some.users is not None
    assert some.users[0] == everybody.users[0]
    assert some.users[-1] == everybody.users[-1]


def test_a_ranker_that_knows_hits_at_once_and_one_that_begins_sixth_hits_at_twenty(data: Dataset) -> None:
    questions = questions_of_likes(data)["likes-test"]
    knowing = judge(questions, data, Knowing(data)).lists["served"]
    assert [knowing[name].value for name in ("hit@1", "hit@5", "hit@20", "ndcg@10")] == [1, 1, 1, 1]
    late = judge(questions, data, Knowing(data, first=6)).lists["served"]
    assert [late[name].value for name in ("hit@1", "hit@5", "hit@20")] == [0, 0, 1]


def test_what_was_liked_before_is_handed_over_as_seen(data: Dataset) -> None:
    ranker, questions = Knowing(data), questions_of_likes(data)["likes-validation"]
    judge(questions, data, ranker)
    assert questions.users is not None
    assert (int(questions.users[0]), *questions.seen.row(0).tolist()) in ranker.asked


def test_recall_is_told_by_source(data: Dataset) -> None:
    recall = judge(questions_of_likes(data)["likes-validation"], data, Knowing(data)).recall
    assert set(recall) == {"all", "pairing", "taste"}
    assert recall["all"][75].value == recall["pairing"][75].value == 1
    assert 0 < recall["taste"][75].value < 1


def test_groups_hold_every_wanted_playlist_once(data: Dataset) -> None:
    questions = questions_of_likes(data)["likes-validation"]
    groups = judge(questions, data, Knowing(data)).groups
    assert set(groups) == {"popularity", "library", "owner"}
    for dimension in groups.values():
        assert sum(group.pairs for group in dimension) == questions.wanted.nnz
    assert [group.name for group in groups["owner"]] == ["nobody's", "owned"]


def test_the_interval_is_the_same_each_time_and_holds_the_figure(data: Dataset) -> None:
    questions = questions_of_likes(data)["likes-validation"]
    first, again = (judge(questions, data, MostAsRanker(data)) for _ in range(2))
    assert first == again
    hit = first.lists["served"]["hit@5"]
    assert hit.low < hit.value < hit.high
    assert first.lists["served"] == first.lists["popularity"]


class MostAsRanker(MostLiked):
    """Popularity, with its first twenty as candidates."""

    def __init__(self, data: Dataset) -> None:
        super().__init__(data.count_train_likes(), data.owned)
        self._playlists = data.playlists

    def offer_known(self, users: Array, most: int) -> tuple[Csr, Array]:
        rows = self.rank_known(users, nothing(users.size, self._playlists), 20)
        offered = Csr.from_rows([row[row >= 0] for row in rows], self._playlists)
        return offered, np.full(offered.nnz, 8, np.uint8)

    def offer_strangers(self, songs: Csr, most: int) -> tuple[Csr, Array]:
        return self.offer_known(np.empty(0, np.int32), most)


def test_popularity_leaves_out_what_is_owned_and_seen() -> None:
    ranker = MostLiked(np.array([5, 9, 9, 1, 0]), Csr.from_rows([[1], []], 5))
    assert ranker.rank_known(np.array([0, 1, 0]), Csr.from_rows([[2], [0, 1], []], 5), 2).tolist() == [
        [0, 3],
        [2, 3],
        [2, 0],
    ]
    assert ranker.rank_strangers(nothing(1, 3), Csr.from_rows([[0, 1, 2]], 5), 3).tolist() == [[3, 4, -1]]


def test_the_share_of_the_wanted_playlists_owner_needs_a_single_wanted_one(data: Dataset) -> None:
    owned = np.flatnonzero(np.asarray(data.owner) >= 0)[:3].astype(np.int32)
    users = np.array([100, 101, 102], np.int32)
    wanted = Csr(np.arange(4), owned, data.playlists)
    questions = Questions(users, data.user_songs.take(users), wanted, nothing(3, data.playlists))
    theirs = judge(questions, data, Fixed(data, [[owned[0], 119], [118, 119], [owned[2], -1]])).owner_of_wanted
    assert theirs is not None
    assert theirs.value == pytest.approx((0.5 + 0 + 1) / 3)


class Fixed(MostAsRanker):
    """The same lists whoever asks; each person the next one."""

    def __init__(self, data: Dataset, rows: list[list[int]]) -> None:
        super().__init__(data)
        self._rows = rows

    def rank_known(self, users: Array, seen: Csr, limit: int) -> Array:
        out = np.full((users.size, limit), -1, np.int32)
        for place, row in enumerate(self._rows):
            out[place, : len(row)] = row
        return out


@pytest.fixture(scope="module")
def asked(data: Dataset) -> dict[str, Figures]:
    return ask_likes(data, Knowing(data))


def test_a_version_says_what_it_serves_with_its_error(asked: dict[str, Figures]) -> None:
    metrics = version_metrics(asked)
    assert metrics["served/hit@5"] == metrics["served/hit@20"] == 1
    assert metrics["served/hit@5_se"] == 0
    assert not [name for name in metrics if name.endswith("_popularity")], "these likes are simulated"
    assert {"served/coverage", "served/gini", "served/ndcg@10_se", "served/same_owner"} <= set(metrics)
    assert version_metrics({}) == {}
    followed = version_metrics({"follows-validation": asked["likes-validation"]})
    assert followed.items() > metrics.items()
    assert 0 < followed["served/hit@5_popularity"] < 1


def test_among_fifty_never_stands_without_saying_what_it_is_not(asked: dict[str, Figures]) -> None:
    result = ServedResult(asked, {})
    assert "one_against_50_not_what_people_get" in result.to_json()
    titles = [title for title, _, _ in tables(result)]
    assert titles[0].startswith("All playlists")
    assert BESIDE not in titles, "there is none here"
    assert len(tables(result, brief=True)) == 2
    for _, lines, names in tables(result):
        assert len({len(line) for line in lines}) == 1
        assert names < len(lines[0])


def test_nearness_and_lengths_are_those_of_the_docs() -> None:
    assert (figures_module.SHORT, figures_module.LONG, figures_module.NEAR) == (5, 20, 0.5)
