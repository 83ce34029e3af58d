"""Encodes ranked lists: columns in, the bytes of RecommendResponse.recommendations out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import permutations
from typing import Any

import numpy as np
import numpy.typing as npt
from google.rpc import code_pb2

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.ranking.encoding import kernels
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.lookup import Keys
from spotify_buddies.serve_app.ranking.query import Arm, RankedLists, Reasons, Refused, Skipped, Source
from spotify_buddies.serve_app.ranking.reasons import EXAMPLES, PHRASES, wording
from spotify_buddies.trainer.bundle import StringTable

Array = npt.NDArray[Any]

# How reasons are worded, by the source's number.
_WORDED = np.array([0, *(wording(source) for source in Source)], np.int8)


class Encoded:
    """The bytes of a message, where a message is expected: servers ask a message for its bytes and for no more."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    def SerializeToString(self) -> bytes:  # noqa: N802 - the name that protobuf gives it
        """The bytes."""
        return self._data


def draw_ids(count: int) -> bytes:
    """Random bytes for as many recommendation ids, 16 each; the ids are their hexadecimal digits."""
    return os.urandom(count * (kernels.ID_BYTES // 2))


class Encoder:
    """Encodes the lists of one engine. Holds what every playlist and every song adds to an answer, encoded once."""

    def __init__(self, engine: Engine) -> None:
        bundle = engine.bundle
        self._heads = [
            _bytes(pb.Recommendation(model_version=engine.version, arm=pb.Arm.ValueType(arm))) for arm in (0, *Arm)
        ]
        # All of them now: threads share the encoder, and a code must never be known before the row that it points to.
        orders = [order for size in range(len(Skipped) + 1) for order in permutations(Skipped, size)]
        self._skipped_codes = {order: code for code, order in enumerate(orders)}
        self._skipped_fields = _table(
            [_bytes(pb.Recommendation(skipped=map(pb.Skipped.ValueType, order))) for order in orders]
        )
        ids, titles, owners = bundle.playlist_ids.table, bundle.playlist_titles, bundle.user_ids.table
        self._entries = kernels.encode_playlists(
            ids.offsets, ids.data, titles.offsets, titles.data, bundle.owner, owners.offsets, owners.data
        )
        names, artists = bundle.song_titles, bundle.song_artists
        self._songs = kernels.encode_songs(names.offsets, names.data, artists.offsets, artists.data)
        phrases = StringTable.of([phrase for words in PHRASES for phrase in words])
        self._phrases = phrases.offsets, phrases.data

    def encode(
        self,
        lists: RankedLists,
        drawn: bytes,
        reasons: Reasons | None,
        first: int = 0,
        last: int | None = None,
        *,
        arm: Arm = Arm.PRODUCTION,
    ) -> bytes:
        """The Recommendations of lists first up to last, as fields of a RecommendResponse.

        drawn: from draw_ids, one id per list. reasons: of all lists; None: they are left out.
        """
        last = len(lists) if last is None else last
        chosen, count, limit = slice(first, last), last - first, lists.rows.shape[1]
        explained = reasons is not None
        if reasons is None:
            reasons = Reasons(np.empty((0, limit), np.int32), np.empty((0, limit, EXAMPLES), np.int32))
        keys = lists.keys or Keys.of(lists.user_ids)
        scores, sources = lists.scores[chosen], lists.source_numbers[chosen]
        encoded = kernels.encode(
            keys.offsets[first : last + 1], keys.data, np.frombuffer(drawn, np.uint8)[first * 16 :],
            lists.rows[chosen], scores, scores.view(np.uint32), lists.counts[chosen], self._heads[arm],
            sources, _WORDED[sources],
            np.fromiter(map(self._skipped_codes.__getitem__, lists.skipped[chosen]), np.int8, count),
            *self._skipped_fields, np.fromiter(lists.unknown_songs[chosen], np.int32, count),
            *self._entries, explained, reasons.shared[chosen], reasons.examples[chosen], *self._songs, *self._phrases,
        )  # fmt: skip
        data: bytes = encoded.tobytes()
        return data


def encode_refused(refused: Refused) -> bytes:
    """A Recommendation that carries an error, as a field of a RecommendResponse."""
    code: int = code_pb2.INVALID_ARGUMENT
    error = pb.ListenerError(code=code, field=refused.field, message=refused.message)
    return pb.RecommendResponse(
        recommendations=[pb.Recommendation(user_id=refused.user_id, error=error)]
    ).SerializeToString()


def merge(messages: Sequence[bytes], chosen: Array) -> bytes:
    """Fields of several RecommendResponses in one order: place i takes the next one left of messages[chosen[i]]."""
    starts = np.cumsum([0, *map(len, messages)][:-1])
    merged = kernels.merge(np.frombuffer(b"".join(messages), np.uint8), starts, chosen)
    data: bytes = merged.tobytes()
    return data


def _bytes(message: pb.Recommendation) -> Array:
    return np.frombuffer(message.SerializeToString(), np.uint8)


def _table(rows: Sequence[Array]) -> tuple[Array, Array]:
    """Offsets int64 (rows + 1,) and bytes."""
    return np.cumsum([0, *map(len, rows)]), np.concatenate(rows)
