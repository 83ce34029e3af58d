"""Part 2: misspelled names and left-out subtitles become one row; names that only look like it do not."""

from __future__ import annotations

import random

import numpy as np
import polars as pl
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.text.song_keys import lookup_keys, row_keys
from spotify_buddies.trainer.dataset.matching import SongRows, song_rows
from spotify_buddies.trainer.dataset.near import spelling

Name = tuple[str, str]
_SYLLABLES = ["ba", "ko", "mi", "tu", "re", "sol", "fen", "gar", "hul", "pim"]


def match(*names: Name, together: bool = False, near: bool = True) -> SongRows:
    """together: whether one list holds all songs, not each of them a list of its own."""
    songs = pl.DataFrame({"title": [name[0] for name in names], "artist": [name[1] for name in names]})
    own = [[row] for row in range(len(names))]
    lists = [Csr.from_rows([list(range(len(names)))] if together else own, len(names))]
    sides = np.ones(len(names), bool), np.zeros(len(names), bool)
    return song_rows(songs, "full", lambda *_: None, sides=sides, lists=lists if near else None)


def one_row(*names: Name, beside: list[Name] | None = None) -> bool:
    """Whether the names have one row, whatever their order, in a catalogue of these songs and of those beside them."""
    found = {len(set(match(*given, *(beside or [])).rows[: len(names)].tolist())) for given in (names, names[::-1])}
    assert len(found) == 1
    return found == {1}


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> list[Name]:
    """A catalogue that counts as large, with 40 artists for each of the words that are real ones here."""
    made = [a + b + c for a in _SYLLABLES for b in _SYLLABLES for c in _SYLLABLES]
    words = ["dutch", "foxy", "heart", "heat", "light", "night", "captain", "trail", "trial", "bluebird", "blackbird"]
    songs = [(f"{word} {made[n]}", f"Artist {made[n]}") for word in words for n in range(40)]
    monkeypatch.setattr(spelling, "LEAST_SONGS", len(songs))
    return songs


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("Do That to Me One More Time", "Captain & Tenille"), ("Do That to Me One More Time", "Captain & Tennille")),
        (("Kaya", "Bob Marley & The Waillers"), ("Kaya", "Bob Marley & The Wailers")),
        (("Que seas feliz", "Pefro Infante"), ("Que Seas Feliz", "Pedro Infante")),
        (("Sun Is Shinning", "Nora Quill"), ("Sun Is Shining", "Nora Quill")),
        (("Sad Song (feat. Elena Coats)", "We the Kings"), ("Sad Song (feat. Elena Coates)", "We the Kings")),
        (("Horse with No Name", "America"), ("A Horse with No Name", "America")),
    ],
)
def test_slips_that_need_no_evidence_of_words_are_one_song(one: Name, other: Name):
    assert one_row(one, other)
    assert match(one, other, near=False).rows.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        (("Double Duth Bus", "Nora Quill"), ("Double Dutch Bus", "Nora Quill")),
        (("Foxey Lady", "Nora Quill"), ("Foxy Lady", "Nora Quill")),
        (("My Captian Hindsight - 2011 Remaster", "Nora Quill"), ("My Captain Hindsight", "Nora Quill")),
        (("Miserlou", "Nora Quill"), ("Misirlou", "Nora Quill and her Vales")),
    ],
)
def test_a_word_that_nobody_else_uses_is_a_slip_of_one_that_many_do_in_a_large_catalogue_alone(large, wrong, right):
    assert one_row(wrong, right, beside=large)
    assert not one_row(wrong, right)
    assert not one_row(wrong, right, beside=large[:-3])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("The Heart of It All", "Nora Quill"), ("The Heat of It All", "Nora Quill")),
        (("The Light Is Ours", "Nora Quill"), ("The Night Is Ours", "Nora Quill")),
        (("The Long Trail Home", "Nora Quill"), ("The Long Trial Home", "Nora Quill")),
        (("Blackbird", "Nora Quill"), ("Bluebird", "Nora Quill")),
        (("Double Dutch Bus", "Nora Quill"), ("Double Duth Bus", "Tom Vale")),
        (("Champion", "Nora Quill"), ("Champions", "Nora Quill")),
        (("Faded Roads", "Nora Quill"), ("Fade Roads", "Nora Quill")),
        (("El Hermano Mayor", "Nora Quill"), ("La Hermana Mayor", "Nora Quill")),
        (("Runway Session J", "Nora Quill"), ("Runway Session N", "Nora Quill")),
        (("Overture II of Doors", "Nora Quill"), ("Overture III of Doors", "Nora Quill")),
        (("Doors, Part 2", "Nora Quill"), ("Doors, Part 3", "Nora Quill")),
        (("Doors and Windows Vol. 1", "Nora Quill"), ("Doors and Windows", "Nora Quill")),
        (("Double Dutch Bus - Live", "Nora Quill"), ("Double Duth Bus", "Nora Quill")),
        (("The Duth", "Nora Quill"), ("Duth", "Nora Quill")),
        (("Intro", "Captain & Tenille"), ("Intro", "Captain & Tennille")),
        (("White Christmas", "Maria Lanza"), ("White Christmas", "Mario Lanza")),
        (("White Christmas", "Bing Grosby"), ("White Christmas", "Ding Grosby")),
        (("Roads (feat. Jon Vale)", "Nora Quill"), ("Roads (feat. Jan Vale)", "Nora Quill")),
    ],
)
def test_words_numbers_endings_versions_and_other_artists_stay_apart(large, one: Name, other: Name):
    assert not one_row(one, other, beside=large)


@pytest.mark.parametrize(
    ("whole", "stem"),
    [
        ("Sweet Dreams (Are Made of This)", "Sweet Dreams"),
        ("Sweet Dreams (Are Made of This) - Remastered", "Sweet Dreams"),
        ("Sweet Dreams [Are Made of This] (Live)", "Sweet Dreams - Live"),
        ("Running Up That Hill (A Deal With God)", "Running Up That Hill"),
        ("(I Can't Get No) Satisfaction", "Satisfaction"),
        ("Just My Imagination (Running Away with Me)", "Just My Imagination"),
    ],
)
def test_a_subtitle_may_be_left_out(whole, stem):
    assert one_row((whole, "Nora Quill"), (stem, "Nora Quill"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Sweet Dreams (Live at the Pier)", "Sweet Dreams"),
        ("Sweet Dreams (Tom Vale's Long Remix)", "Sweet Dreams"),
        ("Sweet Dreams (Just an Acoustic Evening)", "Sweet Dreams"),
        ("Sweet Dreams (The First Demo Ever)", "Sweet Dreams"),
        ("Sweet Dreams (with the Royal Strings)", "Sweet Dreams"),
        ("Sweet Dreams (The Basement Kontrol Mixx)", "Sweet Dreams"),
        ("Sweet Dreams (Nora vs. Tom)", "Sweet Dreams"),
        ("Sweet Dreams (arr. for four hands)", "Sweet Dreams"),
        ("Sweet Dreams (The Second Part)", "Sweet Dreams"),
        ("Sweet Dreams (Are Made of This) - Live", "Sweet Dreams"),
        ("Sweet Dreams (Are Made of This)", "Sweet Dreams - Acoustic"),
        ("Sweet Dreams (Holiday)", "Sweet Dreams"),
        ("Sweet Dreams (Music Box)", "Sweet Dreams"),
        ("Sweet Dreams - Are Made of This", "Sweet Dreams"),
        ("Intro (First Day of Summer)", "Intro"),
    ],
)
def test_versions_places_short_subtitles_and_dashes_stay_apart(one, other):
    assert not one_row((one, "Nora Quill"), (other, "Nora Quill"))


def test_a_subtitle_is_not_left_out_where_the_artist_has_another_song_of_that_stem():
    doors = [("Doors of Oak (A New Dawn)", "X"), ("Doors of Oak (You and I)", "X"), ("Doors of Oak", "X")]
    assert match(*doors).rows.tolist() == [0, 1, 2]
    assert match(*doors[1:]).rows.tolist() == [0, 0]


def test_a_subtitle_that_several_stems_have_is_none():
    songs = [("Doors (Rainy Night Feeling)", "X"), ("Roads (Rainy Night Feeling)", "Y"), ("Doors", "X"), ("Roads", "Y")]
    assert match(*songs).rows.tolist() == [0, 1, 2, 3]


def test_a_short_subtitle_may_be_left_out_where_another_artist_has_it_too():
    songs = [("The Lion Roars (Wimoweh)", "X"), ("The Lion Roars", "X"), ("The Lion Roars (Wimoweh)", "Y")]
    assert match(*songs).rows.tolist() == [0, 0, 1]
    assert match(*songs[:2]).rows.tolist() == [0, 1]


def test_who_has_both_songs_knows_them_as_two():
    songs = [("Sweet Dreams (Are Made of This)", "X"), ("Sweet Dreams", "X")]
    assert match(*songs, together=True).rows.tolist() == [0, 1]
    assert match(*songs).rows.tolist() == [0, 0]


def test_every_name_of_a_row_is_found_by_its_key_or_an_alias():
    songs = [
        ("Do That to Me", "Captain & Tenille"),
        ("Do That to Me", "Captain & Tennille"),
        ("Sad Song (feat. Elena Coats)", "X"),
        ("Sad Song (feat. Elena Coates)", "X"),
        ("Sad Song (feat. B)", "X"),
        ("Sweet Dreams (Are Made of This)", "X"),
        ("Sweet Dreams", "X"),
    ]
    found = match(*songs)
    assert found.rows.tolist() == [0, 0, 1, 1, 2, 3, 3]
    shown = [songs[i] for i in found.shown]
    assert shown[3] == ("Sweet Dreams", "X")
    keys = row_keys([song[0] for song in shown], [song[1] for song in shown], "full", taken=found.aliases)
    places = {key: row for row, key in enumerate(keys)}
    assert places.keys().isdisjoint(found.aliases)
    for (title, artist), row in zip(songs, found.rows, strict=True):
        known = places | dict(found.aliases)
        assert next(known[key] for key in lookup_keys(title, artist, "full") if key in known) == row


def test_which_songs_meet_does_not_depend_on_their_order(large):
    songs = [
        *(("Sad Road Home", f"Nora Qui{letters}ian") for letters in ("ll", "l", "lll")),
        *(("Doors of Oak and Steel" + end, "Tom Vale") for end in ("", " (Far Away and Gone)", " (Live)")),
        *((f"Double {word} Bus", "Una Roe and her Bees") for word in ("Dutch", "Duth", "Ducth", "Dutsch")),
        *(("A Horse of Mine and Yours", "Una Roe"), ("Horse of Mine and Yours", "Una Roe and her Bees")),
    ]
    everything = [*songs, *large]
    groups = set()
    for seed in range(4):
        order = list(range(len(everything)))
        random.Random(seed).shuffle(order)
        rows = match(*(everything[i] for i in order)).rows
        by_row: dict[int, set[Name]] = {}
        for i, row in zip(order, rows.tolist(), strict=True):
            by_row.setdefault(row, set()).add(everything[i])
        groups.add(frozenset(frozenset(group) for group in by_row.values() if len(group) > 1))
    assert len(groups) == 1
    assert sum(map(len, groups.pop())) >= 11
