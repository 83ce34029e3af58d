"""An opened bundle: memory-mapped arrays by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.arrays.strings import KeyIndex, StringTable
from spotify_buddies.trainer.bundle.golden import Golden
from spotify_buddies.trainer.bundle.manifest import Manifest
from spotify_buddies.trainer.bundle.songs import SongFactors

Array = npt.NDArray[Any]

SKETCH_BYTES = 64
SONG_FACTORS = "song_factors.safetensors"
# Arrays that a bundle may lack: those of earlier releases have none of them.
OPTIONAL = (
    "candidate_sources", "candidate_offsets", "candidate_reasons", "retrieval_scale", "artist_rows", "song_alias_rows",
    "playlist_novelty", "playlist_genre", "playlist_song_bits",
)  # fmt: skip
OPTIONAL_ROWS = ("playlist_songs", "followed", "co_followers", "refused")


@dataclass(frozen=True)
class Bundle:
    """Everything one model version needs to answer. Rows of users, playlists and songs are internal numbers.

    user_factors, playlist_factors: float32 (users, d), (playlists, d); score = u . p. candidates: users x playlists,
    best first, values the scores. user_songs: users x songs, ascending. owned: users x playlists. owner: int32
    (playlists,), -1 nobody.
    popular: int32, playlist rows that most people like, best first; popular_scores float32, the likes of each.
    song_listeners: int32 (songs,). song_id_rows: int32, the song row of each entry of song_ids.
    sketches: uint8 (playlists, SKETCH_BYTES), b-bit MinHash of each playlist's songs (trainer.publish.sketches).
    song_genres: int16 (songs,), -1 unknown. genre_popular: genres x playlists, best first, values the likes of each.
    song_factors: how songs add up to a factor; None where the model has none of songs.
    candidate_sources: uint8, one mask of trainer.bundle.sources per entry of candidates; None where the writer did not
    say. candidate_offsets: float32 likewise, the part of a candidate's score that is no inner product; None: none has
    any. candidate_reasons: uint8 likewise, why it suits its user (trainer.bundle.reasons.codes); None where the writer
    did not say. retrieval_scale: float32 (d,): the nearest playlists of a factor u are those with the largest inner
    product of u * retrieval_scale and their factor; None where the model was not asked for such. playlist_songs:
    playlists x songs, ascending; None where the writer left it out. artist_rows: int32 (songs,), a number for the
    artist of each song, -1 unknown; None where no song has one. followed: users x playlists, ascending, what each
    follows. co_followers: users x users, those whose follows are nearest to a user's, nearest first, never oneself;
    both None where follows are not people's own. refused: users x playlists, ascending, what its user never gets:
    disliked, or followed already where follows are people's own; None where nobody said either.
    playlist_novelty float32 and playlist_genre int16 (playlists,), playlist_song_bits uint64 (playlists, WORDS),
    playlist_messages by playlist row: what follows from the other arrays (derived), so that it is not computed at every
    start and swap; None in bundles of earlier releases and, the first three, where there are no playlist_songs.
    song_keys: one normalised key (foundation.text.song_keys.song_key) per song row. song_aliases: keys that no row has
    and that are other spellings of a song, song_alias_rows int32, the row of each; None where there are none.
    index: directory of the FAISS index. golden: lists to compare served ones with; empty where the writer gave none.
    """

    directory: Path
    manifest: Manifest
    sha256: str
    user_factors: Array
    playlist_factors: Array
    candidates: Csr
    user_songs: Csr
    owned: Csr
    owner: Array
    popular: Array
    popular_scores: Array
    song_listeners: Array
    sketches: Array
    song_genres: Array
    genre_popular: Csr
    song_factors: SongFactors | None
    user_ids: KeyIndex
    playlist_ids: KeyIndex
    song_ids: KeyIndex
    song_id_rows: Array
    song_keys: KeyIndex
    playlist_titles: StringTable
    song_titles: StringTable
    song_artists: StringTable
    index: Path
    golden: tuple[Golden, ...] = ()
    candidate_sources: Array | None = None
    candidate_offsets: Array | None = None
    candidate_reasons: Array | None = None
    retrieval_scale: Array | None = None
    playlist_songs: Csr | None = None
    song_aliases: KeyIndex | None = None
    song_alias_rows: Array | None = None
    artist_rows: Array | None = None
    followed: Csr | None = None
    co_followers: Csr | None = None
    refused: Csr | None = None
    playlist_novelty: Array | None = None
    playlist_genre: Array | None = None
    playlist_song_bits: Array | None = None
    playlist_messages: StringTable | None = None
