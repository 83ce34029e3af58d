"""Listening in the formats of the Taste Profile, and the song names beside it."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.seeds import generator
from spotify_buddies.trainer.synth.catalogue import LISTENS, Catalogue, Names
from spotify_buddies.trainer.synth.draws import LIBRARIES, draw_blocks

Array = npt.NDArray[Any]

_LINES = 50_000
_SPELLINGS: tuple[Callable[[str], str], ...] = (
    str.lower,
    lambda text: f" {text} ",
    lambda text: unicodedata.normalize("NFD", text.replace("e", "é", 1)),
    lambda text: f"{text} (Album Version)",
    lambda _: "",
)


def write_triplets(world: Catalogue, names: Names, count: int, seed: int, *, dirt: bool) -> Iterator[tuple[bytes, int]]:
    """Blocks of `user<TAB>song<TAB>plays` lines with their number of lines, user by user."""
    rng = generator(seed, "synth/triplets")
    people = generator(seed, "synth/users")
    songs = [f"\t{song_id}\t".encode() for song_id in names.song_ids]
    plays = [b"%d\n" % number for number in range(10_000)]
    for block in draw_blocks(world, LIBRARIES, count, seed):
        users = _user_ids(block.rows, people)
        counts = np.diff(block.indptr)
        played = np.minimum(rng.zipf(2.0, block.songs.size), 9_999)
        chosen, owner = block.songs, np.repeat(np.arange(block.rows), counts)
        if dirt:
            # One line in a thousand is there twice.
            times = np.where(rng.random(chosen.size) < 0.001, 2, 1)
            chosen, owner, played = (np.repeat(rows, times) for rows in (chosen, owner, played))
        lines = zip(owner.tolist(), chosen.tolist(), played.tolist(), strict=True)
        yield b"".join([users[u] + songs[s] + plays[p] for u, s, p in lines]), int(chosen.size)


def _user_ids(count: int, rng: np.random.Generator) -> list[bytes]:
    """`count` ids of 40 hexadecimal digits."""
    text = rng.bytes(20 * count).hex().encode()
    return [text[i : i + 40] for i in range(0, len(text), 40)]


def write_unique_tracks(world: Catalogue, names: Names, seed: int, *, dirt: bool) -> Iterator[bytes]:
    """Blocks of `track<SEP>song<SEP>artist<SEP>title` lines, in no order; with dirt some songs have no line."""
    for rows in _named(world, names, seed, dirt=dirt):
        lines = [
            f"{names.track_ids[s]}<SEP>{names.song_ids[s]}<SEP>{artist}<SEP>{title}\n" for s, title, artist in rows
        ]
        yield "".join(lines).encode()


def write_song_data(world: Catalogue, names: Names, seed: int, *, dirt: bool) -> Iterator[bytes]:
    """The same as `song_id,title,release,artist_name,year`, quoted where CSV needs it."""
    yield b"song_id,title,release,artist_name,year\n"
    for rows in _named(world, names, seed, dirt=dirt):
        text = io.StringIO()
        release = [names.titles[int(world.artist_of[s]) % world.size] for s, _, _ in rows]
        lines = zip(rows, release, strict=True)
        csv.writer(text, lineterminator="\n").writerows(
            (names.song_ids[s], title, album, artist, 1960 + s % 52) for (s, title, artist), album in lines
        )
        yield text.getvalue().encode()


def write_mismatches(world: Catalogue, names: Names, seed: int) -> bytes:
    """A few errata in the form of the real list: `ERROR: <song track> artist - title  !=  artist - title`."""
    known = np.flatnonzero(world.sides & LISTENS)
    rng = generator(seed, "synth/mismatches")
    wrong = (
        np.sort(rng.choice(known, min(known.size, max(1, known.size // 2_000)), replace=False)) if known.size else known
    )
    lines = []
    for song in wrong.tolist():
        other = (song + 1) % world.size
        said, was = (f"{names.artists[int(world.artist_of[s])]} - {names.titles[s]}" for s in (song, other))
        lines.append(f"ERROR: <{names.song_ids[song]} {names.track_ids[song]}> {said}  !=  {was}\n")
    return "".join(lines).encode()


def _named(world: Catalogue, names: Names, seed: int, *, dirt: bool) -> Iterator[list[tuple[int, str, str]]]:
    """Blocks of (song, title, artist) of the songs that users can hear, shuffled."""
    rng = generator(seed, "synth/unique-tracks")
    known = rng.permutation(np.flatnonzero(world.sides & LISTENS))
    fate = rng.random(known.size) if dirt else np.ones(known.size)
    known, fate = known[fate >= 0.01], fate[fate >= 0.01]
    for start in range(0, max(known.size, 1), _LINES):
        rows = []
        for song, luck in zip(
            known[start : start + _LINES].tolist(), fate[start : start + _LINES].tolist(), strict=True
        ):
            title = names.titles[song]
            if luck < 0.05:
                title = _SPELLINGS[int(luck * 100_000) % len(_SPELLINGS)](title)
            rows.append((song, title, names.artists[int(world.artist_of[song])]))
        yield rows
