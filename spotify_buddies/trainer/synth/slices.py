"""Playlists as slices of the Million Playlist Dataset: 1,000 playlists a file, the fields of the real ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from spotify_buddies.foundation.arrays.seeds import generator
from spotify_buddies.trainer.synth.catalogue import PLAYLISTS, Catalogue, Names, base62
from spotify_buddies.trainer.synth.draws import TRACKLISTS, Block, draw_blocks
from spotify_buddies.trainer.synth.words import playlist_names

Array = npt.NDArray[Any]

_DAY_S = 86_400
_FIRST_DAY, _LAST_DAY = 14_600, 17_471  # 2009-12-22 to 2017-11-01, in days since 1970
_SPELLINGS = (
    str.upper,
    lambda text: f"  {text} ",
    lambda text: f"{text} - Remastered 2011",
    lambda text: f"{text}\u00a0",
)


@dataclass(frozen=True)
class Slice:
    """One slice file: its name, its bytes, playlists and tracks in it."""

    name: str
    body: bytes
    playlists: int
    tracks: int


@dataclass(frozen=True)
class _Fragments:
    """Each song as JSON without its position, the spelling of some of them a second time after position S."""

    json: list[bytes]
    other: Array  # where the second spelling of a song is; the song itself where there is none
    durations: Array


def write_slices(world: Catalogue, names: Names, count: int, seed: int, *, dirt: bool) -> Iterator[Slice]:
    """The slices of `count` playlists, in order. No playlists: one empty slice, so that the folder is readable."""
    fragments = _fragments(world, names, seed, dirt=dirt)
    rng = generator(seed, "synth/slices")
    for block in draw_blocks(world, TRACKLISTS, count, seed):
        yield _slice(world, fragments, block, rng, dirt=dirt)
    if count == 0:
        yield Slice("mpd.slice.0-999.json", _document("0-999", []), 0, 0)


def _fragments(world: Catalogue, names: Names, seed: int, *, dirt: bool) -> _Fragments:
    rng = generator(seed, "synth/tracks")
    artists = base62(rng, world.artists)
    durations = rng.integers(120_000, 360_000, world.size)
    parts = []
    for song, (title, uri) in enumerate(zip(names.titles, names.uris, strict=True)):
        parts.append(_track(names, artists, int(world.artist_of[song]), title, uri, int(durations[song])))
    other = np.arange(world.size)
    if dirt:
        chosen = np.flatnonzero((rng.random(world.size) < 0.04) & (world.sides & PLAYLISTS > 0))
        other[chosen] = world.size + np.arange(chosen.size)
        for song, spelling in zip(
            chosen.tolist(), rng.integers(0, len(_SPELLINGS) + 1, chosen.size).tolist(), strict=True
        ):
            # One in five second spellings is an empty title: a track that cannot be matched.
            title = _SPELLINGS[spelling](names.titles[song]) if spelling < len(_SPELLINGS) else ""
            artist = int(world.artist_of[song])
            parts.append(_track(names, artists, artist, title, names.uris[song], int(durations[song])))
    return _Fragments(parts, other, durations)


def _track(names: Names, artists: list[str], artist: int, title: str, uri: str, duration_ms: int) -> bytes:
    album = names.titles[artist % len(names.titles)]
    fields = {
        "artist_name": names.artists[artist],
        "track_uri": f"spotify:track:{uri}",
        "artist_uri": f"spotify:artist:{artists[artist]}",
        "track_name": title,
        "album_uri": f"spotify:album:{artists[artist][::-1]}",
        "duration_ms": duration_ms,
        "album_name": album,
    }
    return orjson.dumps(fields)[1:]


def _slice(world: Catalogue, fragments: _Fragments, block: Block, rng: np.random.Generator, *, dirt: bool) -> Slice:
    """One slice file of a block: its playlists' attributes are drawn column by column, then written row by row."""
    titles = playlist_names(block.rows, rng, dirt=dirt)
    followers = np.minimum(rng.zipf(2.6, block.rows), 50_000).tolist()
    modified = (rng.integers(_FIRST_DAY, _LAST_DAY, block.rows) * _DAY_S).tolist()
    edits = rng.geometric(0.06, block.rows).tolist()
    shared = (rng.random(block.rows) < 0.02).tolist()
    repeats = np.where(rng.random(block.rows) < (0.1 if dirt else 0.0), rng.integers(1, 6, block.rows), 0)
    respelled = rng.random(block.songs.size) < 0.5
    shown = np.where(respelled, fragments.other[block.songs], block.songs)
    bodies, tracks = [], 0
    for r in range(block.rows):
        rows = np.arange(block.indptr[r], block.indptr[r + 1])
        rows = np.concatenate([rows, rows[: repeats[r]]])
        songs = block.songs[rows]
        fields = {
            "name": titles[r],
            "collaborative": "true" if shared[r] else "false",
            "pid": block.first + r,
            "modified_at": modified[r],
            "num_followers": followers[r],
            "num_edits": edits[r],
        }
        artists = len(set(world.artist_of[songs].tolist()))
        duration = int(fragments.durations[songs].sum())
        bodies.append(_playlist(fields, artists, duration, [fragments.json[i] for i in shown[rows].tolist()]))
        tracks += int(songs.size)
    first = block.first // 1_000 * 1_000
    span = f"{first}-{first + 999}"
    return Slice(f"mpd.slice.{span}.json", _document(span, bodies), block.rows, tracks)


def _playlist(fields: dict[str, Any], artists: int, duration_ms: int, tracks: list[bytes]) -> bytes:
    """One playlist as JSON. An artist has one album here, so there are as many albums as artists."""
    head = {
        **fields,
        "num_tracks": len(tracks),
        "num_albums": artists,
        "num_artists": artists,
        "duration_ms": duration_ms,
    }
    positioned = b",".join([b'{"pos":%d,%b' % pair for pair in enumerate(tracks)])
    return orjson.dumps(head)[:-1] + b',"tracks":[' + positioned + b"]}"


def _document(span: str, playlists: list[bytes]) -> bytes:
    info = {"generated_on": "2017-12-03 08:41:42.057563", "slice": span, "version": "v1"}
    return b'{"info":' + orjson.dumps(info) + b',"playlists":[' + b",".join(playlists) + b"]}"
