"""Order in arrays: membership in ascending ones, short lists kept best first, heaps of entries."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
from numba import njit

Array = npt.NDArray[Any]


@njit(cache=True, nogil=True)
def first_from(ascending: Array, value: int) -> int:
    """The place of the first entry that is not below a value; the size where all are."""
    low, high = 0, ascending.size
    while low < high:
        middle = (low + high) // 2
        if ascending[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, nogil=True)
def holds(ascending: Array, value: int) -> bool:
    """Whether an ascending array holds a value."""
    place = first_from(ascending, value)
    return place < ascending.size and ascending[place] == value


@njit(cache=True, nogil=True)
def drop(playlists: Array, size: int, ascending: Array) -> int:
    """Take what an ascending array holds out of the first `size` playlists, in place; how many are left."""
    if ascending.size == 0:
        return size
    left = 0
    for j in range(size):
        playlists[left] = playlists[j]
        left += not holds(ascending, playlists[j])
    return left


@njit(cache=True, nogil=True)
def offer(rows: Array, scores: Array, count: int, row: int, score: float) -> int:
    """Put one playlist into a list kept best first, and return the list's new length. Ties: who came first stays."""
    limit = rows.size
    if count == limit and not score > scores[limit - 1]:
        return count
    place = count if count < limit else limit - 1
    while place > 0 and score > scores[place - 1]:
        rows[place] = rows[place - 1]
        scores[place] = scores[place - 1]
        place -= 1
    rows[place] = row
    scores[place] = score
    return min(count + 1, limit)


@njit(cache=True, nogil=True)
def before(scores: Array, a: int, b: int) -> bool:
    """Whether entry a comes before entry b: the higher score, or of equal ones who came first."""
    return scores[a] > scores[b] or (scores[a] == scores[b] and a < b)


@njit(cache=True, nogil=True)
def sift_down(heap: Array, scores: Array, place: int, size: int) -> None:
    """Restore a heap of entry numbers, best on top, below a place whose entry may have become worse."""
    entry = heap[place]
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        if child + 1 < size and before(scores, heap[child + 1], heap[child]):
            child += 1
        if not before(scores, heap[child], entry):
            break
        heap[place] = heap[child]
        place = child
    heap[place] = entry


@njit(cache=True, nogil=True)
def heapify(heap: Array, scores: Array, size: int) -> None:
    """Make a heap, best on top, of the first `size` entry numbers."""
    for place in range(size // 2 - 1, -1, -1):
        sift_down(heap, scores, place, size)
