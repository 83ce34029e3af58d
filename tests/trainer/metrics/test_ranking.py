"""Ranks and what follows from them, worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.metrics import ranking
from spotify_buddies.trainer.metrics.ranking import FactorScorer, coverage, per_row, ranks, summarise
from spotify_buddies.trainer.models.model import Model


def by_table(table):
    """A scorer that reads its scores from users x playlists."""
    return lambda users, playlists: np.asarray(table, float)[users, playlists]


def batch(*rows):
    return np.array(rows, np.int32)


def test_second_place_scores_one_half():
    found = ranks(batch([0, 1, 0, 2]), by_table([[9.0, 5.0, 1.0]]))
    assert found.tolist() == [2]
    assert summarise(found)["mrr"] == 0.5


def test_each_metric_worked_by_hand():
    found = np.array([1.0, 2.0, 5.0, 6.0, 11.0])
    values = summarise(found)
    assert values["mrr"] == pytest.approx((1 + 1 / 2 + 1 / 5 + 1 / 6 + 1 / 11) / 5)
    assert (values["hit@1"], values["hit@5"], values["hit@10"]) == (0.2, 0.6, 0.8)
    assert values["ndcg@5"] == pytest.approx((1 + 1 / math.log2(3) + 1 / math.log2(6)) / 5)


def test_a_constant_scorer_has_the_middle_rank():
    rows = np.tile(np.arange(52, dtype=np.int32) % 7, (3, 1))
    found = ranks(rows, lambda users, playlists: np.zeros(users.size))
    assert found.tolist() == [26, 26, 26]
    assert summarise(found)["hit@10"] == 0


def test_a_scorer_of_nan_ranks_last():
    found = ranks(batch([0, 1, 2, 3]), lambda users, playlists: np.full(users.size, np.nan))
    assert found.tolist() == [3]


def test_no_rows_give_no_metrics():
    empty = np.empty((0, 52), np.int32)
    assert summarise(ranks(empty, by_table([[0.0]]))) == {}


def test_no_negatives_put_every_positive_first():
    assert ranks(batch([0, 1]), by_table([[1.0, 0.0]])).tolist() == [1]


@settings(deadline=None)  # the first call may compile
@given(st.integers(1, 5), st.integers(0, 2**16))
def test_blocks_change_nothing(pairs, seed):
    rng = np.random.default_rng(seed)
    table = rng.integers(0, 4, (5, 9)).astype(float)
    rows = np.column_stack([rng.integers(0, 5, 23), rng.integers(0, 9, (23, 4))]).astype(np.int32)
    whole = ranks(rows, by_table(table))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "_BLOCK_PAIRS", pairs)
        assert np.array_equal(ranks(rows, by_table(table)), whole)


@settings(deadline=None)  # the first call may compile
@given(st.lists(st.integers(-3, 3), min_size=2, max_size=30))
def test_a_rank_lies_between_its_best_and_worst_case(scores):
    table = [scores]
    (rank,) = ranks(batch([0, *range(len(scores))]), by_table(table))
    better = sum(score > scores[0] for score in scores[1:])
    tied = sum(score == scores[0] for score in scores[1:])
    assert 1 + better <= rank <= 1 + better + tied
    assert rank == 1 + better + tied / 2


def test_each_row_keeps_its_own_values():
    values = per_row(np.array([1.0, 4.0]))
    assert values["mrr"].tolist() == [1, 0.25]
    assert values["hit@1"].tolist() == [1, 0]


def test_the_factor_scorer_is_the_dot_product():
    model = Model(np.array([[1, 2]], np.float32), np.array([[3, 4], [0, -1]], np.float32))
    assert FactorScorer(model)(np.array([0, 0], np.int32), np.array([0, 1], np.int32)).tolist() == [11, -2]


def test_coverage_counts_shown_of_reachable():
    """Playlists 0..3 are candidates, 4 is nobody's. Each user sees one: 1 and 1."""
    candidates = Csr.from_rows([[0, 1], [], [1, 2, 3]], 5)
    assert coverage(candidates, by_table([[0, 9, 0, 0, 0], [0] * 5, [0, 9, 1, 1, 99]]), top=1) == 0.25
    assert coverage(candidates, by_table(np.zeros((3, 5))), top=5) == 1


def test_coverage_of_no_candidates_is_zero():
    assert coverage(Csr.from_rows([[], []], 3), by_table(np.zeros((2, 3)))) == 0


def test_coverage_does_not_depend_on_blocks(monkeypatch):
    rng = np.random.default_rng(3)
    candidates = Csr.from_rows([np.unique(rng.integers(0, 40, 9)) for _ in range(30)], 40)
    table = rng.random((30, 40))
    whole = coverage(candidates, by_table(table), top=2)
    monkeypatch.setattr(ranking, "_BLOCK_PAIRS", 10)
    assert coverage(candidates, by_table(table), top=2) == whole
