"""Which words may be one another misspelled, and which names are compared at all."""

from __future__ import annotations

import pytest

from spotify_buddies.foundation.text.slips import find_slip, find_slip_in, near_pairs


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        ("tennille", "tenille", "doubled"),
        ("shinin", "shinnin", "doubled"),
        ("captain", "captian", "turned"),
        ("dutch", "duth", "letter"),
        ("foxy", "foxey", "letter"),
        ("misirlou", "miserlou", "letter"),
    ],
)
def test_one_letter_more_less_or_in_another_place_is_a_slip_both_ways(one, other, kind):
    forth, back = find_slip(one, other), find_slip(other, one)
    assert forth is not None
    assert back is not None
    assert (forth.kind, back.kind) == (kind, kind)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("dream", "dreams"),
        ("fade", "faded"),
        ("love", "lover"),
        ("hermano", "hermana"),
        ("mine", "fine"),
        ("trillo", "rillo"),
        ("princes", "princess"),
        ("claus", "clause"),
        ("dead", "deaf"),
        ("xix", "xxix"),
        ("ill", "iill"),
        ("part1", "part2"),
        ("live", "love"),
        ("bad", "band"),
        ("from", "form"),
        ("песня", "песни"),
        ("doors", "doors"),
        ("windows", "winds"),
    ],
)
def test_endings_first_letters_numbers_and_short_words_are_no_slips(one, other):
    assert find_slip(one, other) is None
    assert find_slip(other, one) is None


def test_names_differ_by_a_slip_where_one_word_alone_does():
    slip = find_slip_in(["double", "dutch", "bus"], ["double", "duth", "bus"])
    assert slip is not None
    assert (slip.one, slip.other) == ("dutch", "duth")
    assert find_slip_in(["double", "dutch", "bus"], ["dooble", "duth", "bus"]) is None
    assert find_slip_in(["double", "dutch"], ["double", "dutch"]) is None
    assert find_slip_in(["over", "night"], ["overnight"]) is None
    assert find_slip_in([], []) is None


def test_every_pair_with_one_slip_is_compared_wherever_it_is():
    name = "therainbowoversouth"
    slips = {name[:i] + name[i + 1 :] for i in range(len(name))}
    slips |= {name[:i] + name[i + 1] + name[i] + name[i + 2 :] for i in range(len(name) - 1)}
    slips |= {name[:i] + "q" + name[i + 1 :] for i in range(len(name))}
    for slip in slips - {name}:
        assert near_pairs([name, "somethingelse", slip]) == [tuple(sorted((name, slip)))]
    assert near_pairs([]) == near_pairs([name]) == near_pairs([name, name]) == []


def test_names_of_other_digits_are_not_compared():
    assert near_pairs(["mantra 1", "mantra 2", "mantra 12", "manta 1"]) == [("manta 1", "mantra 1")]


def test_a_large_block_gives_the_pairs_that_small_ones_would():
    series = [
        f"{'white noise for the night '.replace(' ', '')}{a}{b}{c}" for a in "abcdef" for b in "abcde" for c in "ab"
    ]
    one_letter_apart = {
        tuple(sorted((one, other)))
        for one in series
        for other in series
        if sum(a != b for a, b in zip(one, other, strict=True)) == 1
        or (one[-3:-1] == other[-3:-1][::-1] and one[-1] == other[-1] and one != other)
        or (one[-2:] == other[-2:][::-1] and one[-3] == other[-3] and one != other)
    }
    assert near_pairs(series) == sorted(one_letter_apart)
    assert len(one_letter_apart) > 300
