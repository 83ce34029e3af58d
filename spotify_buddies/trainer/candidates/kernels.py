"""Hot loops of candidates: the best of many scores, playlists liked together, and the union of lists."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

Array = npt.NDArray[Any]


@njit(cache=True, nogil=True)
def best_of(scores: Array, k: int, out: Array, values: Array) -> int:
    """The columns of the k largest of `scores`, largest first, of equal ones the lower; how many there are.

    -inf is never taken. out int32, values float32 (k,): written up to the result.
    """
    count = 0
    for column in range(scores.size):
        score = scores[column]
        if score == -np.inf or (count == k and not score > values[k - 1]):
            continue
        place = count if count < k else k - 1
        # Columns come in ascending order: an equal score stays behind those that are there.
        while place > 0 and score > values[place - 1]:
            out[place], values[place] = out[place - 1], values[place - 1]
            place -= 1
        out[place], values[place] = column, score
        count = min(count + 1, k)
    return count


@njit(cache=True, nogil=True)
def best_of_rows(scores: Array, k: int, out: Array) -> None:
    """As best_of for every row of scores (n, columns); out int32 (n, k), -1 where a row has no more."""
    values = np.empty(k, np.float32)
    for i in range(scores.shape[0]):
        out[i] = -1
        best_of(scores[i], k, out[i], values)


@njit(cache=True, nogil=True)
def liked_together(
    first: int, last: int, by_user: Any, by_item: Any, likes: Array, most_likes: int, k: int, out: Array, values: Array
) -> None:
    """The k playlists most often liked together with each of the playlists first..last, by cosine.

    by_user, by_item: (indptr, indices) of the same likes. likes int64 (P,): those of each playlist that count. Users
    with more than most_likes of them say little and cost most: they are passed over. out int32, values float32
    (last - first, k), -1 and 0 where there are no more.
    """
    user_ptr, user_items = by_user
    item_ptr, item_users = by_item
    together = np.zeros(item_ptr.size - 1, np.int32)
    met = np.empty(item_ptr.size - 1, np.int32)
    for item in range(first, last):
        found = 0
        for i in range(item_ptr[item], item_ptr[item + 1]):
            user = item_users[i]
            if user_ptr[user + 1] - user_ptr[user] > most_likes:
                continue
            for j in range(user_ptr[user], user_ptr[user + 1]):
                other = user_items[j]
                if other == item:
                    continue
                if together[other] == 0:
                    met[found] = other
                    found += 1
                together[other] += 1
        scores = np.empty(found, np.float32)
        # Ascending, so that of equal ones the lower row stays in front.
        others = np.sort(met[:found])
        for i in range(found):
            scores[i] = together[others[i]] / np.sqrt(np.float64(likes[item]) * likes[others[i]])
            together[others[i]] = 0
        row, value = out[item - first], values[item - first]
        row[:], value[:] = -1, 0
        count = best_of(scores, k, row, value)
        for i in range(count):
            row[i] = others[row[i]]


@njit(cache=True, nogil=True)
def followed_next(
    first: int, last: int, user_ptr: Array, user_items: Array, near: Array, cosines: Array, k: int, out: Array
) -> None:
    """The k playlists with the largest sum of cosines to what each of the users first..last likes, without those.

    near int32, cosines float32 (P, n): as liked_together writes them. out int32 (last - first, k), -1 padded.
    """
    sums = np.zeros(near.shape[0], np.float32)
    met = np.empty(near.shape[0], np.int32)
    values = np.empty(k, np.float32)
    for user in range(first, last):
        found = 0
        for i in range(user_ptr[user], user_ptr[user + 1]):
            item = user_items[i]
            for j in range(near.shape[1]):
                other = near[item, j]
                if other < 0:
                    break
                if sums[other] == 0:
                    met[found] = other
                    found += 1
                sums[other] += cosines[item, j]
        for i in range(user_ptr[user], user_ptr[user + 1]):
            sums[user_items[i]] = -np.inf
        others = np.sort(met[:found])
        row = out[user - first]
        row[:] = -1
        count = best_of(sums[others], k, row, values)
        for i in range(count):
            row[i] = others[row[i]]
        sums[others] = 0
        for i in range(user_ptr[user], user_ptr[user + 1]):
            sums[user_items[i]] = 0


@njit(cache=True, nogil=True)
def unite(
    lists: Array,
    bits: Array,
    budgets: Array,
    starts: Array,
    refused_ptr: Array,
    refused: Array,
    places: Array,
    rows: Array,
    sources: Array,
    counts: Array,
) -> None:
    """The union of several lists of every user, in the order of the lists, each entry once with the bits of all.

    lists int32 (users, width): the lists side by side, list l in columns starts[l]:starts[l + 1], best first, negative
    where there is no more. budgets int64 (lists,): how many of a list count; refused entries do not use it up. Row i of
    (refused_ptr, refused): what user i never gets. places int32 (playlists,), all -1 before and after, is scratch.
    rows int32, sources uint8 (users, width), counts int64 (users,) are written.
    """
    for i in range(lists.shape[0]):
        count = 0
        for j in range(refused_ptr[i], refused_ptr[i + 1]):
            places[refused[j]] = -2
        for part in range(bits.size):
            taken = 0
            for j in range(starts[part], starts[part + 1]):
                playlist = lists[i, j]
                if playlist < 0 or taken == budgets[part]:
                    break
                place = places[playlist]
                if place == -2:
                    continue
                taken += 1
                if place == -1:
                    places[playlist] = count
                    rows[i, count], sources[i, count] = playlist, bits[part]
                    count += 1
                else:
                    sources[i, place] |= bits[part]
        counts[i] = count
        for j in range(count):
            places[rows[i, j]] = -1
        for j in range(refused_ptr[i], refused_ptr[i + 1]):
            places[refused[j]] = -1
