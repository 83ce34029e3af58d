"""The rule for ids: what it refuses, and that the fast look at many agrees with the slow one at each."""

from __future__ import annotations

import unicodedata

import pytest

from spotify_buddies.foundation.text.ids import ID_BYTES, are_ids, fault, is_id

CONTROLS = [chr(i) for i in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)]
HALF = "\ud800"


@pytest.mark.parametrize(
    "value",
    ["a", " a ", "4e73d9e058d2b1f2", "x" * 128, "é" * 64, "音" * 42, "😀" * 32, "a\u00a0b", "\u200b", "¿?", "–"],
)
def test_any_text_of_1_to_128_bytes_without_control_characters_is_an_id(value: str) -> None:
    assert (fault(value), is_id(value), are_ids([value])) == ("", True, True)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("", "is 0 bytes, must be 1 to 128"),
        ("x" * 129, "is 129 bytes, must be 1 to 128"),
        ("é" * 65, "is 130 bytes, must be 1 to 128"),
        ("x" * 5000, "is 5,000 bytes, must be 1 to 128"),
        ("a\0b", "holds the control character U+0000"),
        ("a\n", "holds the control character U+000A"),
        ("\x7f", "holds the control character U+007F"),
        ("a\u2028b", "holds the control character U+2028"),
        ("a" + HALF, "holds half of a surrogate pair (U+D800), which UTF-8 cannot"),
    ],
)
def test_what_is_no_id_says_what_is_wrong_with_it(value: str, problem: str) -> None:
    assert (fault(value), is_id(value), are_ids([value])) == (problem, False, False)


def test_other_ranges_can_be_asked_for() -> None:
    assert fault("", least=0) == ""
    assert fault("x" * 65, least=0, most=64) == "is 65 bytes, must be 0 to 64"


def test_the_refused_characters_are_the_control_characters_of_unicode_and_the_two_separators_of_lines() -> None:
    refused = {char for char in map(chr, range(0x110000)) if unicodedata.category(char) in ("Cc", "Zl", "Zp", "Cs")}
    assert refused == {*CONTROLS, *map(chr, range(0xD800, 0xE000))}
    assert {char for char in map(chr, range(0x110000)) if not is_id(char)} == refused


@pytest.mark.parametrize("count", [1, 64, 65, 1000])
@pytest.mark.parametrize("good", ["user-1", "Zoë", "音楽", "¿?", "a\u00a0b", "x" * 128, "é" * 64])
def test_one_bad_id_among_many_is_found_wherever_it_stands(count: int, good: str) -> None:
    ids = [good] * count
    assert are_ids(ids)
    for place in {0, count // 2, count - 1}:
        for bad in ("", "x" * 129, "é" * 65, HALF, *(f"a{char}b" for char in CONTROLS), "a\nb", "\n"):
            assert not are_ids([*ids[:place], bad, *ids[place + 1 :]])


def test_no_ids_are_all_ids() -> None:
    assert are_ids([])


def test_a_short_id_does_not_make_up_for_a_long_one() -> None:
    ids = ["x"] * 100
    ids[3:5] = ["", "x" * (ID_BYTES + 1)]
    assert not are_ids(ids)
