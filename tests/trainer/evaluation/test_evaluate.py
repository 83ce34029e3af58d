"""Baselines, intervals and the table of an evaluation."""

from __future__ import annotations

import json

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages.stage import StageError
from spotify_buddies.trainer.candidates.popular import most_popular
from spotify_buddies.trainer.dataset.table import open_dataset
from spotify_buddies.trainer.evaluation.baselines import OverlapScorer, PopularityScorer, RandomScorer
from spotify_buddies.trainer.evaluation.evaluate import cold_batch, compare, estimate, evaluate
from spotify_buddies.trainer.models.model import Model


@pytest.fixture(scope="module")
def evaluation(planted):
    """A model that knows the planted genres."""
    taste = np.eye(6, dtype=np.float32)
    model = Model(taste[np.arange(240) % 6], taste[np.arange(120) % 6])
    return evaluate(planted.dataset, model, Csr.load(planted.pairing / "candidates", "candidates"))


def test_every_filled_set_has_model_and_baselines(evaluation):
    assert list(evaluation.batches) == ["random", "hard", "test-random", "cold"]
    assert evaluation.batches["random"].rows == 456
    assert evaluation.batches["random"].users == 228
    assert list(evaluation.batches["hard"].scorers) == ["model", "popularity", "overlap", "chance"]


def test_the_right_taste_beats_shared_songs_beats_chance(evaluation):
    mrr = {name: found["mrr"].value for name, found in evaluation.batches["random"].scorers.items()}
    assert mrr["model"] == 1
    assert mrr["model"] > mrr["overlap"] > 0.7
    # One of 21 at random: the mean of 1/r is (1 + 1/2 + .. + 1/21) / 21.
    assert mrr["chance"] == pytest.approx(sum(1 / r for r in range(1, 22)) / 21, abs=0.03)


def test_a_value_lies_within_its_interval(evaluation):
    for result in evaluation.batches.values():
        for found in result.scorers.values():
            assert all(e.low <= e.value <= e.high for e in found.values())


def test_the_table_has_a_line_per_set_and_scorer(evaluation):
    lines = evaluation.table()
    metrics = ["mrr", "hit@1", "hit@5", "hit@10", "ndcg@5"]
    assert lines[0] == ["negatives", "scorer", *metrics, "95 % of mrr", "coverage"]
    assert len(lines) == 1 + 4 * 4
    assert lines[1][:3] == ["random", "model", "1.000"]
    assert lines[1][7] == "1.000-1.000"


def test_the_evaluation_is_json_and_the_same_each_time(evaluation, planted):
    text = json.dumps(evaluation.to_json())
    assert json.loads(text)["batches"]["random"]["scorers"]["model"]["mrr"] == [1, 1, 1]
    assert evaluation.metrics()["coverage"] == evaluation.coverage["model"]
    taste = np.eye(6, dtype=np.float32)
    again = evaluate(planted.dataset, Model(taste[np.arange(240) % 6], taste[np.arange(120) % 6]), None)
    assert again.to_json()["batches"] == evaluation.to_json()["batches"]
    assert again.coverage == {}
    assert again.table()[1][-1] == "-"


def test_a_version_says_how_certain_its_mrrs_are_and_what_the_baselines_reach(evaluation):
    metrics = evaluation.version_metrics()
    assert {name: metrics[name] for name in evaluation.metrics()} == evaluation.metrics()
    scorers = evaluation.batches["random"].scorers
    assert metrics["random/mrr_popularity"] == scorers["popularity"]["mrr"].value
    assert metrics["random/mrr_overlap"] == scorers["overlap"]["mrr"].value
    popularity = scorers["popularity"]["mrr"]
    assert popularity.standard_error == pytest.approx((popularity.high - popularity.low) / 3.92)
    assert metrics["random/mrr_se"] == 0, "this model knows the planted genres"


def test_an_unfinished_data_set_is_named(tmp_path):
    model = Model(np.zeros((1, 2), np.float32), np.zeros((1, 2), np.float32))
    with pytest.raises(StageError, match=r"no finished stage .* here; build the data set with `buddies data build`"):
        evaluate(tmp_path, model, None)


@pytest.mark.parametrize(("users", "playlists"), [(239, 120), (240, 121)])
def test_factors_of_other_sizes_are_refused(planted, users, playlists):
    model = Model(np.zeros((users, 2), np.float32), np.zeros((playlists, 2), np.float32))
    with pytest.raises(StageError, match=f"240 users and 120 playlists, but factors of {users} users and {playlists}"):
        evaluate(planted.dataset, model, None)


def test_candidates_of_other_sizes_are_refused(planted):
    model = Model(np.zeros((240, 2), np.float32), np.zeros((120, 2), np.float32))
    with pytest.raises(StageError, match="but candidates of 1 users and 120 playlists"):
        evaluate(planted.dataset, model, Csr.from_rows([[0]], 120))


def test_popularity_is_the_number_of_likes_for_everyone():
    assert PopularityScorer(np.array([1, 0, 2, 0]))(np.array([0, 9]), np.array([2, 3])).tolist() == [2, 0]


def test_most_popular_breaks_ties_by_row_and_leaves_out_the_unliked():
    assert most_popular(np.array([1, 0, 3, 1])).tolist() == [2, 0, 3]
    assert most_popular(np.array([1, 0, 3, 1]), 1).tolist() == [2]
    assert most_popular(np.array([0, 0])).tolist() == []


def test_overlap_counts_shared_songs():
    scorer = OverlapScorer(Csr.from_rows([[0, 1, 4], []], 5), Csr.from_rows([[1, 4], [2]], 5))
    assert scorer(np.array([0, 0, 1]), np.array([0, 1, 0])).tolist() == [2, 0, 0]


def test_chance_is_uniform_and_the_same_when_asked_again():
    scorer = RandomScorer(1)
    users, playlists = np.divmod(np.arange(20_000, dtype=np.int32), 100)
    drawn = scorer(users, playlists)
    assert np.array_equal(drawn, scorer(users, playlists))
    assert 0 <= drawn.min() < drawn.max() < 1
    assert drawn.mean() == pytest.approx(0.5, abs=0.01)
    assert not np.array_equal(drawn, RandomScorer(2)(users, playlists))


def test_an_interval_over_users_is_wider_than_over_rows():
    """Ten users with a hundred equal rows each are ten observations, not a thousand."""
    values = {"mrr": np.repeat(np.linspace(0, 1, 10), 100)}
    clustered = estimate(values, np.repeat(np.arange(10), 100))["mrr"]
    single = estimate(values, np.arange(1_000))["mrr"]
    assert clustered.value == single.value == 0.5
    assert clustered.high - clustered.low > 5 * (single.high - single.low)


def test_one_row_has_a_point_for_an_interval():
    found = compare(np.array([[0, 1, 2]], np.int32), {"chance": RandomScorer(0)})
    assert (found.rows, found.users) == (1, 1)
    only = found.scorers["chance"]["mrr"]
    assert only.low == only.value == only.high


def test_a_cold_batch_asks_cold_users_about_their_kept_likes_among_playlists_they_do_not_like(planted):
    data = open_dataset(planted.dataset)
    rows = cold_batch(data)
    cold = np.flatnonzero(np.asarray(data.user_kind) == 2)
    liked = {int(u): set(data.liked.row(u).tolist()) for u in cold}
    owned = {int(u): set(data.owned.row(u).tolist()) for u in cold}
    assert set(rows[:, 0].tolist()) == set(cold.tolist())
    assert len(rows) == sum(len(liked[u] - owned[u]) for u in liked)
    for user, positive, *negatives in rows.tolist():
        assert positive in liked[user]
        assert len(set(negatives)) == data.validation.shape[1] - 2
        assert not set(negatives) & (liked[user] | owned[user])
    assert (cold_batch(data) == rows).all()
    assert 0 < len(cold_batch(data, rows=7)) <= 7


def test_peers_stand_beside_the_model(planted):
    right, wrong = np.eye(6, dtype=np.float32), np.roll(np.eye(6, dtype=np.float32), 1, axis=0)
    model = Model(right[np.arange(240) % 6], right[np.arange(120) % 6])
    peer = Model(right[np.arange(240) % 6], wrong[np.arange(120) % 6])
    found = evaluate(planted.dataset, model, None, peers={"wrong": peer}).batches["random"].scorers
    assert list(found) == ["model", "wrong", "popularity", "overlap", "chance"]
    assert found["wrong"]["mrr"].value < found["chance"]["mrr"].value < found["model"]["mrr"].value
