"""Songs of labelled pairs are matched rightly: measured precision and recall."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trainer.dataset.labelled_names import (
    BEYOND_RULES,
    Pair,
    judge,
    made_up_rows,
    read_pairs,
    sample_rows,
    total,
)

SAMPLE = Path(__file__).parents[4] / "shared" / "data" / "sample"
MADE_UP = read_pairs("made_up_pairs.csv")
in_sample = pytest.mark.skipif(not SAMPLE.is_dir(), reason="the real data sample is not beside the checkout")


@pytest.mark.sample
@in_sample
def test_full_matching_of_the_sample_is_precise_and_finds_what_rules_can():
    counts = judge(read_pairs("labelled_pairs.csv"), sample_rows(SAMPLE, "full"))
    judged = total(counts, without=BEYOND_RULES)
    assert judged.precision >= 0.995
    assert judged.recall >= 0.95
    # Misspellings and subtitles that are left out are told by the whole catalogue.
    assert total(counts).precision >= 0.995
    assert total(counts).recall >= 0.95


@pytest.mark.sample
@in_sample
def test_plain_matching_of_the_sample_finds_next_to_none_of_the_hard_pairs():
    counts = total(judge(read_pairs("labelled_pairs.csv"), sample_rows(SAMPLE, "plain")))
    assert counts.precision == 1
    assert counts.recall < 0.05


def test_the_labelled_pairs_are_many_and_of_every_kind():
    pairs = read_pairs("labelled_pairs.csv")
    assert len(pairs) >= 500
    assert {pair.label for pair in pairs} == {"same", "different", "untold"}
    assert len({(pair.one, pair.other) for pair in pairs}) == len(pairs)


@pytest.mark.parametrize("pair", MADE_UP, ids=lambda pair: f"{pair.kind}: {pair.one} | {pair.other}")
def test_made_up_pairs_are_told(pair: Pair):
    rows = made_up_rows([pair], "full")
    assert (rows["0/one"] == rows["0/other"]) == (pair.label == "same")
