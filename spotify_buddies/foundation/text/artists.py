"""Artists as keys, and the keys that a joined or sorted name may go by otherwise."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from spotify_buddies.foundation.text.folding import fold, spell, squeeze, symbols, words
from spotify_buddies.foundation.text.titles import split_names
from spotify_buddies.foundation.text.versions import find_credit, read_segment

_KEPT_ARTISTS = 1 << 16
_ARTICLES = "the|a|an|el|la|los|las|le|les|l'|die|der|das|il|lo|gli|i|os|as|het|de|den|det|den|une?|o"
_SORTED = re.compile(rf"(.+?)\s?, ?({_ARTICLES})")
_BRACKETS = re.compile(r"[(\[{]([^()\[\]{}]*)[)\]}]")
_SUFFIXES = r"(?:jr|sr|ii|iii|iv)\b\.?"
_JOINED = (
    rf"\s?[;/|•·、，]\s?|\s?,(?!\s?{_SUFFIXES})\s?"
    r"|\s(?:and|x|vs\.?|versus|with|und|et|och|og|y|e|con|avec|mit|com|и|meets|pres\.|presents)\s"
)
_BETWEEN = re.compile(rf"(?:{_JOINED})+")
_BAND = re.compile(r"\s(?:and|with|y|e|et|und)\s(?:the|his|her|their|su|sus|seu|seus|seine?|ihre?|ses|son)\s[^,;/]+")
_MAY_FEATURE = re.compile(r"f(?:ea)?t|part\.|[^\x00-\x7f]")
_MAY_BE_MORE = re.compile(r"[(\[{,]|f(?:ea)?t|part\.|[^\x00-\x7f]")
_SUFFIX = re.compile(rf"(.*?)[, ]+({_SUFFIXES})")


@lru_cache(_KEPT_ARTISTS)
def full_artist(artist: str) -> str:
    """An artist under full matching: letters and digits, without guests, joining words and a leading "the".

    A sort name ("Larks, The") is read as it is spoken. A name without letters keeps its symbols; empty for none.
    """
    folded = fold(artist)
    return _key(_spoken(folded)) or squeeze(spell(folded)) or symbols(folded)


def artist_words(artist: str) -> list[str]:
    """The words of an artist's name, in the order that it is spoken in, without guests and a leading "the"."""
    named = words(_spoken(fold(artist)))
    return named[1:] if named[:1] == ["the"] and named[1:] else named


class OtherName(NamedTuple):
    """Another name of an artist. key: as `full_artist`. sure: whether the two surely name the same people."""

    key: str
    sure: bool


@lru_cache(_KEPT_ARTISTS)
def other_artists(artist: str) -> tuple[OtherName, ...]:
    """The keys by which a name may be known elsewhere, best first; none for a name that joins nothing.

    Two names are turned round ("Joel, Billy", "B & A"): the same people. Then the lead artist: all names but the last
    ones, longest first. That is sure only of somebody with a band of the own ("A & The Bs", "A and His Orchestra").
    """
    spoken = _spoken(fold(artist))
    cuts = list(_BETWEEN.finditer(spoken))
    if not cuts:
        return ()
    names = [
        OtherName(_key(_turned(spoken[: cut.start()], spoken[cut.end() :])), True) for cut in cuts[:1] if not cuts[1:]
    ]
    names += [OtherName(_key(spoken[: cut.start()]), _is_band(spoken[cut.start() :])) for cut in reversed(cuts)]
    own = _key(spoken)
    return tuple({name.key: name for name in reversed(names) if name.key not in ("", own)}.values())[::-1]


@lru_cache(_KEPT_ARTISTS)
def artist_guests(artist: str) -> tuple[str, ...]:
    """The keys of the guests that an artist's name features ("A feat. B"), sorted; none for most names."""
    text = spell(fold(artist))
    credit = find_credit(text) if _MAY_FEATURE.search(text) else None
    return split_names(text[credit.end() :]) if credit else ()


def _spoken(folded: str) -> str:
    """A folded name without guests, in the order that it is spoken in, symbols as the letters that they stand for."""
    text = spell(folded)
    if not _MAY_BE_MORE.search(text):
        return text
    text = _BRACKETS.sub(lambda part: part[0] if read_segment(part[1]).title else " ", text)
    credit = find_credit(text)
    if credit is not None and text[: credit.start()].strip(" (["):
        text = text[: credit.start()].strip(" ([,-")
    text = text.strip()
    swapped = _SORTED.fullmatch(text)
    return f"{swapped[2]} {swapped[1]}" if swapped else text


def _is_band(tail: str) -> bool:
    return _BAND.fullmatch(tail) is not None


def _turned(last: str, first: str) -> str:
    """Two names in the other order; "Davis, Sammy, Jr." keeps its end."""
    suffix = _SUFFIX.fullmatch(first)
    return f"{suffix[1]} {last} {suffix[2]}" if suffix else f"{first} {last}"


def _key(spoken: str) -> str:
    bare = _BETWEEN.sub(" ", spoken)
    return squeeze(bare.removeprefix("the ")) or squeeze(spoken)
