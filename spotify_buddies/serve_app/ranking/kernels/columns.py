"""Arguments of the ranking, grouped by what belongs together.

Kernels on the path of every request take a group as a plain tuple: numba finds the type of a NamedTuple in Python at
every call, which takes as long as ranking a user.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy.typing as npt

Array = npt.NDArray[Any]


class Ragged(NamedTuple):
    """Rows of different lengths: row i is values[indptr[i]:indptr[i + 1]]."""

    indptr: Array
    values: Array


class Catalogue(NamedTuple):
    """What an engine chooses from, the same for every request.

    By playlist row: factors float32 (playlists, d); owner, -1 for nobody; sketches uint8 (playlists, width), (0, 0)
    where there are none; row p of (song_indptr, songs), ascending, and song_bits uint64 (playlists, WORDS), one bit for
    each of them (trainer.bundle.derived), or no rows where a bundle has no songs of playlists; novelty float32, 0 to 1,
    and genre int16, -1 for none, both empty likewise. Best first: (popular, popular_scores) with everybody, and row g
    of (genre_indptr, genre_popular, genre_scores) in genre g. Row u of (refused_indptr, refused), ascending: what user
    u never gets; empty arrays where a bundle does not say.
    """

    factors: Array
    owner: Array
    sketches: Array
    popular: Array
    popular_scores: Array
    genre_indptr: Array
    genre_popular: Array
    genre_scores: Array
    song_indptr: Array
    songs: Array
    song_bits: Array
    novelty: Array
    genre: Array
    refused_indptr: Array
    refused: Array


class Asked(NamedTuple):
    """The users of a request and their candidates; -1: there is none.

    By user: users, the row; vectors[vector_rows[i]], the factor; candidate_rows[i], the row of (indptr, candidates);
    genre_rows[i], the genre, or no genre_rows at all where nobody has one. candidate_scores: empty, or those of
    candidates that are sorted best first already. genre_shares float32 (users, genres): what a list is calibrated to,
    zeros for a user of whom nothing is known; (0, 0) where no list is.
    """

    users: Array
    vectors: Array
    vector_rows: Array
    indptr: Array
    candidates: Array
    candidate_scores: Array
    candidate_rows: Array
    genre_rows: Array
    genre_shares: Array


class ListRules(NamedTuple):
    """Rules of a list, beside that users never get their own playlists, nor what the catalogue refuses them.

    excluded: rows that nobody gets; row i of (blocked_indptr, blocked): what user i of the request does not get; both
    ascending. At most max_per_owner of one owner; none with more than most_equal equal bytes in its sketch to a better
    one; none where one of the two has more than the share most_contained of its songs in the other. adventurous,
    calibration: weights, 0 to 1, of novelty and of the genres' shares beside the score.
    """

    excluded: Array
    blocked_indptr: Array
    blocked: Array
    max_per_owner: int
    most_equal: int
    most_contained: float
    adventurous: float
    calibration: float


class Limits(NamedTuple):
    """The numbers of ListRules that compare playlists. marks: room for rules.fits, MARKS zeros before and after it."""

    max_per_owner: int
    most_equal: int
    most_contained: float
    marks: Array


class ListColumns(NamedTuple):
    """Lists to be written: rows, scores (users, limit) best first, counts and sources (users,)."""

    rows: Array
    scores: Array
    counts: Array
    sources: Array


class Libraries(NamedTuple):
    """Whose each playlist is, and whose songs: owner, -1 for nobody; row u of (indptr, songs), ascending, of user u.

    listeners: users of each song. Row p of (playlist_indptr, playlist_songs), ascending, of playlist p; both empty
    where the bundle holds none.
    """

    owner: Array
    indptr: Array
    songs: Array
    listeners: Array
    playlist_indptr: Array
    playlist_songs: Array


class Ties(NamedTuple):
    """What ties a playlist to a user without a song: artist, of each song, -1 unknown, empty where no song has one.

    Row p of (playlist_indptr, playlist_songs) of playlist p; row u of (co_indptr, co_followers): those whose follows
    are nearest to user u's; row u of (followed_indptr, followed), ascending: what u follows. Empty if unknown.
    """

    artist: Array
    playlist_indptr: Array
    playlist_songs: Array
    co_indptr: Array
    co_followers: Array
    followed_indptr: Array
    followed: Array


class KnownReasons(NamedTuple):
    """Why each candidate suits its user, as the bundle says: a code of trainer.bundle.reasons for each candidate.

    Row u of (indptr, candidates) are those of user u. codes: empty where the bundle does not say.
    """

    indptr: Array
    candidates: Array
    codes: Array


class ExplainedLists(NamedTuple):
    """Lists to be explained: counts[i] of rows (users, limit) are filled; kinds[i]: what is said if nothing is shared.

    Row song_rows[i] of (indptr, songs), ascending, are the user's own songs; -1: none are known.
    """

    rows: Array
    counts: Array
    kinds: Array
    song_rows: Array
    indptr: Array
    songs: Array
