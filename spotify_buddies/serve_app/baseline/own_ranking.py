"""The service's own ranking in a worker process of a pool."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spotify_buddies.foundation.process.subreaper import end_with_parent
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.query import Query
from spotify_buddies.serve_app.ranking.rules import Rules
from spotify_buddies.trainer.bundle import open_bundle

LIMIT = 5

# Of this process: a pool's work is a function, and finds its model here.
_engines: list[Engine] = []


def open_model(bundle: Path) -> None:
    """Once in each worker, before its first work; it ends with the process that started it."""
    end_with_parent()
    engine = Engine(open_bundle(bundle, check_hashes=False), "peer")
    engine.warm_up()
    _engines[:] = [engine]


def rank(user_ids: list[str]) -> list[list[str]]:
    """Ids of the best playlists of each user, best first, in the order asked: as a Recommend without options."""
    engine = _engines[0]
    lists = engine.rank_known(user_ids, LIMIT, np.empty(0, np.int32), _default_rules())
    names = engine.playlist_ids
    return [
        [names[row] for row in rows[:count]]
        for rows, count in zip(lists.rows.tolist(), lists.counts.tolist(), strict=True)
    ]


def _default_rules() -> Rules:
    query = Query()
    return Rules(
        None, query.max_per_owner, query.max_song_overlap, query.max_song_containment, query.adventurous,
        query.calibration,
    )  # fmt: skip
