"""Reasons of a recommendation: the songs that the owner of the playlist and the user share, or the playlist's own."""

from __future__ import annotations

import numpy as np

from spotify_buddies.serve_app.ranking import kernels
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.query import RankedLists, Reasons, Source

EXAMPLES = 3
# The sentence for up to one, and the words before and after a larger number. People who listen read these.
PHRASES = (
    ("close to your taste", "", ""),
    ("made by someone who shares one of your songs", "made by someone who shares ", " of your songs"),
    ("popular with many listeners", "popular with ", " listeners"),
    ("popular in your kind of music", "popular with ", " listeners, in your kind of music"),
    ("with one of your songs", "with ", " of your songs"),
)
# The place in PHRASES of what is said where the playlist itself has songs of the user.
PLAYLISTS_SONGS = 4
# Whether a source, by its number, answers with playlists of neighbours.
_PERSONAL = np.array([False, *(s in (Source.LIVE, Source.DAILY, Source.COLD_NEIGHBOURS) for s in Source)])


def explain(engine: Engine, lists: RankedLists) -> Reasons:
    """Count shared songs and pick up to three examples, best known first, for every place of every list.

    Songs that the owner shares with the user, or, where there are none, songs of the playlist itself that are the
    user's: these are counted below 0. Places that are not filled and popular playlists share nothing.
    """
    count, limit = lists.rows.shape
    shared = np.empty((count, limit), np.int32)
    examples = np.empty((count, limit, EXAMPLES), np.int32)
    personal = _PERSONAL[lists.source_numbers]
    kernels.share(
        kernels.ExplainedLists(
            lists.rows, lists.counts, personal, lists.song_rows, lists.songs.indptr, lists.songs.indices
        ),
        engine.libraries,
        shared,
        examples,
    )
    return Reasons(shared, examples)


def wording(source: Source) -> int:
    """The place in PHRASES of what is said of a source's playlists, where they have something to count."""
    return {Source.POPULAR: 2, Source.POPULAR_IN_GENRE: 3}.get(source, 1)


def sentence(source: Source, shared_songs: int, score: float) -> str:
    """The reason in English. shared_songs: as Reasons. score: of a popular playlist, the number who like it."""
    worded = wording(source)
    number = abs(shared_songs) if worded == 1 else int(score)
    if worded == 1 and shared_songs <= 0:
        worded = PLAYLISTS_SONGS if shared_songs else 0
    one, before, after = PHRASES[worded]
    return f"{before}{number:,}{after}" if worded and number > 1 else one
