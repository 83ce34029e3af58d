"""Song names as keys: the same song written in two ways gets one key."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

Matching = Literal["plain", "full"]

SEPARATOR = "\x1f"

_BRACKETS = re.compile(r"[(\[{]([^()\[\]{}]*)[)\]}]")
_SPACES = re.compile(r"\s+")
_DASH = re.compile(" [-–—] ")
_FEATURING = re.compile(r" (?:feat\.?|ft\.|featuring) .*$")
# The patterns below see names with single spaces between words, and take time in proportion to a name's length: what
# repeats in them cannot read the same text in two ways.
_FEATURING_TAG = re.compile(r"(?:feat\.?|ft\.?|featuring|with) .+")
# What a bracket or a part after a dash may say without naming another recording. A remix, a demo, an acoustic or a
# karaoke version is another recording and stays in the name.
_TAG = re.compile(
    r"(?:\d{4} )?(?:digital(?:ly)? )?re-?master(?:ed|ing)?\b.*"
    r"|live|live (?:at|from|in|on|version|session|recording|\d{4})\b.*|.* live"
    r"|(?:the )?(?:(?:album|single|original|lp|radio|main|explicit|clean|mono|stereo|full|long|short|\d{4}"
    r"|re-?master(?:ed)?|\d+(?:\"|''|-?inch)) )*(?:(?:feat|ft)\.? (?:.* )?)?version"
    r"|(?:radio|single|album|7\"|original) (?:edit|mix)|edit|radio version"
    r"|mono|stereo|explicit|bonus(?: track)?|(?:album|single)"
)
_APOSTROPHES = re.compile("['’‘`´ʼ]")
_NOT_WORDS = re.compile(r"[\W_]+")
_COMBINING = re.compile("[\u0300-\u036f]")
_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe", "ı": "i"})


def song_key(title: str, artist: str, matching: Matching = "plain") -> str:
    """The key of a song: normalised title and artist, joined by a character that neither can hold."""
    if matching == "plain":
        return f"{normalise(title)}{SEPARATOR}{normalise(artist)}"
    return f"{full_title(title)}{SEPARATOR}{full_artist(artist)}"


def normalise(text: str, matching: Matching = "plain") -> str:
    """One name, normalised.

    plain: strip and lower case, as the published figures were made. full: NFKC, case folded, accents and
    apostrophes dropped, "&" read as "and", other punctuation as a space. A name of punctuation alone stays as it is.
    """
    if matching == "plain":
        return text.strip().lower()
    folded = _fold(text)
    return _words(folded) or folded


def full_title(title: str) -> str:
    """A title under full matching: normalised, without featured artists and without remaster, live or edit tags.

    Tags are looked for in brackets and after " - ". A title that is nothing but a tag keeps it.
    """
    folded = _single_spaces(_fold(title))
    bare = _single_spaces(_BRACKETS.sub(_without_tag, folded))
    after_brackets = 1 + max(bare.rfind(bracket) for bracket in "()[]{}")
    if (dash := _DASH.search(bare, after_brackets)) and _is_tag(bare[dash.end() :]):
        bare = bare[: dash.start()]
    bare = _FEATURING.sub("", bare)
    return _words(bare) or _words(folded) or folded


def full_artist(artist: str) -> str:
    """An artist under full matching: normalised, without featured artists and without a leading "the"."""
    folded = _single_spaces(_fold(artist))
    bare = _FEATURING.sub("", _single_spaces(_BRACKETS.sub(_without_tag, folded)))
    words = _words(bare) or _words(folded)
    return words.removeprefix("the ") or folded


def _fold(text: str) -> str:
    if text.isascii():
        return text.strip().lower()
    # Decomposed for the marks alone: Hangul and kana come back together, so that only Latin accents go.
    folded = unicodedata.normalize("NFKC", text).casefold().translate(_LETTERS)
    bare = _COMBINING.sub("", unicodedata.normalize("NFD", folded))
    return unicodedata.normalize("NFC", bare).strip()


def _single_spaces(text: str) -> str:
    return _SPACES.sub(" ", text)


def _words(text: str) -> str:
    return _NOT_WORDS.sub(" ", _APOSTROPHES.sub("", text.replace("&", " and "))).strip()


def _is_tag(part: str) -> bool:
    part = part.strip()
    return bool(_TAG.fullmatch(part) or _FEATURING_TAG.fullmatch(part))


def _without_tag(match: re.Match[str]) -> str:
    return " " if _is_tag(match.group(1)) else match.group(0)
