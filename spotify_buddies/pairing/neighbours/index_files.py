"""The files of a neighbour index: opened by memory mapping, and checked against the users they are for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.pairing.neighbours.reduce import Projection

Array = npt.NDArray[Any]

VECTORS, HEAD, POSTINGS = "users.faiss", "search.json", "postings"
MATRIX, PLACE = "projection.npy", "projection.place.npy"
SCHEMA = 1
# numpy raises EOFError for an empty file.
_UNREADABLE = (OSError, EOFError, ValueError)


class SearchError(Exception):
    """The index cannot be used; the message names the file or folder and what to do."""


@dataclass(frozen=True)
class IndexFiles:
    """What an index folder holds; the fields of NeighbourSearch."""

    postings: Csr
    projection: Projection
    index: Any
    breadth: int
    exact_work: int


def open_files(directory: Path, user_songs: Csr) -> IndexFiles:
    """Open the files and check every number that kernels use as a place. SearchError: one does not fit these users."""
    breadth, exact_work = _head(directory / HEAD, user_songs)
    postings = _postings(directory, user_songs)
    projection = _projection(directory, user_songs.columns)
    index = _vectors(directory / VECTORS, user_songs.rows, projection.matrix.shape[1])
    return IndexFiles(postings, projection, index, breadth, exact_work)


def open_postings(directory: Path, user_songs: Csr) -> tuple[Csr, int]:
    """Open the song lists of an index folder alone, and the work up to which an answer is counted in them.

    SearchError: they do not fit these users.
    """
    _, exact_work = _head(directory / HEAD, user_songs)
    return _postings(directory, user_songs), exact_work


def _head(path: Path, user_songs: Csr) -> tuple[int, int]:
    try:
        head = json.loads(path.read_bytes())
        shape = [head["schema"], head["users"], head["songs"], head["entries"]]
        breadth, exact_work = int(head["breadth"]), int(head["exact_work"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        _refuse(path, f"not an index ({error})", error)
    if shape != (wanted := [SCHEMA, user_songs.rows, user_songs.columns, user_songs.nnz]):
        _refuse(path.parent, f"index of schema, users, songs, entries {shape}, need {wanted}")
    return breadth, exact_work


def _postings(directory: Path, user_songs: Csr) -> Csr:
    path = directory / POSTINGS
    try:
        postings = Csr.load(directory, POSTINGS)  # walks over the entries: each is within the columns
    except _UNREADABLE as error:
        _refuse(path, str(error), error)
    shape, wanted = (postings.rows, postings.columns), (user_songs.columns, user_songs.rows)
    if shape != wanted:
        _refuse(path, f"{shape[0]} songs x {shape[1]} users, need {wanted[0]} x {wanted[1]}")
    if postings.indptr.dtype != np.int64 or postings.indices.dtype != np.int32:
        _refuse(path, f"{postings.indptr.dtype} and {postings.indices.dtype}, need int64 and int32")
    return postings


def _projection(directory: Path, songs: int) -> Projection:
    place, matrix = _array(directory / PLACE), _array(directory / MATRIX)
    if matrix.dtype != np.float32 or matrix.ndim != 2:
        _refuse(directory / MATRIX, f"{matrix.dtype} {matrix.shape}, need float32 (placed songs, dimension)")
    if place.dtype != np.int32 or place.shape != (songs,):
        _refuse(directory / PLACE, f"{place.dtype} {place.shape}, need int32 ({songs},)")
    placed = len(matrix)
    if place.size and not (place.min() >= -1 and place.max() < placed):
        first = int(np.flatnonzero((place < -1) | (place >= placed))[0])
        _refuse(directory / PLACE, f"entry {first} is {place[first]}, outside -1..{placed - 1}")
    return Projection(place, matrix)


def _vectors(path: Path, users: int, dimension: int) -> Any:
    import faiss  # here: who opens the song lists alone does without its memory

    try:
        index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    except RuntimeError as error:
        _refuse(path, "not a FAISS index", error)
    if index.d != dimension:
        _refuse(path, f"vectors of {index.d} dimensions, {MATRIX} has {dimension}")
    if isinstance(index, faiss.IndexIDMap):
        ids = faiss.vector_to_array(index.id_map)
        if ids.size != index.index.ntotal or (ids.size and not (ids.min() >= 0 and ids.max() < users)):
            _refuse(path, f"{index.index.ntotal} vectors with {ids.size} numbers, need numbers within 0..{users - 1}")
    elif index.ntotal != users:
        _refuse(path, f"{index.ntotal} vectors, need one for each of the {users} users")
    return index


def _array(path: Path) -> Array:
    try:
        array: Array = np.load(path, mmap_mode="r")
    except _UNREADABLE as error:
        _refuse(path, str(error), error)
    return array


def _refuse(path: Path, problem: str, cause: Exception | None = None) -> NoReturn:
    raise SearchError(f"{path}: {problem}; build the pairing again") from cause
