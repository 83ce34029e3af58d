"""An opened bundle: memory-mapped arrays by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.arrays.strings import KeyIndex, StringTable
from spotify_buddies.foundation.stages.stage import hash_file
from spotify_buddies.trainer.bundle.golden import Golden, load_golden
from spotify_buddies.trainer.bundle.manifest import MANIFEST, BundleError, Manifest, read_manifest, verify
from spotify_buddies.trainer.bundle.songs import SongFactors
from spotify_buddies.trainer.bundle.tensors import map_tensors

Array = npt.NDArray[Any]

SKETCH_BYTES = 64
SONG_FACTORS = "song_factors.safetensors"


@dataclass(frozen=True)
class Bundle:
    """Everything one model version needs to answer. Rows of users, playlists and songs are internal numbers.

    user_factors, playlist_factors: float32 (users, d), (playlists, d); score = u . p. candidates: users x playlists,
    best first, values the scores. user_songs: users x songs, ascending. owned: users x playlists. owner: int32
    (playlists,), -1 nobody.
    popular: int32, playlist rows that most people like, best first; popular_scores float32, the likes of each.
    song_listeners: int32 (songs,). song_id_rows: int32, the song row of each entry of song_ids.
    sketches: uint8 (playlists, SKETCH_BYTES), b-bit MinHash of each playlist's songs (trainer.publish.sketches).
    song_genres: int16 (songs,), -1 unknown. genre_popular: genres x playlists, best first, values the likes of each.
    song_factors: how songs add up to a factor; None where the model has none of songs.
    song_keys: one normalised key (foundation.text.song_keys.song_key) per song row. index: directory of the FAISS
    index. golden: lists to compare served ones with; empty where the writer gave none.
    """

    directory: Path
    manifest: Manifest
    sha256: str
    user_factors: Array
    playlist_factors: Array
    candidates: Csr
    user_songs: Csr
    owned: Csr
    owner: Array
    popular: Array
    popular_scores: Array
    song_listeners: Array
    sketches: Array
    song_genres: Array
    genre_popular: Csr
    song_factors: SongFactors | None
    user_ids: KeyIndex
    playlist_ids: KeyIndex
    song_ids: KeyIndex
    song_id_rows: Array
    song_keys: KeyIndex
    playlist_titles: StringTable
    song_titles: StringTable
    song_artists: StringTable
    index: Path
    golden: tuple[Golden, ...] = ()


def open_bundle(directory: Path, *, check_hashes: bool = True) -> Bundle:
    """Open a bundle by memory mapping. BundleError: missing, changed (unless check_hashes is off) or inconsistent."""
    manifest = read_manifest(directory)
    if check_hashes:
        verify(directory, manifest)
    try:
        bundle = _map(directory, manifest)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{directory}: {error}; fetch or write the bundle again") from error
    _check_sizes(bundle)
    return bundle


def _map(directory: Path, manifest: Manifest) -> Bundle:
    factors = map_tensors(directory / "factors.safetensors")

    def array(name: str) -> Array:
        loaded: Array = np.load(directory / f"{name}.npy", mmap_mode="r")
        return loaded

    return Bundle(
        directory=directory,
        manifest=manifest,
        sha256=hash_file(directory / MANIFEST),
        user_factors=factors["user_factors"],
        playlist_factors=factors["playlist_factors"],
        candidates=Csr.load(directory, "candidates"),
        user_songs=Csr.load(directory, "user_songs"),
        owned=Csr.load(directory, "owned"),
        owner=array("owner"),
        popular=array("popular"),
        popular_scores=array("popular_scores"),
        song_listeners=array("song_listeners"),
        sketches=array("sketches"),
        song_genres=array("song_genres"),
        genre_popular=Csr.load(directory, "genre_popular"),
        song_factors=SongFactors.load(directory / SONG_FACTORS),
        user_ids=KeyIndex.load(directory, "user_ids"),
        playlist_ids=KeyIndex.load(directory, "playlist_ids"),
        song_ids=KeyIndex.load(directory, "song_ids"),
        song_id_rows=array("song_id_rows"),
        song_keys=KeyIndex.load(directory, "song_keys"),
        playlist_titles=StringTable.load(directory, "playlist_titles"),
        song_titles=StringTable.load(directory, "song_titles"),
        song_artists=StringTable.load(directory, "song_artists"),
        index=directory / "index",
        golden=load_golden(directory),
    )


def _check_sizes(bundle: Bundle) -> None:
    users, playlists, songs = bundle.manifest.users, bundle.manifest.playlists, bundle.manifest.songs
    d = bundle.manifest.dimension
    found = {
        "user_factors": (bundle.user_factors.shape, (users, d)),
        "playlist_factors": (bundle.playlist_factors.shape, (playlists, d)),
        "candidates": ((bundle.candidates.rows, bundle.candidates.columns), (users, playlists)),
        "user_songs": ((bundle.user_songs.rows, bundle.user_songs.columns), (users, songs)),
        "owned": ((bundle.owned.rows, bundle.owned.columns), (users, playlists)),
        "owner": (bundle.owner.shape, (playlists,)),
        "song_listeners": (bundle.song_listeners.shape, (songs,)),
        "sketches": (bundle.sketches.shape, (playlists, SKETCH_BYTES)),
        "song_genres": (bundle.song_genres.shape, (songs,)),
        "genre_popular": ((bundle.genre_popular.columns,), (playlists,)),
        "user_ids": ((len(bundle.user_ids.table),), (users,)),
        "playlist_ids": ((len(bundle.playlist_ids.table),), (playlists,)),
        "playlist_titles": ((len(bundle.playlist_titles),), (playlists,)),
        "song_titles": ((len(bundle.song_titles),), (songs,)),
        "song_artists": ((len(bundle.song_artists),), (songs,)),
        "song_keys": ((len(bundle.song_keys.table),), (songs,)),
    }
    if bundle.song_factors is not None:
        made = bundle.song_factors
        found["song_factors"] = ((made.taste.shape[0], made.taste.shape[1] + made.likes.shape[1]), (songs, d))
        found["song_factors' likes"] = (made.likes.shape[:1], (songs,))
        found["song_factors' weights"] = (made.weights.shape, (songs,))
    for name, (shape, expected) in found.items():
        if tuple(shape) != expected:
            raise BundleError(f"{bundle.directory}: {name} has shape {tuple(shape)}, the manifest says {expected}")
    if bundle.candidates.values is None:
        raise BundleError(f"{bundle.directory}: candidates have no scores; write the bundle again with this release")
    genres = bundle.genre_popular.rows
    if bundle.genre_popular.values is None or int(bundle.song_genres.max(initial=-1)) >= genres:
        raise BundleError(f"{bundle.directory}: song_genres and genre_popular, of {genres} genres, do not fit together")
