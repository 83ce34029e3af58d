"""The opening of a bundle: read the manifest, map every file, check once what kernels rely on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.arrays.strings import KeyIndex, StringTable
from spotify_buddies.foundation.stages.stage import hash_file
from spotify_buddies.trainer.bundle.bundle import OPTIONAL, OPTIONAL_ROWS, SONG_FACTORS, Bundle
from spotify_buddies.trainer.bundle.check import check
from spotify_buddies.trainer.bundle.golden import load_golden
from spotify_buddies.trainer.bundle.manifest import MANIFEST, BundleError, Manifest, read_manifest, verify
from spotify_buddies.trainer.bundle.songs import SongFactors
from spotify_buddies.trainer.bundle.tensors import map_tensors

Array = npt.NDArray[Any]


def open_bundle(directory: Path, *, check_hashes: bool = True) -> Bundle:
    """Open a bundle by memory mapping.

    Sizes and row numbers are always checked, so that kernels may index without checks of their own. BundleError:
    a file is missing, changed (unless check_hashes is off), does not fit the others, or holds a row out of range.
    """
    manifest = read_manifest(directory)
    if check_hashes:
        verify(directory, manifest)
    try:
        bundle = _map(directory, manifest)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{directory}: {error}; fetch or write the bundle again") from error
    check(bundle)
    return bundle


def _map(directory: Path, manifest: Manifest) -> Bundle:
    factors = map_tensors(directory / "factors.safetensors")

    def array(name: str) -> Array:
        loaded: Array = np.load(directory / f"{name}.npy", mmap_mode="r")
        return loaded

    optional: dict[str, Any] = {name: array(name) for name in OPTIONAL if f"{name}.npy" in manifest.files}
    optional |= {name: _rows(directory, name) for name in OPTIONAL_ROWS if f"{name}.indptr.npy" in manifest.files}
    return Bundle(
        directory=directory,
        manifest=manifest,
        sha256=hash_file(directory / MANIFEST),
        user_factors=factors["user_factors"],
        playlist_factors=factors["playlist_factors"],
        candidates=_rows(directory, "candidates"),
        user_songs=_rows(directory, "user_songs"),
        owned=_rows(directory, "owned"),
        owner=array("owner"),
        popular=array("popular"),
        popular_scores=array("popular_scores"),
        song_listeners=array("song_listeners"),
        sketches=array("sketches"),
        song_genres=array("song_genres"),
        genre_popular=_rows(directory, "genre_popular"),
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
        song_aliases=KeyIndex.load(directory, "song_aliases") if "song_alias_rows.npy" in manifest.files else None,
        playlist_messages=_messages(directory, manifest),
        **optional,
    )


def _messages(directory: Path, manifest: Manifest) -> StringTable | None:
    name = "playlist_messages"
    return StringTable.load(directory, name) if f"{name}.offsets.npy" in manifest.files else None


def _rows(directory: Path, name: str) -> Csr:
    try:
        return Csr.load(directory, name)
    except ValueError as error:  # which of the matrices it is, the error does not say
        raise ValueError(f"{name}: {error}") from error
