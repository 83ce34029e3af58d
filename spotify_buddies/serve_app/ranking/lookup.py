"""Look-up of many ids at once: the rows that KeyIndex.find answers, with no Python code per id but its hash."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from spotify_buddies.serve_app.ranking import kernels
from spotify_buddies.trainer.bundle import KeyIndex

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Keys:
    """Strings as they were asked for, in UTF-8: key i is data[offsets[i]:offsets[i + 1]]; hashes uint64 (XXH3).

    offsets int64 (keys + 1,), data uint8. A lone surrogate, which has no UTF-8, is kept as bytes that no id equals.
    """

    offsets: Array
    data: Array
    hashes: Array

    @classmethod
    def of(cls, keys: Sequence[str]) -> Keys:
        """Encode and hash, in the order given."""
        if not keys:
            return cls(np.zeros(1, np.int64), np.frombuffer(b"", np.uint8), np.empty(0, np.uint64))
        data = "".join(keys)
        encoded = list(map(str.encode, keys)) if data.isascii() else [k.encode(errors="surrogatepass") for k in keys]
        offsets = np.empty(len(keys) + 1, np.int64)
        offsets[0] = 0
        np.cumsum(np.fromiter(map(len, encoded), np.int64, len(keys)), out=offsets[1:])
        hashes = np.fromiter(map(xxhash.xxh3_64_intdigest, encoded), np.uint64, len(keys))
        return cls(offsets, np.frombuffer(b"".join(encoded), np.uint8), hashes)


def find(index: KeyIndex, keys: Keys) -> Array:
    """The row of each key, int32 (keys,); -1 where the index does not hold it. As KeyIndex.find."""
    rows = np.empty(keys.hashes.size, np.int32)
    table = index.table
    kernels.match_keys(keys.hashes, keys.offsets, keys.data, index.hashes, index.rows, table.offsets, table.data, rows)
    return rows
