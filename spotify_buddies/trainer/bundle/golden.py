"""Golden listeners: lists computed while the bundle was written, for whoever serves it to compare its own with.

They are computed with plain numpy from the same files, so that a kernel, a look-up of ids or a mapping that is off on
some machine is found before anybody is answered.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from spotify_buddies.trainer.bundle.bundle import Bundle

Array = npt.NDArray[Any]

GOLDEN = "golden.json"
LISTENERS = 8
LENGTH = 10
# Listeners looked at: enough to find LISTENERS whose lists are clear even where most are not.
LOOKED_AT = 64
# Neighbouring scores of a golden list differ by more than this share of the largest: float32 sums in another order
# differ by a hundredth of it, so the order is the same wherever it is computed.
CLEAR = 1e-4
# Far above what sums differ by between machines, so that the same parts give the same bytes.
DECIMALS = 6


@dataclass(frozen=True)
class Golden:
    """A listener's candidates, best first, by score alone: nothing excluded, the own playlists left out, no other rule.

    playlist_ids, scores: at most LENGTH, at least one.
    """

    user_id: str
    playlist_ids: tuple[str, ...]
    scores: tuple[float, ...]


def find_golden(bundle: Bundle) -> tuple[Golden, ...]:
    """At most LISTENERS, evenly over those with candidates; fewer, or none, where scores are too near each other."""
    eligible = np.flatnonzero(np.diff(bundle.candidates.indptr))
    tried = (_golden(bundle, user) for user in _evenly(eligible, LOOKED_AT).tolist())
    found = [golden for golden in tried if golden is not None]
    return tuple(found[at] for at in _evenly(np.arange(len(found)), LISTENERS).tolist())


def _golden(bundle: Bundle, user: int) -> Golden | None:
    rows = np.asarray(bundle.candidates.row(user))
    rows = rows[bundle.owner[rows] != user]
    # In double precision, so that nothing depends on the order of a sum.
    factor, factors = (a.astype(np.float64) for a in (bundle.user_factors[user], bundle.playlist_factors[rows]))
    scores = (factors * factor).sum(axis=1)
    order = np.argsort(-scores, kind="stable")[: LENGTH + 1]
    best = scores[order]
    if not best.size or not np.all(-np.diff(best) > CLEAR * max(1e-6, float(np.abs(best).max()))):
        return None
    kept = order[:LENGTH]
    ids = bundle.playlist_ids.table
    return Golden(
        bundle.user_ids.table[user],
        tuple(ids[row] for row in rows[kept].tolist()),
        tuple(round(score, DECIMALS) for score in scores[kept].tolist()),
    )


def save_golden(directory: Path, golden: Sequence[Golden]) -> None:
    """Write the file; none where there are no golden listeners."""
    if golden:
        body = [
            {"user_id": one.user_id, "playlists": list(zip(one.playlist_ids, one.scores, strict=True))}
            for one in golden
        ]
        (directory / GOLDEN).write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load_golden(directory: Path) -> tuple[Golden, ...]:
    """Read the file; empty where there is none. ValueError, KeyError or TypeError: it is not what save_golden wrote."""
    path = directory / GOLDEN
    if not path.exists():
        return ()
    return tuple(
        Golden(
            str(one["user_id"]),
            tuple(str(playlist) for playlist, _ in one["playlists"]),
            tuple(float(score) for _, score in one["playlists"]),
        )
        for one in json.loads(path.read_bytes())
    )


def _evenly(values: Array, most: int) -> Array:
    """At most so many of the values, evenly spaced, in their order."""
    if values.size <= most:
        return values
    chosen: Array = values[np.linspace(0, values.size - 1, most).astype(np.int64)]
    return chosen
