"""Titles whose subtitle in brackets is left out elsewhere: "Sweet Dreams (Are Made of This)" and "Sweet Dreams"."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from spotify_buddies.foundation.text.folding import fold
from spotify_buddies.foundation.text.titles import part_key, read_subtitle
from spotify_buddies.foundation.text.versions import read_segment
from spotify_buddies.foundation.text.vocabulary import NOT_FIRST_IN_SUBTITLES, NOT_IN_SUBTITLES, TITLES_OF_FILMS
from spotify_buddies.trainer.dataset.near.catalogue import Catalogue, Meeting

# Shorter subtitles are moods, places and makers as often ("Hushed", "Music Box"), unless other artists have them, too.
_LEAST_WORDS = 3
_LEAST_ARTISTS = 2
_LEAST_STEM = 4
_BRACKETS = re.compile(r"[(\[]([^()\[\]]+)[)\]]")
_MADE_OF = re.compile(r"version|remix|mixx?$|edit$|session|acoust|orchest")


class _Candidate(NamedTuple):
    """A title with a subtitle, and the one without. stem: the latter without versions; said: the subtitle's key."""

    code: int
    target: int
    stem: str
    said: str
    words: tuple[str, ...]


def left_out_subtitles(catalogue: Catalogue, artists: Mapping[str, Mapping[str, int]]) -> list[Meeting]:
    """Titles that are another one of the artist but for a subtitle.

    Only where the artist has no other song of that stem in brackets, no other stem has the subtitle, and the subtitle
    has three words and more, or another artist's song has it, too. Never where a word of it may tell of a version, a
    part or a place.
    """
    bracketed: list[tuple[str, str, str]] = []
    candidates: list[tuple[str, _Candidate]] = []
    for artist, songs in artists.items():
        beginnings = Counter(title[:_LEAST_STEM] for title in songs)
        for title, code in songs.items():
            parts = _in_brackets(catalogue.name[code][0])
            bracketed += [(artist, stem, said) for stem, said in parts]
            # Reading a title takes long: only where another title of the artist can be its stem.
            alike = sum(beginnings[key] for key in {stem[:_LEAST_STEM] for stem, _ in parts})
            if alike > title.startswith(tuple(stem[:_LEAST_STEM] for stem, _ in parts)):
                found = _candidate(catalogue, songs, title, code)
                candidates += [(artist, found)] if found else []
    asked = {found.said for _, found in candidates}
    near = {(artist, found.stem) for artist, found in candidates}
    stems_of: dict[str, set[str]] = defaultdict(set)
    artists_of: dict[tuple[str, str], set[str]] = defaultdict(set)
    said_of: dict[tuple[str, str], set[str]] = defaultdict(set)
    for artist, stem, said in bracketed:
        if said in asked:
            stems_of[said].add(stem)
            artists_of[stem, said].add(artist)
        if (artist, stem) in near:
            said_of[artist, stem].add(said)
    return [
        Meeting(found.code, found.target)
        for artist, found in candidates
        if len(said_of[artist, found.stem]) == 1
        and _is_subtitle(found, len(stems_of[found.said]), len(artists_of[found.stem, found.said]))
    ]


def _candidate(catalogue: Catalogue, songs: Mapping[str, int], title: str, code: int) -> _Candidate | None:
    read = read_subtitle(catalogue.name[code][0])
    if read is None or read.key == title or (target := songs.get(read.key)) is None or len(read.stem) < _LEAST_STEM:
        return None
    return _Candidate(code, target, read.stem, part_key(" ".join(read.words)), read.words)


def _is_subtitle(found: _Candidate, stems: int, artists: int) -> bool:
    if found.stem in TITLES_OF_FILMS or found.words[0] in NOT_FIRST_IN_SUBTITLES:
        return False
    if any(word in NOT_IN_SUBTITLES or not word.isalpha() or _MADE_OF.search(word) for word in found.words):
        return False
    return stems <= artists if artists >= _LEAST_ARTISTS else stems == 1 and len(found.words) >= _LEAST_WORDS


def _in_brackets(title: str) -> list[tuple[str, str]]:
    """What is in the brackets of a title, but for versions and guests, with the stem of the title; both as keys."""
    if "(" not in title and "[" not in title:
        return []
    text = fold(title)
    stem = part_key(_BRACKETS.sub(" ", text).split(" - ")[0])
    said = [part for part in _BRACKETS.findall(text) if read_segment(part).title]
    return [(stem, part_key(part)) for part in said] if stem else []
