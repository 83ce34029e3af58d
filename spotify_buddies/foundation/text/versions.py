"""One segment of a title read: part of the title, the name of another recording, or nothing of either."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from spotify_buddies.foundation.text.folding import words
from spotify_buddies.foundation.text.languages import PHRASES, SYNONYMS
from spotify_buddies.foundation.text.vocabulary import (
    AFTER_A_NAME,
    AROUND,
    ARTICLES,
    EDITION,
    EDITION_KINDS,
    EDITIONS,
    FEATURING,
    FILM_WORDS,
    FROM_FILM,
    HEADS,
    ISSUE,
    ISSUE_MARKS,
    ISSUE_PAIRS,
    LANGUAGES,
    MADE,
    MARKERS,
    NOT_GUESTS,
    NOT_GUESTS_AT_END,
    PLACES,
    REMASTER,
    VERSION,
    WITH,
)

_KEPT_SEGMENTS = 1 << 15

YEAR = r"(?:(?:19|20)\d\d年?|(?<!\w)['’]\d\d)"
_IS_YEAR = re.compile(r"\(?(?:19|20)\d\d\)?")
_REMASTER = re.compile(REMASTER)
_REMASTER_AT_END = re.compile(
    rf"(?<=\S)\s(?:{YEAR}\s)?(?:digital[^\W\d_]*\s)?(?:{REMASTER})(?:\s(?:version|edition))?(?:\s(?:in\s|en\s)?{YEAR})?$"
)
# Words that tell of the remaster: how, of which year, for which edition.
_OF_A_REMASTER = re.compile(
    r"(?:19|20)\d\d年?s?|\d\d?|\d+(?:st|nd|rd|th)|24bit|bit|hd|hi|res|digital[^\W\d_]*|digitaal|цифровой|anniversary|new|newly|"
    r"complete|year|nel|nell|v|w|ano|anno|jahr|box|s|em|im|デジタル|from|in|en|original|sound|audio|tapes?|master|recording|mix|deluxe|bonus"
)
_HOW = frozenset(
    ["by", "at", "from", "in", "en", "for", "par", "por", "von", "per", "da", "bei", "aus", "of", "em", "im"]
)
_CREDIT = re.compile(
    rf"(?:^|(?<=\s))(?:{FEATURING}(?![^\W_])\.?:?(?!\s(?:of|for|that|to|may|in)\b)|part\.(?!\s?(?:\d|[ivx]+\b|one|two|three|a\b|b\b)))"
    r"\s*(?=[^\W_]|[$!'\"])"
)
_FEET = re.compile(r"(?:\d|\bsix|\bten|\bfive|\bfour|\beight|\btwenty|\bthirty|\bfifty)\s?$")
_GUESTS = re.compile(rf"{WITH}\s+(\S)")
_PHRASE = re.compile("(?<![^ ])(?:" + "|".join(sorted(PHRASES, key=len, reverse=True)) + ")(?![^ ])")
_COMPOUND = re.compile(r"(.{2,}?)(versione?|versio|versie|fassung|バージョン|ヴァージョン|ver|버전|版)")
_QUOTED = re.compile(r"[\"“”„«「『][^\"“”„»」』]*[\"“”»」』]?|(?<!\w)['‘][^'’]+['’](?!\w)")
_FROM = re.compile(rf"(?:{FROM_FILM})(?![^\W_])")
_NO_SCENES = (FILM_WORDS | ISSUE | EDITIONS | {"score", "end", "titles"}) - ARTICLES
_POSSESSIVE = re.compile(r"['’]s(?![^\W_])")
_INCHES = re.compile(r"\b(7|12)\s?(?:\"|”|''|’’)")


class Reading(NamedTuple):
    """What a segment says.

    title: the part of it that belongs to the title. marks: words that name the recording. guests: names of a credit.
    """

    title: str
    marks: tuple[str, ...] = ()
    guests: str = ""


NOTHING = Reading("")


@lru_cache(_KEPT_SEGMENTS)
def read_segment(segment: str) -> Reading:
    """Read a segment that is not the title itself: folded text from brackets, or from behind a dash."""
    credit = find_credit(segment)
    if credit is not None:
        head, guests = segment[: credit.start()], segment[credit.end() :]
        before = read_segment(head.strip(" ,;-/")) if head.strip() else NOTHING
        return Reading(before.title, before.marks + marks_after_guests(guests), guests)
    match = _GUESTS.match(segment)
    if match and _are_guests(words(guests := segment[match.start(1) :])):
        return Reading("", marks_after_guests(guests), guests)
    return _in_parts(segment, "/") or _in_parts(segment, ",") or _whole(segment)


def read_core(segment: str) -> Reading:
    """Read the segment that is the title: only a credit and a remaster at its end are taken off."""
    credit = find_credit(segment)
    marks: tuple[str, ...] = ()
    guests = ""
    if credit is not None and segment[: credit.start()].strip(" ([{-"):
        guests = segment[credit.end() :]
        marks = marks_after_guests(guests)
        segment = segment[: credit.start()]
    at_end = _REMASTER_AT_END.search(segment) if "mast" in segment or not segment.isascii() else None
    return Reading(segment[: at_end.start()] if at_end else segment, marks, guests)


def find_credit(segment: str) -> re.Match[str] | None:
    """Where a segment begins to name guests ("feat. .."); None where it does not. "6 ft." is a length."""
    return next(
        (m for m in _CREDIT.finditer(segment) if not _FEET.search(segment[max(0, m.start() - 8) : m.start()])), None
    )


def is_year(segment: str) -> bool:
    """Whether a segment is a year alone."""
    return _IS_YEAR.fullmatch(segment) is not None


def tells_of_a_remaster(segment: str) -> bool:
    """Whether a segment speaks of a remaster without telling its year."""
    return _REMASTER.search(segment) is not None and not re.search(YEAR, segment)


def marks_after_guests(guests: str) -> tuple[str, ...]:
    """What follows the names of guests without anything between ("feat. Ann acoustic").

    A remix keeps the names too: they may be those of its maker.
    """
    named = _named(guests)
    while named and named[-1] in VERSION:
        named.pop()
    if len(named) < 2 or named[-1] not in AFTER_A_NAME or _is_issue(set(named[-2:])):
        return ()
    return tuple(word for word in named if word not in AROUND) if named[-1] in MADE else (named[-1],)


def _are_guests(named: list[str]) -> bool:
    return bool(named) and named[0] not in NOT_GUESTS and named[-1] not in NOT_GUESTS_AT_END


def tells_of_a_film(segment: str) -> bool:
    """Whether a segment names the film, series or soundtrack that a song is from."""
    return _is_from_film(segment) or not FILM_WORDS.isdisjoint(words(segment))


def _in_parts(segment: str, separator: str) -> Reading | None:
    """A segment that lists versions ("live / 2011 remaster"), each read by itself; None where a part is none."""
    if separator not in segment:
        return None
    parts = [part.strip() for part in segment.split(separator)]
    years = [part for part in parts if is_year(part)]
    readings = [read_segment(part) for part in parts if not is_year(part)]
    if not readings or any(reading.title for reading in readings):
        return None
    marks = tuple(mark for reading in readings for mark in reading.marks)
    # The year of an issue goes with it; that of a concert tells it from others.
    of_issue = any(not reading.marks for reading in readings)
    return Reading("", marks if of_issue else marks + tuple(years))


def _whole(segment: str) -> Reading:
    remaster = _REMASTER.search(segment)
    if remaster is not None:
        return _read_remaster(segment[: remaster.start()], _REMASTER.sub(" ", segment[remaster.end() :]))
    named = _named(segment)
    spoken = set(named)
    if not named or _is_issue(spoken) or _is_from_film(segment):
        return NOTHING
    if spoken & (EDITION | {"anniversary"}) and all(word in EDITION_KINDS or word[0].isdigit() for word in named):
        return NOTHING
    if (
        spoken & EDITIONS
        and not _tells_a_scene(segment)
        and not spoken & (MARKERS - LANGUAGES)
        and "cast" not in spoken
    ):
        return NOTHING
    if not _is_marker(named):
        return Reading(segment)
    if spoken & MADE:
        # "Otto's Remix" and "Remix by Otto" are the "Otto Remix".
        named = [word for word in _named(_POSSESSIVE.sub("", segment)) if word != "by"]
    if named[-2:] == ["radio", "edit"] and not spoken.isdisjoint(MADE - {"edit"}):
        named = named[:-2]
    without = AROUND | PLACES if "live" in spoken else AROUND
    return Reading("", tuple(word for word in named if word not in without))


def _read_remaster(before: str, after: str) -> Reading:
    ahead, behind = [_not_of_a_remaster(text) for text in (before, after)]
    if behind and words(after)[0] in _HOW and not set(_named(after)) & HEADS:
        behind = ""
    first = read_segment(ahead) if ahead else NOTHING
    second = read_segment(behind) if behind else NOTHING
    return Reading(f"{first.title} {second.title}".strip(), first.marks + second.marks)


def _not_of_a_remaster(text: str) -> str:
    left = words(text)
    if all(_OF_A_REMASTER.fullmatch(word) or word in EDITION_KINDS for word in left):
        return ""
    # Only what stands next to the remaster is told of it: "live 1975 / 2011 remaster" keeps its year of the concert.
    last, first = len(left), 0
    while last > first and (_OF_A_REMASTER.fullmatch(left[last - 1]) or left[last - 1] in ISSUE):
        last -= 1
    while first < last and (_OF_A_REMASTER.fullmatch(left[first]) or left[first] in VERSION | {"the", "and"}):
        first += 1
    return " ".join(left[first:last])


def _named(segment: str) -> list[str]:
    """The words of a segment, each in the one form that its spellings and translations have."""
    spaced = _PHRASE.sub(lambda phrase: PHRASES[phrase[0]], " ".join(words(_INCHES.sub(r" \1in ", segment))))
    out: list[str] = []
    for word in spaced.split():
        compound = _COMPOUND.fullmatch(word)
        parts = compound.groups() if compound and (compound[1] in SYNONYMS or compound[1] in ISSUE) else (word,)
        out += [SYNONYMS.get(part, part) for part in parts]
    return out


def _is_issue(spoken: set[str]) -> bool:
    if any(pair <= spoken for pair in ISSUE_PAIRS):
        return spoken <= ISSUE | {"mix", "audio", "video", "music", "lyric", "lyrics", "hidden"}
    return spoken <= ISSUE and bool(spoken & ISSUE_MARKS)


def _is_from_film(segment: str) -> bool:
    if not _FROM.match(segment):
        return False
    unquoted = _QUOTED.sub(" ", segment)
    spoken = set(_named(unquoted))
    if spoken & (MARKERS | {"cast"}) or _tells_a_scene(unquoted):
        return False
    return unquoted != segment or bool(spoken & FILM_WORDS)


def _tells_a_scene(segment: str) -> bool:
    """Whether a film is told with a scene: 'From "A Film"/At the Pier', but not 'From "A Film" Soundtrack/2003'."""
    scenes = (set(words(part)) for part in segment.split("/")[1:])
    return any(part and not part & _NO_SCENES and not all(map(str.isdigit, part)) for part in scenes)


def _is_marker(named: list[str]) -> bool:
    """Whether a segment names a recording: by its first word, or by its last one."""
    told = [word for word in named if not word.isdigit()]
    while len(told) > 1 and told[0] in ("recorded", "the", "a"):
        told.pop(0)
    ends = [word for word in told if word not in VERSION]
    if len(ends) < len(told) and (told[0] in VERSION or told[-1] in VERSION):
        return True
    if not ends:
        return False
    if ends[-1] == "live":
        return ends[0] in HEADS or all(word in MARKERS for word in ends)
    return ends[0] in HEADS or ends[-1] in MARKERS
