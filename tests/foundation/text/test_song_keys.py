"""Keys of songs."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spotify_buddies.foundation.text.artists import artist_guests, full_artist, other_artists
from spotify_buddies.foundation.text.song_keys import SongKeys, lookup_keys, normalise, row_keys, song_key
from spotify_buddies.foundation.text.titles import full_title, read_title


def test_plain_matching_strips_and_lowers_and_no_more():
    assert song_key("  Été (Live) ", "The X") == "été (live)\x1fthe x"
    assert normalise(" Été ") == "été"


@pytest.mark.parametrize(
    ("title", "key"),
    [
        ("Slow Jets - Remastered 2014", "slowjets"),
        ("Ochre [2012 Remaster] - Radio Edit", "ochre"),
        ("Rivals - 2017 Remaster", "rivals"),
        ("Song (Album Version)", "song"),
        ("Low (feat T-Man) - Feat T-Man Album Version", "low"),
        ("Fan ft. Dora", "fan"),
        ("Shade (with Jay-Bo)", "shade"),
        ("Song featuring X", "song"),
        ("Café del Sol", "cafedelsol"),
        ("Don't Stay", "dontstay"),
        ("Don’t Stay", "dontstay"),
        ("Black & Blue", "blackandblue"),
        ("Anti-Star", "antistar"),
        ("ＦＵＬＬ width", "fullwidth"),
        ("Straße", "strasse"),
        ("がんばれ", "がんばれ"),
    ],
)
def test_full_matching_leaves_what_two_spellings_share(title, key):
    assert full_title(title) == key


@pytest.mark.parametrize(
    ("title", "key"),
    [
        ("Live and Let Sleep", "liveandletsleep"),
        ("Dancin With Nobody", "dancinwithnobody"),
        ("Alive (Live)", "alivelive"),
        ("Song - Live at the Barn", "songbarnlive"),
        ("Song (Acoustic Version)", "songacoustic"),
        ("Song (Karaoke Version)", "songkaraoke"),
        ("Song - Nord Remix", "songnordremix"),
        ("(I Want No) Sleep", "iwantnosleep"),
        ("(Live)", "live"),
        ("(Live) - Remastered", "live"),
        ("???", "???"),
        ("", ""),
    ],
)
def test_full_matching_keeps_what_is_another_recording_or_all_there_is(title, key):
    assert full_title(title) == key


@pytest.mark.parametrize(
    ("artist", "key"),
    [
        ("The Larks", "larks"),
        ("Élodie feat. Jay-Bo", "elodie"),
        ("Simon & Roe", "simonroe"),
        ("Sleeping With Dogs", "sleepingdogs"),
        ("The The", "the"),
        ("The", "the"),
        ("!!!", "!!!"),
        ("", ""),
    ],
)
def test_full_matching_of_artists(artist, key):
    assert full_artist(artist) == key


@pytest.mark.parametrize(
    ("artist", "others"),
    [
        ("Nora Quill", []),
        ("Larks, The", []),
        ("Hank Vale, Jr.", []),
        ("Nora Quill feat. Tom Vale", []),
        ("Quill, Nora", [("noraquill", True), ("quill", False)]),
        ("Nora Quill & The Vales", [("valesnoraquill", True), ("noraquill", True)]),
        ("A, B & C", [("ab", False), ("a", False)]),
        ("Vale, Tom, Jr.", [("tomvalejr", True), ("vale", False)]),
    ],
)
def test_joined_and_sort_names_have_other_names(artist, others):
    assert [tuple(other) for other in other_artists(artist)] == others


def test_guests_are_told_beside_the_key():
    assert read_title("Song (feat. B & A) - Live").guests == ("a", "b")
    assert artist_guests("X feat. Tom Vale") == ("tomvale",)
    assert artist_guests("X") == ()


def test_songs_that_name_different_guests_have_different_keys_and_are_found_by_them():
    titles = ["Song", "Song (feat. A)", "Song (feat. B)", "Song ft. B - Remastered", "Why?", "Why!"]
    keys = SongKeys("full")
    found = [keys.key(title, "X") for title in titles]
    assert len(set(found)) == 4
    assert found[0] == found[1] == song_key("Song", "X", "full")
    assert found[2] == found[3]
    shown = ["Song", "Song (feat. B)", "Why?", "Why!"]
    table = row_keys(shown, ["X"] * 4, "full")
    assert len(set(table)) == 4
    rows = [next(table.index(key) for key in lookup_keys(title, "X", "full") if key in table) for title in titles]
    assert rows == [0, 0, 1, 1, 2, 3]


def test_plain_keys_know_no_guests():
    keys = SongKeys("plain")
    assert keys.key("Song (feat. A)", "X") == song_key("Song (feat. A)", "X")
    assert lookup_keys("Song (feat. A)", "X", "plain") == [song_key("Song (feat. A)", "X")]
    assert row_keys(["a", "a"], ["x", "x"], "plain") == ["a\x1fx"] * 2


@settings(deadline=None)
@given(st.text(max_size=40), st.text(max_size=20))
def test_a_full_key_does_not_depend_on_ascii_case_or_outer_space(title, artist):
    assert song_key(f"  {title} ", artist, "full") == song_key(title.strip(), artist, "full")


@settings(deadline=None)
@given(st.text(st.characters(codec="ascii"), max_size=40))
def test_an_ascii_title_folds_as_any_other(title):
    assert full_title(title) == full_title(title.upper())


@settings(deadline=None)
@given(st.lists(st.sampled_from(["?", "\x1f", " ", "(", ")", "a"]), max_size=6).map("".join))
@example("?\x1f?")
def test_a_full_name_never_holds_the_separator(name):
    assert "\x1f" not in full_title(name) + full_artist(name)


LONG = 20_000


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "title",
    [
        "x (" + "ft " * LONG + "y)",
        "x (" + "feat. a " * LONG + "y)",
        "x - " + "album " * LONG,
        "x (" + "live " * LONG + "y)",
        "x" + " - a" * LONG + " (",
        "x" + " " * LONG + "y",
        "x (feat" + " " * LONG + "y)",
        "(" * LONG,
        "x" + " feat." * LONG,
        "x (" + "remastered, " * LONG + "y)",
        "x" + " (live)" * LONG,
        "a" + "*" * LONG,
        "a!" * LONG,
        "a, " * LONG,
        'x (from "' + "y/" * LONG,
        "é$ " * LONG,
    ],
)
def test_a_long_name_takes_time_in_proportion_to_its_length(title):
    assert full_title(title)
    assert full_artist(title)


@pytest.mark.parametrize(
    ("title", "key"),
    [
        ("Song (feat. A  B\tVersion)", "song"),
        ("Song (The Single  Version)", "song"),
        ("Song -\tRemastered", "song"),
    ],
)
def test_any_space_is_one_space(title, key):
    assert full_title(title) == key
