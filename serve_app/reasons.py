"""Why a playlist is recommended: the songs that its owner and the listener share."""

from __future__ import annotations

import numpy as np

from serve_app import kernels
from serve_app.engine import Engine
from serve_app.query import Lists, Reasons, Source

EXAMPLES = 3


def explain(engine: Engine, lists: Lists) -> Reasons:
    """Count shared songs and pick up to three examples, best known first, for every place of every list.

    Places that are not filled, popular playlists and playlists without an owner share nothing.
    """
    count, limit = lists.rows.shape
    shared = np.zeros(count * limit, np.int32)
    examples = np.full((count * limit, EXAMPLES), -1, np.int32)
    if not lists.counts.any():
        return Reasons(shared.reshape(count, limit), examples.reshape(count, limit, EXAMPLES))
    filled = np.arange(limit) < lists.counts[:, None]
    personal = np.array([source is not Source.POPULAR for source in lists.sources], bool).reshape(-1, 1)
    owners = np.where(filled & personal, engine.bundle.owner[np.where(filled, lists.rows, 0)], -1)
    right = engine.bundle.user_songs
    kernels.share(
        np.repeat(lists.song_rows, limit), lists.songs.indptr, lists.songs.indices,
        np.ascontiguousarray(owners.reshape(-1), np.int32), right.indptr, right.indices,
        engine.bundle.song_listeners, shared, examples,
    )  # fmt: skip
    return Reasons(shared.reshape(count, limit), examples.reshape(count, limit, EXAMPLES))


def sentence(source: Source, shared_songs: int, score: float) -> str:
    """The reason in English. score: for a popular playlist the number of listeners who like it."""
    if source is Source.POPULAR:
        likes = int(score)
        return f"popular with {likes:,} listeners" if likes > 1 else "popular with many listeners"
    if shared_songs == 0:
        return "close to your taste"
    return f"made by someone who shares {shared_songs:,} of your songs" if shared_songs > 1 else (
        "made by someone who shares one of your songs"
    )  # fmt: skip
