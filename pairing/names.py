"""Song names as keys: the same song written in two ways gets one key."""

from __future__ import annotations

from typing import Literal

Matching = Literal["plain", "full"]


def song_key(title: str, artist: str, matching: Matching = "plain") -> str:
    """The key of a song: normalised title and artist, joined by a character that neither can hold."""
    return f"{normalise(title, matching)}\x1f{normalise(artist, matching)}"


def normalise(text: str, matching: Matching = "plain") -> str:
    """One name, normalised. plain: strip and lower case, as the published figures were made."""
    del matching
    return text.strip().lower()
