"""Parity of an engine with the writer of its bundle: the golden users, ranked and compared."""

from __future__ import annotations

import numpy as np

from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.trainer.bundle import BundleError, Golden

# Relative to the larger of 1 and the score.
TOLERANCE = 1e-3
UNCHECKED = "not compared with its writer's lists: the bundle holds no golden users"


def check_parity(engine: Engine) -> str:
    """Compare playlists, order and scores; "" or a note where there is nothing to compare. BundleError: they differ."""
    golden = engine.bundle.golden
    if not golden:
        return UNCHECKED
    limit = max(len(one.playlist_ids) for one in golden)
    lists = engine.rank_known([one.user_id for one in golden], limit, np.empty(0, np.int32))
    for row, one in enumerate(golden):
        # A list may be longer than the golden one: only the common part is compared.
        count = min(int(lists.counts[row]), len(one.playlist_ids))
        ranked = tuple(engine.playlist_ids[playlist] for playlist in lists.rows[row, :count].tolist())
        _compare(engine, one, ranked, lists.scores[row, :count].tolist())
    return ""


def _compare(engine: Engine, one: Golden, ranked: tuple[str, ...], scores: list[float]) -> None:
    for place, (playlist, score) in enumerate(zip(one.playlist_ids, one.scores, strict=True)):
        if place < len(ranked) and ranked[place] == playlist:
            if abs(scores[place] - score) <= TOLERANCE * max(1.0, abs(score)):
                continue
            said = f"scores {scores[place]:.6g}, its writer {score:.6g}"
        else:
            said = f"has {ranked[place] if place < len(ranked) else 'nothing'!r}, its writer {playlist!r}"
        raise BundleError(
            f"{engine.bundle.directory}: version {engine.version} does not answer as its writer did: place {place + 1} "
            f"of golden user {one.user_id!r} {said}; write the bundle again with this release"
        )
