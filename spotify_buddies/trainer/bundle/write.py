"""The writing of a bundle: fill a hidden directory, hash it, move it into place."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.arrays.strings import KeyIndex, StringTable
from spotify_buddies.foundation.stages.stage import swap
from spotify_buddies.foundation.text.song_keys import Matching, row_keys
from spotify_buddies.trainer.bundle.bundle import OPTIONAL_ROWS, SONG_FACTORS, Bundle
from spotify_buddies.trainer.bundle.derived import save_derived
from spotify_buddies.trainer.bundle.golden import save_golden
from spotify_buddies.trainer.bundle.golden_lists import find_golden
from spotify_buddies.trainer.bundle.manifest import SCHEMA_VERSION, Manifest, describe_files
from spotify_buddies.trainer.bundle.nearest_index import NearestIndex
from spotify_buddies.trainer.bundle.opening import open_bundle
from spotify_buddies.trainer.bundle.reasons import find_reasons
from spotify_buddies.trainer.bundle.scores import Scored, best_first
from spotify_buddies.trainer.bundle.songs import SongFactors

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class BundleParts:
    """The contents of a bundle; shapes as in Bundle, but candidates in any order and without scores.

    candidates.values, float32: the part of a candidate's score that is no inner product; None: there is no such part.
    candidate_sources uint8: one per candidate, in their order. song_ids and song_id_rows go together, one entry per
    known id, and so do song_aliases and song_alias_rows, if there are any. nearest: of all playlist factors, for a
    catalogue too large to look at each playlist. What is None by default is left out.
    """

    user_factors: Array
    playlist_factors: Array
    candidates: Csr
    user_songs: Csr
    owned: Csr
    owner: Array
    popular: Array
    popular_scores: Array
    sketches: Array
    song_genres: Array
    genre_popular: Csr
    user_ids: Sequence[str]
    playlist_ids: Sequence[str]
    playlist_titles: Sequence[str]
    song_titles: Sequence[str]
    song_artists: Sequence[str]
    song_ids: Sequence[str]
    song_id_rows: Array
    index: Path
    matching: Matching
    dataset_fingerprint: str
    training: Mapping[str, Any]
    metrics: Mapping[str, Any]
    song_factors: SongFactors | None = None
    candidate_sources: Array | None = None
    retrieval_scale: Array | None = None
    playlist_songs: Csr | None = None
    artist_rows: Array | None = None
    followed: Csr | None = None
    co_followers: Csr | None = None
    refused: Csr | None = None
    nearest: NearestIndex | None = None
    song_aliases: Sequence[str] = ()
    song_alias_rows: Array | None = None


def write_bundle(directory: Path, parts: BundleParts) -> Bundle:
    """Write the bundle into `directory`, replacing what is there, and open it with its hashes checked.

    The same parts give the same bytes. An interrupted write leaves the old directory as it was.
    """
    partial = directory.parent / f".{directory.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    _write_arrays(partial, parts)
    _write_strings(partial, parts)
    shutil.copytree(parts.index, partial / "index", ignore=shutil.ignore_patterns("stage.json"))
    _manifest(partial, parts).write(partial)
    # Checked, as what follows relies on it.
    checked = open_bundle(partial, check_hashes=False)
    np.save(partial / "candidate_reasons.npy", find_reasons(checked))
    save_derived(checked)
    save_golden(partial, find_golden(checked))
    _manifest(partial, parts).write(partial)
    swap(partial, directory)
    return open_bundle(directory)


def add_metrics(bundle: Bundle, metrics: Mapping[str, float]) -> Bundle:
    """The bundle with more metrics in its manifest, and so another sha256; for figures that need the bundle itself.

    Call it before anybody else knows the bundle. ValueError: a metric is NaN.
    """
    changed = replace(bundle.manifest, metrics={**bundle.manifest.metrics, **metrics})
    changed.write(bundle.directory)
    return open_bundle(bundle.directory, check_hashes=False)


def _manifest(directory: Path, parts: BundleParts) -> Manifest:
    return Manifest(
        schema_version=SCHEMA_VERSION,
        users=parts.user_factors.shape[0],
        playlists=parts.playlist_factors.shape[0],
        songs=len(parts.song_titles),
        dimension=parts.user_factors.shape[1],
        dataset_fingerprint=parts.dataset_fingerprint,
        matching=parts.matching,
        training=parts.training,
        metrics=parts.metrics,
        files=describe_files(directory),
    )


def _write_arrays(directory: Path, parts: BundleParts) -> None:
    from safetensors.numpy import save_file

    factors = {"user_factors": parts.user_factors, "playlist_factors": parts.playlist_factors}
    path = directory / "factors.safetensors"
    save_file({name: np.ascontiguousarray(a, np.float32) for name, a in factors.items()}, path)
    path.chmod(0o644)  # the library makes it readable by its owner alone; a server may run as somebody else
    if parts.song_factors is not None:
        parts.song_factors.save(directory / SONG_FACTORS)
    scored = _best_first(parts)
    scored.candidates.save(directory, "candidates")
    optional = (
        ("candidate_sources", scored.sources, np.uint8),
        ("candidate_offsets", scored.offsets, np.float32),
        ("retrieval_scale", parts.retrieval_scale, np.float32),
        ("song_alias_rows", parts.song_alias_rows if parts.song_aliases else None, np.int32),
        ("artist_rows", parts.artist_rows, np.int32),
    )
    for name, values, dtype in optional:
        if values is not None:
            np.save(directory / f"{name}.npy", values.astype(dtype))
    for matrix in OPTIONAL_ROWS:
        if (rows := getattr(parts, matrix)) is not None:
            rows.save(directory, matrix)
    if parts.nearest is not None:
        parts.nearest.save(directory)
    parts.user_songs.save(directory, "user_songs")
    parts.owned.save(directory, "owned")
    np.save(directory / "owner.npy", parts.owner.astype(np.int32))
    np.save(directory / "popular.npy", parts.popular.astype(np.int32))
    np.save(directory / "popular_scores.npy", parts.popular_scores.astype(np.float32))
    np.save(directory / "sketches.npy", parts.sketches.astype(np.uint8))
    np.save(directory / "song_genres.npy", parts.song_genres.astype(np.int16))
    parts.genre_popular.save(directory, "genre_popular")
    np.save(directory / "song_id_rows.npy", parts.song_id_rows.astype(np.int32))
    np.save(directory / "song_listeners.npy", parts.user_songs.column_counts().astype(np.int32))


def _best_first(parts: BundleParts) -> Scored:
    """The candidates with their scores; as they are where parts do not fit together, which opening reports."""
    sources, offsets = parts.candidate_sources, parts.candidates.values
    try:
        return best_first(
            parts.candidates, parts.user_factors, parts.playlist_factors, sources=sources, offsets=offsets
        )
    except ValueError:
        return Scored(parts.candidates, sources, offsets)


def _write_strings(directory: Path, parts: BundleParts) -> None:
    for name, ids in {
        "user_ids": parts.user_ids,
        "playlist_ids": parts.playlist_ids,
        "song_ids": parts.song_ids,
    }.items():
        KeyIndex.of(StringTable.of(ids)).save(directory, name)
    keys = row_keys(parts.song_titles, parts.song_artists, parts.matching, taken=parts.song_aliases)
    if parts.song_aliases:
        KeyIndex.of(StringTable.of(parts.song_aliases)).save(directory, "song_aliases")
    KeyIndex.of(StringTable.of(keys)).save(directory, "song_keys")
    StringTable.of(parts.playlist_titles).save(directory, "playlist_titles")
    StringTable.of(parts.song_titles).save(directory, "song_titles")
    StringTable.of(parts.song_artists).save(directory, "song_artists")
