"""Reasons of a recommendation: what owner, songs, artists or followers have in common with the user, in this order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.serve_app.ranking import kernels
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.query import RankedLists, ReasonKind, Source

Array = npt.NDArray[Any]

EXAMPLES = 3
# By kind: the sentence for up to one, and the words before and after a larger number. People who listen read these.
PHRASES = (
    ("", "", ""),
    ("close to your taste", "", ""),
    ("made by someone who shares one of your songs", "made by someone who shares ", " of your songs"),
    ("with one of your songs", "with ", " of your songs"),
    ("with a song by an artist you listen to", "with ", " songs by artists you listen to"),
    ("followed by someone who follows what you follow", "followed by ", " people who follow what you follow"),
    ("popular with many listeners", "popular with ", " listeners"),
    ("popular in your kind of music", "popular with ", " listeners, in your kind of music"),
)
# By the source's number: the kind of what nothing in common is found for, or sought.
UNSHARED = np.array(
    [
        0,
        *(
            {Source.POPULAR: ReasonKind.POPULAR, Source.POPULAR_IN_GENRE: ReasonKind.POPULAR_IN_GENRE}.get(
                source, ReasonKind.TASTE
            )
            for source in Source
        ),
    ],
    np.int8,
)


@dataclass(frozen=True)
class Reasons:
    """Why, per (user, place): shared int32, kinds int8 (n, limit); examples int32 (n, limit, 3) song rows, -1 padded.

    shared: how many the playlist has in common with the user of what its kind, a ReasonKind, says; 0 for TASTE and the
    popular ones. kinds: 0 where a place is not filled. examples: of OWNER and SONGS such songs, of ARTISTS one song of
    each such artist.
    """

    shared: Array
    kinds: Array
    examples: Array

    def part(self, first: int, last: int) -> Reasons:
        """Those of users first up to last."""
        return Reasons(self.shared[first:last], self.kinds[first:last], self.examples[first:last])


def explain(engine: Engine, lists: RankedLists) -> Reasons:
    """Count what each playlist of each list has in common with its user, and pick up to three examples.

    The first of these that is not 0: songs that the owner, whoever it is, shares with the user; songs of the playlist
    that are the user's; songs of the playlist by artists of the user's songs; co-followers of the user who follow it.
    Popular playlists share nothing. What the bundle does not hold is not counted.
    """
    count, limit = lists.rows.shape
    shared, kinds = np.empty((count, limit), np.int32), np.empty((count, limit), np.int8)
    reasons = Reasons(shared, kinds, np.empty((count, limit, EXAMPLES), np.int32))
    explained, codes = _explained(lists), np.zeros((count, limit), np.uint8)
    if _of_users(engine, lists):
        kernels.look_up(explained, engine.known_reasons, codes)
    # Nearly all places share a song: the rest of the bundle is not touched for them.
    if kernels.share(explained, engine.libraries, codes, shared, kinds, reasons.examples):
        _tie(engine, lists, explained, reasons)
    return reasons


def tie(engine: Engine, lists: RankedLists, reasons: Reasons) -> None:
    """Look for artists and followers in common, in place, where reasons of these lists are OPEN."""
    _tie(engine, lists, _explained(lists), reasons)


def _tie(engine: Engine, lists: RankedLists, explained: kernels.ExplainedLists, reasons: Reasons) -> None:
    users = _of_users(engine, lists)
    kernels.tie(explained, users, engine.ties, reasons.shared, reasons.kinds, reasons.examples)


def _of_users(engine: Engine, lists: RankedLists) -> bool:
    """Songs of the bundle's users stand by their rows, those of a taste by its place in the request."""
    return lists.songs is engine.bundle.user_songs


def sentence(kind: ReasonKind, number: int) -> str:
    """The reason in English. number: what is counted; of a popular playlist, those who like it."""
    one, before, after = PHRASES[kind]
    return f"{before}{number:,}{after}" if before and number > 1 else one


def _explained(lists: RankedLists) -> kernels.ExplainedLists:
    unshared = UNSHARED[lists.source_numbers]
    return kernels.ExplainedLists(
        lists.rows, lists.counts, unshared, lists.song_rows, lists.songs.indptr, lists.songs.indices
    )
