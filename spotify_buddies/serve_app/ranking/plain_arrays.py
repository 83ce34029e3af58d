"""Plain array views of a memory-mapped bundle: the same pages, without np.memmap's cost per access.

numba types a memmap on a slow path (about 0.1 ms per argument and call), and slicing one runs Python code each time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.bundle import Bundle, KeyIndex, SongFactors, StringTable

Array = npt.NDArray[Any]


def plain(bundle: Bundle) -> Bundle:
    """The bundle with every array as a base-class view; nothing is copied."""
    return replace(bundle, **{field.name: _view(getattr(bundle, field.name)) for field in fields(bundle)})


def arrays_of(value: Any) -> Iterator[Array]:
    """Every array of a bundle, within its indexes and tables too."""
    if isinstance(value, np.ndarray):
        yield value
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from arrays_of(getattr(value, field.name))


def read_only(array: Array) -> Array:
    """The array, as those of a bundle are: for others numba would compile a kernel once more."""
    view = array.view()
    view.setflags(write=False)
    return view


def _view(value: Any) -> Any:
    match value:
        case np.ndarray():
            return np.asarray(value)
        case StringTable():
            return StringTable(np.asarray(value.offsets), np.asarray(value.data))
        case KeyIndex():
            return KeyIndex(_view(value.table), np.asarray(value.hashes), np.asarray(value.rows))
        case SongFactors():
            given = {field.name: getattr(value, field.name) for field in fields(value)}
            return replace(value, **{name: np.asarray(array) for name, array in given.items() if array is not None})
        case Csr():
            return _csr(value)
    return value


def unchecked_csr(indptr: Array, indices: Array, columns: int) -> Csr:
    """Rows that a kernel wrote from rows that were checked: checking them costs more than they do."""
    made = object.__new__(Csr)
    for name, value in (("indptr", indptr), ("indices", indices), ("columns", columns), ("values", None)):
        object.__setattr__(made, name, value)
    return made


def _csr(csr: Csr) -> Csr:
    # The bundle checked it when it was opened; checking again would read every page of it once more.
    view = object.__new__(Csr)
    for field in fields(csr):
        value = getattr(csr, field.name)
        object.__setattr__(view, field.name, np.asarray(value) if isinstance(value, np.ndarray) else value)
    return view
