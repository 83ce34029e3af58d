"""Invented names: readable words combined, so that a person can tell songs apart; no real artist is meant."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def _words(text: str) -> tuple[str, ...]:
    """The words of a text; an underscore stands for a space within one."""
    return tuple(word.replace("_", " ") for word in text.split())


ADJECTIVES = _words("""
    amber ashen bitter borrowed brittle broken copper crooked distant drowsy early electric empty faded fearless feral
    fragile frozen gentle gilded golden hollow honest humble idle indigo ivory jaded lonely lucid marble mellow midnight
    modest muted narrow northern painted paper patient quiet restless rusted sacred salted scarlet secret silent silver
    sleepless slow southern spare stubborn sudden tender twisted velvet wandering wayward wild winter
""")
NOUNS = _words("""
    anchor answer avenue balcony bridge candle canyon carousel cathedral chapel circle compass corner current daylight
    desert diamond distance echo ember engine feather ferry field fire flood garden ghost glacier harbour harvest heart
    highway hour island january kingdom ladder lantern letter lighthouse lion machine marigold meadow mercury mirror
    morning mountain number ocean orchard paradise passenger pilot prairie promise radio rain raven rhythm river road
    rooftop shadow signal silence skyline smoke snow sparrow station stone storm street summer sunday table thunder tide
    tower train valley voice water weather whisper window winter wire
""")
VERBS = _words("""
    breaking burning calling carrying chasing counting crossing dancing dreaming drifting driving falling fighting
    finding following forgetting holding keeping leaving losing missing painting reading running sailing saving singing
    sleeping stealing swimming taking turning waiting waking walking watching
""")
TITLES = (
    "{a} {n}",
    "{v} {n}",
    "the {a} {n}",
    "{n} and {m}",
    "{v} the {n}",
    "{n} in the {m}",
    "no more {a} {n}",
    "my {a} {n}",
)
TITLE_COUNT = len(TITLES) * len(NOUNS) * len(VERBS)
SYLLABLES = _words("""
    bel bran cor dal del dor fen gar hal jor kal kes lan lor mar mel mor nal nev or pel quin ren sal sor tal tam tor val
    ven wil yor zan zel
""")
ENDINGS = _words("a an ar e el en er i ia in is o on or u us")
GENRES = _words("""
    folk rock indie electronic jazz soul ambient country metal punk house blues latin reggae classical gospel hip_hop
    techno funk disco grunge swing salsa choral shoegaze dub bluegrass flamenco garage trance lofi synthwave
""")
MOODS = _words("""
    chill party workout sleep road_trip study happy sad throwback driving summer winter morning rainy_day focus dinner
    feel_good acoustic old_school running sunday late_night
""")
MONTHS = _words("January February March April May June July August September October November December")


def artist_names(count: int) -> list[str]:
    """`count` different artist names of invented words."""
    words = list(dict.fromkeys((first + end).title() for first in SYLLABLES for end in ENDINGS))
    forms = ("{} {}", "The {} {}s", "{} & {}", "{} of {}")
    room = len(forms) * len(words) ** 2
    names = []
    for i in range(count):
        # 1,000,003 is prime to the number of names, so all of them come once, in no order, before the first repeats.
        rest, form = divmod(i * 1_000_003 % room, len(forms))
        first, second = divmod(rest, len(words))
        name = forms[form].format(words[first], words[second])
        names.append(name if i < room else f"{name} {i // room + 1}")
    return names


def song_title(number: int) -> str:
    """The title of a number; numbers below TITLE_COUNT give different titles."""
    rest, form = divmod(number, len(TITLES))
    adjective, noun = divmod(rest, len(NOUNS))
    text = TITLES[form].format(
        a=ADJECTIVES[adjective],
        n=NOUNS[noun],
        m=NOUNS[(noun + adjective + 1) % len(NOUNS)],
        v=VERBS[adjective],
    )
    return text.title() if number % 5 else text.capitalize()


def playlist_names(count: int, rng: np.random.Generator, *, dirt: bool) -> list[str]:
    """`count` playlist names as people write them; with dirt some have odd case, spaces, emoji or are empty."""
    picks = rng.integers(0, 2**31, (count, 4))
    return [_playlist_name(*(int(x) for x in row), dirt=dirt) for row in picks]


def _playlist_name(form: int, one: int, two: int, dirty: int, *, dirt: bool) -> str:
    genre, mood = GENRES[one % len(GENRES)], MOODS[two % len(MOODS)]
    month, year = MONTHS[one % 12], 2010 + two % 8
    options = (
        genre,
        mood,
        f"{genre} {mood}",
        f"{mood} {year}",
        f"{month} {year}",
        f"{ADJECTIVES[one % len(ADJECTIVES)]} {genre}",
    )
    text = options[form % len(options)]
    if not dirt:
        return text.title()
    spoiled = (
        "",
        text.upper(),
        text + " ",
        "  " + text,
        text + " \U0001f525",
        "¯\\_(ツ)_/¯",
        text + "\u200b",
        text + "!!",
    )
    return spoiled[dirty // 10 % len(spoiled)] if dirty % 10 == 0 else (text.title() if dirty % 2 else text)
