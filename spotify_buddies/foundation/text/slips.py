"""Slips of spelling: two names that differ by one letter, and whether that can be a mistake and not another name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

Kind = Literal["doubled", "turned", "letter"]

# Shorter words have too many neighbours that are words, too.
_LEAST_LETTERS: dict[Kind, int] = {"doubled": 4, "turned": 5, "letter": 4}
_LEAST_LETTERS_CHANGED = 5
# The names of a larger block are compared by what is left of them without one letter.
_LARGE_BLOCK = 16
_NOT_DIGITS = re.compile("[^0-9]+")
_ROMAN = re.compile("[ivxlcdm]+")


class Slip(NamedTuple):
    """One letter too many or too few (doubled, where it stands beside its like), another, or two that changed places.

    one, other: the two words that differ. added: whether a letter is left out of one, not put for another.
    """

    kind: Kind
    one: str
    other: str
    added: bool


def find_slip(one: str, other: str) -> Slip | None:
    """How a word may be the other one misspelled; None where it is more than a slip, or likely another word.

    Letters of ASCII alone: elsewhere one letter is often an ending or another word. Never the first letter ("mine",
    "fine"), never one at the end (plurals, genders, forms of verbs), never numbers, Roman ones included.
    """
    if one == other or abs(len(one) - len(other)) > 1 or not (one + other).isalpha() or not (one + other).isascii():
        return None
    if _ROMAN.fullmatch(one) and _ROMAN.fullmatch(other):
        return None
    first, left, right = _difference(one, other)
    kind, last = _kind(one, other, first, left, right), min(len(one), len(other)) - 1
    if kind is None or first == 0 or len(min(one, other, key=len)) < _LEAST_LETTERS[kind]:
        return None
    added = len(left) != len(right)
    if kind == "doubled":
        # "Princes" and "princess", "Claus" and "clause" are words of their own.
        return None if (left or right) == "s" and first >= last else Slip(kind, one, other, added)
    if kind == "letter" and (first >= last + added or (not added and len(one) < _LEAST_LETTERS_CHANGED)):
        return None
    return Slip(kind, one, other, added)


def find_slip_in(one: Sequence[str], other: Sequence[str]) -> Slip | None:
    """The slip by which two names differ, as their words; None where more differs than one word, or no word."""
    if len(one) != len(other):
        return None
    differing = [pair for pair in zip(one, other, strict=True) if pair[0] != pair[1]]
    return find_slip(*differing[0]) if len(differing) == 1 else None


def near_pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs of different names that may differ by one slip, each once, sorted.

    names: squeezed, of 4 letters and more. Two names with one slip have their digits in common, and half of their
    letters in a row at the beginning or at the end: only names that have are compared, so that time grows with the
    number of names and not of pairs. Pairs may differ by more than a slip.
    """
    if len(names) < 2:
        return []
    blocks: dict[tuple[int, str, str], list[str]] = {}
    for name in names:
        digits = "" if name.isalpha() else _NOT_DIGITS.sub("", name)
        for length in (len(name) - 1, len(name)):
            half = length // 2 - 1
            blocks.setdefault((length, f"{name[:half]}-", digits), []).append(name)
            blocks.setdefault((length, name[-half:], digits), []).append(name)
    pairs: set[tuple[str, str]] = set()
    for block in blocks.values():
        if 1 < len(block) <= _LARGE_BLOCK:
            pairs.update(_near_in(block))
        elif len(block) > _LARGE_BLOCK:
            by_signature: dict[str, list[str]] = {}
            for name in block:
                for signature in _signatures(name):
                    by_signature.setdefault(signature, []).append(name)
            for near in by_signature.values():
                pairs.update(_near_in(near))
    return sorted(pairs)


def _near_in(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    for at, one in enumerate(names):
        for other in names[at + 1 :]:
            if one != other and _is_near(one, other):
                yield (one, other) if one < other else (other, one)


def _is_near(one: str, other: str) -> bool:
    _, left, right = _difference(one, other)
    return len(left) <= 1 >= len(right) or (len(left) == 2 and left == right[::-1])


def _signatures(text: str) -> set[str]:
    """The text and the text without each one of its letters: two texts with one slip have one of these in common."""
    return {text, *(text[:i] + text[i + 1 :] for i in range(len(text)))}


def _difference(one: str, other: str) -> tuple[int, str, str]:
    """Where two texts begin to differ, and what each has there before they are alike again."""
    shorter = min(len(one), len(other))
    first = next((i for i in range(shorter) if one[i] != other[i]), shorter)
    last = next((i for i in range(shorter - first) if one[-1 - i] != other[-1 - i]), shorter - first)
    return first, one[first : len(one) - last], other[first : len(other) - last]


def _kind(one: str, other: str, first: int, left: str, right: str) -> Kind | None:
    if len(left) + len(right) == 1:
        longer, letter = max(one, other, key=len), left or right
        return "doubled" if letter in (longer[first - 1 : first], longer[first + 1 : first + 2]) else "letter"
    if len(left) == len(right) == 1:
        return "letter"
    return "turned" if len(left) == 2 and left == right[::-1] else None
