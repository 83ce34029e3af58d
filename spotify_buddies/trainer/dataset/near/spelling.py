"""Misspelled names: titles of one artist, artists of one title and guests that differ by one slip."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from spotify_buddies.foundation.text.artists import artist_guests, artist_words
from spotify_buddies.foundation.text.folding import fold, words
from spotify_buddies.foundation.text.slips import Slip, find_slip, find_slip_in, near_pairs
from spotify_buddies.foundation.text.song_keys import SEPARATOR
from spotify_buddies.foundation.text.titles import read_title, title_words
from spotify_buddies.foundation.text.vocabulary import TITLES_OF_FILMS
from spotify_buddies.trainer.dataset.near.catalogue import Catalogue, Meeting

# A catalogue of fewer songs does not tell a word that nobody else uses from a misspelled one.
LEAST_SONGS = 50_000
_LEAST_TITLE = 7
_LEAST_ARTIST = 8
_LEAST_TITLE_OF_ARTISTS = 4
# Beside so many letters that are alike, or in a word so long, a slip is one even where nobody else has the word.
_LONG_WORD = 7
_OTHER_LETTERS = 8
# By how many artists' titles a word may be used and still be a slip, and by how many times more the right one.
_MOST_ARTISTS = {"doubled": 4, "turned": 2, "letter": 2}
_TIMES_MORE = 50
_ARTICLES = ("a", "an", "the")
_LEAST_WORDS_BEHIND_ARTICLE = 3


def misspelled_titles(catalogue: Catalogue, artists: Mapping[str, Mapping[str, int]]) -> list[Meeting]:
    """Titles of one artist that are one title with a slip, by what the words of all titles say.

    The word in question must be rare beside the right one, by the number of artists that use it: "duth" is a slip of
    "dutch", "heart" none of "heat". In a catalogue of fewer than LEAST_SONGS songs only a doubled letter is a slip.
    """
    found: list[tuple[int, int, Slip, int]] = []
    meetings: list[Meeting] = []
    for songs in artists.values():
        for one, other in near_pairs([title for title in songs if len(title) >= _LEAST_TITLE]):
            first, second = (title_words(catalogue.name[songs[title]][0]) for title in (one, other))
            if _but_for_an_article(first, second):
                meetings.append(Meeting(*sorted((songs[one], songs[other]), key=lambda c: len(catalogue.keys[c]))))
            elif slip := find_slip_in(first, second):
                letters = sum(map(len, first)) - len(slip.one)
                found.append((songs[one], songs[other], slip, letters))
    used = _used(catalogue, {word for _, _, slip, _ in found for word in (slip.one, slip.other)})
    large = sum(map(len, artists.values())) >= LEAST_SONGS
    for one_code, other_code, slip, letters in found:
        by_one, by_other = used[slip.one], used[slip.other]
        if (large or slip.kind == "doubled") and _is_slip(slip, by_one, by_other, letters):
            # Of two words as rare as each other, the first one by its letters is shown.
            one_is_right = (by_one, slip.other) > (by_other, slip.one)
            meetings.append(Meeting(other_code, one_code) if one_is_right else Meeting(one_code, other_code))
    return meetings


def misspelled_artists(catalogue: Catalogue) -> list[Meeting]:
    """Songs of one title whose artists differ by one slip, those of the artist with fewer songs to the other's."""
    singers: dict[str, list[str]] = defaultdict(list)
    for artist, songs in catalogue.artists.items():
        if len(artist) >= _LEAST_ARTIST:
            for title in songs:
                if len(title) >= _LEAST_TITLE_OF_ARTISTS and title not in TITLES_OF_FILMS:
                    singers[title].append(artist)
    meetings = []
    for title, sung in singers.items():
        for pair in near_pairs(sung):
            few, many = sorted(pair, key=lambda artist: (len(catalogue.artists[artist]), artist))
            codes = catalogue.artists[few][title], catalogue.artists[many][title]
            if find_slip_in(*(artist_words(catalogue.name[code][1]) for code in codes)):
                meetings.append(Meeting(*codes))
    return meetings


def misspelled_guests(catalogue: Catalogue, codes: Sequence[int], names: Sequence[tuple[str, str]]) -> list[Meeting]:
    """Songs that differ by one slip in the name of one guest. codes: of each name, its key."""
    plain = {code: _plain(catalogue, key) for code, key in catalogue.detailed.items()}
    asked = {code for pair in plain.items() for code in pair}
    guests: dict[int, set[tuple[str, ...]]] = {code: set() for code in asked}
    for code, name in zip(codes, names, strict=True):
        if code in asked:
            guests[code].add(_guests(name))
    return [
        Meeting(code, other)
        for code, other in plain.items()
        if other >= 0 and any(_same_guests(one, two) for one in guests[code] for two in guests[other])
    ]


def _plain(catalogue: Catalogue, key: str) -> int:
    title, artist = key.split(SEPARATOR)
    return catalogue.artists.get(artist, {}).get(title, -1)


def _but_for_an_article(one: Sequence[str], other: Sequence[str]) -> bool:
    short, long = sorted((one, other), key=len)
    behind = long[1:]
    return long[0] in _ARTICLES and len(behind) >= _LEAST_WORDS_BEHIND_ARTICLE and list(behind) == list(short)


def _is_slip(slip: Slip, by_one: int, by_other: int, letters: int) -> bool:
    rare, common = sorted((by_one, by_other))
    if rare > _MOST_ARTISTS[slip.kind] and rare * _TIMES_MORE > common:
        return False
    if slip.kind != "letter" or len(slip.one) >= _LONG_WORD or letters >= _OTHER_LETTERS:
        return True
    return slip.added and common > 1


def _used(catalogue: Catalogue, asked: set[str]) -> dict[str, int]:
    """How many artists have each of the words in a title."""
    users: dict[str, set[str]] = {word: set() for word in asked}
    if asked:
        for artist, songs in catalogue.artists.items():
            for code in songs.values():
                for word in asked.intersection(words(fold(catalogue.name[code][0]))):
                    users[word].add(artist)
    return {word: len(known) for word, known in users.items()}


def _guests(name: tuple[str, str]) -> tuple[str, ...]:
    return read_title(name[0]).guests or artist_guests(name[1])


def _same_guests(one: Sequence[str], other: Sequence[str]) -> bool:
    if len(one) != len(other):
        return False
    left = [pair for pair in zip(one, other, strict=True) if pair[0] != pair[1]]
    return len(left) == 1 and min(map(len, left[0])) >= _LEAST_ARTIST and find_slip(*left[0]) is not None
