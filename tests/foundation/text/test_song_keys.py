"""Keys of songs."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spotify_buddies.foundation.text.song_keys import full_artist, full_title, normalise, song_key


def test_plain_matching_strips_and_lowers_and_no_more():
    assert song_key("  Été (Live) ", "The X") == "été (live)\x1fthe x"
    assert normalise(" Été ") == "été"


@pytest.mark.parametrize(
    ("title", "key"),
    [
        ("Bennie And The Jets - Remastered 2014", "bennie and the jets"),
        ("Yellow [2012 Remaster] - Radio Edit", "yellow"),
        ("Heroes - 2017 Remaster", "heroes"),
        ("Alive (Live)", "alive"),
        ("Song - Live at Wembley", "song"),
        ("Song (Album Version)", "song"),
        ("Low (feat T-Pain) - Feat T-Pain Album Version", "low"),
        ("Stan ft. Dido", "stan"),
        ("Umbrella (with Jay-Z)", "umbrella"),
        ("Song featuring X", "song"),
        ("Café del Mar", "cafe del mar"),
        ("Don't Stop", "dont stop"),
        ("Don’t Stop", "dont stop"),
        ("Black & White", "black and white"),
        ("Anti-Hero", "anti hero"),
        ("ＦＵＬＬ width", "full width"),
        ("Straße", "strasse"),
        ("がんばれ", "がんばれ"),
    ],
)
def test_full_matching_leaves_what_two_spellings_share(title, key):
    assert full_title(title) == key


@pytest.mark.parametrize(
    ("title", "key"),
    [
        ("Live and Let Die", "live and let die"),
        ("Dancing With Myself", "dancing with myself"),
        ("Song (Acoustic Version)", "song acoustic version"),
        ("Song (Karaoke Version)", "song karaoke version"),
        ("Song - Skrillex Remix", "song skrillex remix"),
        ("(I Can't Get No) Satisfaction", "i cant get no satisfaction"),
        ("(Live)", "live"),
        ("???", "???"),
        ("", ""),
    ],
)
def test_full_matching_keeps_what_is_another_recording_or_all_there_is(title, key):
    assert full_title(title) == key


@pytest.mark.parametrize(
    ("artist", "key"),
    [
        ("The Beatles", "beatles"),
        ("Beyoncé feat. Jay-Z", "beyonce"),
        ("Simon & Garfunkel", "simon and garfunkel"),
        ("Sleeping With Sirens", "sleeping with sirens"),
        ("The The", "the"),
        ("The", "the"),
        ("!!!", "!!!"),
        ("", ""),
    ],
)
def test_full_matching_of_artists(artist, key):
    assert full_artist(artist) == key


def test_a_name_normalised_in_full_keeps_its_tags():
    assert normalise("Été (Live)", "full") == "ete live"
    assert normalise("...", "full") == "..."


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
        ("(Live) - Remastered", "live remastered"),
        ("Song -\tLive", "song"),
    ],
)
def test_any_space_is_one_space(title, key):
    assert full_title(title) == key
