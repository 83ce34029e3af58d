"""The split of users between production and canary. A contract: any other code that splits by it gets the same arms.

A user's place is the XXH3 hash (64 bits, seed 0, https://xxhash.com) of the UTF-8 bytes of the salt, one zero byte and
the UTF-8 bytes of the user id; the canary answers where place / 2**64 < share. So the arm does not depend on the
machine, the process or the time, and the users of a small share are among those of any larger one with the same salt. A
user without an id (a taste may have none) cannot be kept on one arm and stays with production.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from operator import add
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

Array = npt.NDArray[Any]

_PLACES = 2**64
# A lone surrogate has no UTF-8. No user has such an id, but it needs a place all the same.
_ENCODED = partial(str.encode, errors="surrogatepass")


def places(user_ids: Sequence[str], salt: str) -> Array:
    """Places of users, uint64 (users,); those below share * 2**64 are the canary's."""
    salted = map(partial(add, _ENCODED(f"{salt}\0")), map(_ENCODED, user_ids))
    return np.fromiter(map(xxhash.xxh3_64_intdigest, salted), np.uint64, len(user_ids))


def canaries(user_ids: Sequence[str], salt: str, share: float) -> Array:
    """Whether the canary answers each user, bool (users,). share: 0 to 1; 1 is everybody who has an id."""
    named = np.fromiter(map(bool, user_ids), np.bool_, len(user_ids))
    # Exact: a float times a power of two is not rounded.
    limit = int(share * _PLACES)
    if limit >= _PLACES:
        return named
    if limit <= 0:
        return np.zeros(len(user_ids), np.bool_)
    chosen: Array = named & (places(user_ids, salt) < np.uint64(limit))
    return chosen
