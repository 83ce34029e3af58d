"""The songs of a catalogue as their keys say: whose they are, and by which name each is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy.typing as npt

from spotify_buddies.foundation.text.artists import other_artists
from spotify_buddies.foundation.text.song_keys import SEPARATOR

Array = npt.NDArray[Any]


class Meeting(NamedTuple):
    """Two keys, by code, that are one song. code: the one whose name is not shown if no other meeting wants it."""

    code: int
    target: int


@dataclass(frozen=True)
class Catalogue:
    """keys: by code. name: the name that each code is read by, "" where it has none. artists: title to code, by artist.

    spoken: the name of each artist.
    detailed: codes of keys that are told from another key by guests or an end, with that key; they are in no `artists`.
    Nothing of it depends on the order of the songs but the codes themselves.
    """

    keys: Sequence[str]
    name: Sequence[tuple[str, str]]
    artists: Mapping[str, Mapping[str, int]]
    spoken: Mapping[str, str]
    detailed: Mapping[int, str]


def read_catalogue(keys: Sequence[str], codes: Sequence[int], names: Sequence[tuple[str, str]]) -> Catalogue:
    """Gather the keys of full matching by artist. codes: of each name, its key. Names of no title are left out."""
    name: list[tuple[str, str]] = [("", "")] * len(keys)
    for code, known in zip(codes, names, strict=True):
        if known[0] and (not name[code][0] or known < name[code]):
            name[code] = known
    detailed: dict[int, str] = {}
    places: list[tuple[str, str, int]] = []
    spelled: dict[str, str] = {}
    for code, key in enumerate(keys):
        if not name[code][0]:
            continue
        title, artist, *details = key.split(SEPARATOR)
        if details:
            detailed[code] = f"{title}{SEPARATOR}{artist}"
        elif title and artist:
            places.append((title, artist, code))
            spelled[artist] = min(spelled.get(artist, name[code][1]), name[code][1])
    artists: dict[str, dict[str, int]] = {artist: {} for artist in spelled}
    for title, artist, code in places:
        artists[artist][title] = code
    return Catalogue(keys, name, artists, spelled, detailed)


def with_bands(catalogue: Catalogue) -> dict[str, Mapping[str, int]]:
    """The songs by artist, those of names that are surely another artist's ("Ann and her Band") among that artist's.

    A title that both have is the one of the artist's own name; the two have met already.
    """
    out = dict(catalogue.artists)
    for artist in sorted(catalogue.artists):
        others = other_artists(catalogue.spoken[artist])
        lead = next((other.key for other in others if other.sure and other.key in out), None)
        if lead is not None:
            out[lead] = {**out.pop(artist), **out[lead]}
    return out
