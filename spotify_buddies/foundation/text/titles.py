"""Titles as keys: cut into segments, what names no other recording left out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from spotify_buddies.foundation.text.folding import fold, spell, squeeze, symbols, words
from spotify_buddies.foundation.text.versions import (
    YEAR,
    Reading,
    find_credit,
    is_year,
    read_core,
    read_segment,
    tells_of_a_film,
    tells_of_a_remaster,
)
from spotify_buddies.foundation.text.vocabulary import REMASTER, TITLES_OF_FILMS

_OPEN, _CLOSED = "([{【〔〈《「『（［", ")]}】〕〉》」』）］"
# Without one of these a title is one segment that holds no credit and no remaster.
_MAY_HAVE_MORE = re.compile(rf"[{re.escape(_OPEN)};|/~•·:,–—―]|-\s|\s-|f(?:ea)?t|mast|part\.|[^\x00-\x7f]")
_SEPARATOR = re.compile(
    rf"[{re.escape(_OPEN + _CLOSED)};|]|\s[-–—―~•·/]+(?=\s|$)|\s[-–—―~](?=\S)|(?<=\S)[-–—―~](?=\s|$)"
)
_YEAR_THEN_REMASTER = re.compile(rf"({YEAR})\s*[-–—/:,]+\s*(?=(?:digital[^\W\d_]*\s)?(?:{REMASTER}))")
_REMASTER_THEN_YEAR = re.compile(rf"({REMASTER})\s*[-–—/:,]+\s*(?={YEAR}(?!\w))")
_BRACKET = re.compile(rf"[{re.escape(_OPEN)}]")
_TAIL = re.compile(r"[,:]\s")
_SORTED = re.compile(r"(.+), (the|a|an|el|la|los|las|le|les|die|der|das|il|lo|os|as|het|de)")
_NUMBERED = re.compile(
    r"\b(?:(pts?|parts?|parte|partie|teil|osa|часть)|(no|nr|numero|nummer)|(vol|volume|volumen))\b\.?\s*(\d+|[ivx]+\b|one\b|two\b|three\b|"
    r"four\b|five\b|six\b)"
)
_ENDING = re.compile(r"(?<=[a-z][a-z])ing\b")
_BETWEEN_NAMES = re.compile(r"[,;/|]|\s(?:and|x|vs\.?|with|y|e|et|und|feat\.?|ft\.?|featuring)\s")
_NOT_NAMES = re.compile(
    r"\b(?:(?:explicit|clean|main|lp|album|single|radio)\s)*(?:version|edit|mix)\b|\b(?:featuring|feat|ft)\b"
)
_NUMBERS = {
    **{"i": "1", "ii": "2", "iii": "3", "iv": "4", "v": "5", "vi": "6", "vii": "7", "viii": "8", "ix": "9", "x": "10"},
    **{"one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6"},
}


class Title(NamedTuple):
    """A title read. key: see full_title. guests: keys of the featured guests, sorted. end: a "?" or "!" at its end."""

    key: str
    guests: tuple[str, ...] = ()
    end: str = ""


def full_title(title: str) -> str:
    """A title under full matching: its letters and digits, then the words that name another recording, in order.

    Left out, wherever they stand: remasters, featured guests, the cut for an album, a single or the radio, mono and
    stereo, editions, bonus tracks, films. A title that says nothing else keeps its first segment; one without letters
    keeps its symbols. Empty for a title without a character that can be printed.
    """
    return read_title(title).key


def read_title(title: str) -> Title:
    """The key of a title and what may tell two titles of one key apart."""
    folded = fold(title)
    if not _MAY_HAVE_MORE.search(folded):
        return Title(squeeze(_spelled(spell(folded))) or symbols(folded), (), _end(folded))
    core, marks, guests = _read(spell(folded))
    tail = squeeze(" ".join(sorted(set(marks))))
    key = squeeze(f"{_spelled(core)} {tail}") if squeeze(core) else symbols(core) + tail or symbols(folded)
    return Title(key, split_names(guests) if guests else (), _end(core))


def title_words(title: str) -> list[str]:
    """The words of a title as they are written, without what `full_title` leaves out; versions at the end, sorted."""
    core, marks, _ = _read(spell(fold(title)))
    return words(core) + sorted(set(marks))


def part_key(folded: str) -> str:
    """A part of a folded title as a key, by the spelling that `full_title` has: letters and digits alone."""
    return squeeze(_spelled(spell(folded)))


class Subtitle(NamedTuple):
    """A title with a part in brackets that names no recording.

    key: as `full_title`, of the title without that part. stem: the key without the versions, too. words: those of the
    part in brackets, at least one.
    """

    key: str
    stem: str
    words: tuple[str, ...]


def read_subtitle(title: str) -> Subtitle | None:
    """The title without its only part in brackets that belongs to the title; None where it has none, or several."""
    folded = fold(title)
    if not _BRACKET.search(folded):
        return None
    text = spell(folded)
    segments = list(_segments(text))
    first = _first(segments)
    # Brackets of one depth alone: what stands in others belongs to what is around them.
    inside = [part for at, part in enumerate(segments) if at != first and part.depth == 1 and _is_title(part.text)]
    behind = [part for at, part in enumerate(segments) if at != first and not part.depth and _is_title(part.text)]
    if not segments or len(inside) != 1 or behind or not (named := words(inside[0].text)):
        return None
    without = " ".join(_written(part) for part in segments if part is not inside[0])
    core = squeeze(_spelled(_core(segments[first].text).title))
    return Subtitle(full_title(without), core, tuple(named)) if core else None


def split_names(text: str) -> tuple[str, ...]:
    """The keys of the names in a credit, sorted, each once."""
    named = (squeeze(name) for name in _BETWEEN_NAMES.split(_NOT_NAMES.sub(" ", text)))
    return tuple(sorted({name for name in named if name}))


def _end(text: str) -> str:
    return text[-1] if text.endswith(("?", "!", "+")) else ""


class _Segment(NamedTuple):
    """A part of a title. depth: of brackets around it; group: which brackets, 0 for none; after: what cut it off."""

    text: str
    depth: int
    group: int
    after: str


def _read(text: str) -> tuple[str, list[str], str]:
    if "mast" in text or not text.isascii():
        text = _REMASTER_THEN_YEAR.sub(r"\1 ", _YEAR_THEN_REMASTER.sub(r"\1 ", text))
    segments = list(_segments(text))
    first = _first(segments)
    core: list[str] = []
    marks: list[str] = []
    guests: list[str] = []
    credit: _Segment | None = None
    for at, segment in enumerate(segments):
        if at != first and (_goes_on(credit, segment) or _is_year_of_remaster(segments, at, first)):
            marks += read_segment(segment.text).marks
            guests += [segment.text] if credit else []
            continue
        reading = _core(segment.text) if at == first else read_segment(segment.text)
        credit = segment if find_credit(segment.text) else None
        core.append(reading.title)
        marks += reading.marks
        guests += [reading.guests] if reading.guests else []
    if squeeze(" ".join(core)) in TITLES_OF_FILMS:
        core += [part.text for at, part in enumerate(segments) if at != first and tells_of_a_film(part.text)]
    return " ".join(filter(None, core)), marks, ",".join(guests)


def _first(segments: list[_Segment]) -> int:
    """The title itself: the first segment, or the first one behind brackets that says more than a version."""
    if not segments or not segments[0].depth:
        return 0
    return next((at for at, part in enumerate(segments) if not part.depth and read_segment(part.text).title), 0)


def _goes_on(credit: _Segment | None, segment: _Segment) -> bool:
    """Whether a segment goes on with the guests of the one before it: "feat. Ann / Bob", "feat. Ann (of Duo)"."""
    if credit is None or (credit.group and credit.group != segment.group):
        return False
    if segment.depth > credit.depth and not credit.group:
        return False
    return segment.depth > credit.depth or segment.after.strip() in ("/", ";", "|")


def _core(segment: str) -> Reading:
    tail = max(_TAIL.finditer(segment), key=lambda match: match.end(), default=None)
    reading = read_core(segment)
    if tail is not None and not reading.marks:
        after = read_segment(segment[tail.end() :])
        if not after.title and (after.marks or tells_of_a_remaster(segment[tail.end() :])):
            return Reading(segment[: tail.start()], after.marks, after.guests)
    swapped = _SORTED.fullmatch(reading.title.strip())
    return Reading(f"{swapped[2]} {swapped[1]}", reading.marks, reading.guests) if swapped else reading


def _is_year_of_remaster(segments: list[_Segment], at: int, first: int) -> bool:
    beside = [segments[other].text for other in (at - 1, at + 1) if 0 <= other < len(segments) and other != first]
    return is_year(segments[at].text) and any(map(tells_of_a_remaster, beside))


def _is_title(segment: str) -> bool:
    return bool(read_segment(segment).title) and not is_year(segment)


def _written(segment: _Segment) -> str:
    return f"({segment.text})" if segment.depth else f" - {segment.text}" if segment.after else segment.text


def _segments(text: str) -> Iterator[_Segment]:
    """The segments of a title in their order. A bracket left open ends with the title."""
    depth = start = group = groups = 0
    after = ""
    for cut in _SEPARATOR.finditer(text):
        if segment := text[start : cut.start()].strip():
            yield _Segment(segment, depth, group, after)
        start, after = cut.end(), cut[0]
        if after in _OPEN:
            groups += not depth
            depth += 1
        elif after in _CLOSED:
            depth = max(0, depth - 1)
        group = groups if depth else 0
    if segment := text[start:].strip():
        yield _Segment(segment, depth, group, after)


def _spelled(text: str) -> str:
    """Parts, numbers, volumes and dropped g's in one spelling: "Pt. II" as "part 2", "loving" as "lovin'"."""
    text = _NUMBERED.sub(_numbered, text)
    return _ENDING.sub("in", text) if "ing" in text else text


def _numbered(match: re.Match[str]) -> str:
    name = "part" if match[1] else "no" if match[2] else "vol"
    number = _NUMBERS.get(match[4], match[4])
    return match[0] if name == "no" and not number.isdigit() else f"{name} {number}"
