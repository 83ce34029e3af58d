"""The users that the calls are for: ids of known ones, and tastes as songs."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from spotify_buddies.clients.command.invoke import CommandFailed, answer
from spotify_buddies.foundation.text.lines import filled_lines

# Songs of a taste made up from a file of songs.
SONGS_A_TASTE = 15
TASTES = 500


class SampleError(Exception):
    """There are no users to call for; the message says what to do."""


@dataclass(frozen=True)
class Sample:
    """user_ids: users that the model knows. tastes: each a list of (title, artist)."""

    user_ids: tuple[str, ...] = ()
    tastes: tuple[tuple[tuple[str, str], ...], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The form that from_json reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Sample:
        """Read what to_json, or `buddies serve sample --json`, wrote."""
        tastes = tuple(tuple((str(title), str(artist)) for title, artist in taste) for taste in body["tastes"])
        return cls(tuple(body["user_ids"]), tastes)


def ask(count: int, bundle: Path | None = None) -> Sample:
    """Draw from the bundle that this state directory serves, or from the one given. SampleError: there is none.

    By the command of the package that reads bundles: this one knows the service's API and nothing behind it.
    """
    named = ("--bundle", str(bundle)) if bundle else ()
    try:
        return Sample.from_json(answer("serve", "sample", "--count", str(count), *named))
    except CommandFailed as error:
        raise SampleError(
            f"no users to call for: {error}; or name them with --ids FILE, and songs with --songs FILE"
        ) from error


def read(ids: Path | None, songs: Path | None, rng: random.Random) -> Sample:
    """From files: one id a line; one "Title - Artist" a line, from which tastes are drawn. SampleError names the file.

    A file that is not given leaves its part empty.
    """
    named = [] if songs is None else [_song(songs, number, line) for number, line in enumerate(_lines(songs), 1)]
    size = min(SONGS_A_TASTE, len(named))
    tastes = tuple(tuple(rng.sample(named, size)) for _ in range(TASTES)) if named else ()
    return Sample(() if ids is None else tuple(_lines(ids)), tastes)


def _song(path: Path, number: int, line: str) -> tuple[str, str]:
    title, dash, artist = line.rpartition(" - ")
    if not dash or not title.strip() or not artist.strip():
        raise SampleError(f"{path}:{number}: {line!r} is not 'Title - Artist'")
    return title.strip(), artist.strip()


def _lines(path: Path) -> list[str]:
    try:
        lines = [line.strip(" \t\r") for line in filled_lines(path.read_bytes().decode())]
    except (OSError, UnicodeDecodeError) as error:
        raise SampleError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    if not lines:
        raise SampleError(f"{path}: empty")
    return lines
