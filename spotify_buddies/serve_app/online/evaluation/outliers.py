"""Listeners who react far more often than the others do, and unlike them: bots."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# Of the modified z-score, by Iglewicz and Hoaglin (1993, How to Detect and Handle Outliers).
LIMIT = 3.5
# With fewer listeners a spread says nothing.
LEAST = 20
# What makes the median and the mean absolute deviation those of a normal distribution's standard deviation.
_MEDIAN, _MEAN = 1.4826, 1.2533


def outliers(listeners: Array, likes: Array, reactions: Array) -> Array:
    """Whether the listener of each entry is one, bool (n,). reactions (n,) > 0, likes: of a listener in an arm.

    A listener, over all arms, whose modified z-score is above LIMIT for the number of reactions and, on either side,
    for the share of likes; as square root and arcsine of the root, whose spread does not grow with the value. Either
    alone takes people out: who comes most often, or who likes most. None for fewer than LEAST listeners.
    """
    known, places = np.unique(listeners, return_inverse=True)
    if known.size < LEAST:
        return np.zeros(listeners.size, np.bool_)
    amounts, liked = np.bincount(places, reactions), np.bincount(places, likes)
    often, differently = (modified_z(figure) for figure in (np.sqrt(amounts), np.arcsin(np.sqrt(liked / amounts))))
    found: Array = ((often > LIMIT) & (np.abs(differently) > LIMIT))[places]
    return found


def modified_z(values: Array) -> Array:
    """(x - median) / (1.4826 * median absolute deviation), float (n,), n > 0.

    The mean absolute deviation, times 1.2533, where the median one is 0; zeros where both are.
    """
    away = values - np.median(values)
    spread = _MEDIAN * float(np.median(np.abs(away))) or _MEAN * float(np.abs(away).mean())
    scores: Array = away / (spread or 1.0)
    return scores
