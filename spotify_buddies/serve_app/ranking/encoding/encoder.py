"""The encoder of ranked lists: columns in, the bytes of RecommendResponse.recommendations out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import permutations
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf.message import Message
from google.rpc import code_pb2

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.ranking.encoding import kernels
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.lookup import Keys
from spotify_buddies.serve_app.ranking.plain_arrays import read_only
from spotify_buddies.serve_app.ranking.query import Arm, RankedLists, RefusedUser, Skipped
from spotify_buddies.serve_app.ranking.reasons import EXAMPLES, PHRASES, Reasons
from spotify_buddies.trainer.bundle import Bundle, StringTable
from spotify_buddies.trainer.bundle.sources import ALL, names_of

Array = npt.NDArray[Any]


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


def ids_of(drawn: bytes) -> tuple[str, ...]:
    """The recommendation ids of what `draw_ids` gave."""
    digits = drawn.hex()
    return tuple(digits[k : k + kernels.ID_BYTES] for k in range(0, len(digits), kernels.ID_BYTES))


class Encoder:
    """Encodes the lists of one engine. Holds what every song, and every playlist, adds to an answer, encoded once."""

    def __init__(self, engine: Engine) -> None:
        bundle = engine.bundle
        # All of them now: threads share the encoder, and a code must never be known before the row that it points to.
        orders = [order for size in range(len(Skipped) + 1) for order in permutations(Skipped, size)]
        self._skipped_codes = {order: code for code, order in enumerate(orders)}
        skipped = [_bytes(pb.Recommendation(skipped=map(pb.Skipped.ValueType, order))) for order in orders]
        found = [_found_by(mask) for mask in range(ALL + 1)]
        phrases = StringTable.of([phrase for words in PHRASES for phrase in words])
        shared = [
            np.cumsum([0, *map(len, skipped)]),
            np.concatenate(skipped),
            *_playlists(bundle),
            *kernels.encode_songs(_columns(bundle.song_titles), _columns(bundle.song_artists)),
            *_columns(phrases),
            np.cumsum([0, *map(len, found)]),
            np.concatenate(found),
            *_columns(bundle.song_artists),
        ]
        heads = {arm: pb.Recommendation(model_version=engine.version, arm=pb.Arm.ValueType(arm)) for arm in Arm}
        self._fixed = {arm: kernels.Fixed(_bytes(head), *shared) for arm, head in heads.items()}

    def fixed(self, arm: Arm) -> kernels.Fixed:
        """What is the same in every answer of an arm."""
        return self._fixed[arm]

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
        if last - first < len(lists):
            lists, drawn = lists.part(first, last), drawn[first * 16 : last * 16]
            reasons = reasons and reasons.part(first, last)
        count, limit = lists.rows.shape
        keys = lists.keys or Keys.of(lists.user_ids)
        sent = kernels.Sent(
            keys.offsets, keys.data, np.frombuffer(drawn, np.uint8), lists.rows, lists.scores,
            lists.scores.view(np.uint32), lists.counts, lists.source_numbers,
            np.fromiter(map(self._skipped_codes.__getitem__, lists.skipped), np.int8, count),
            np.fromiter(lists.unknown_songs, np.int32, count),
            np.zeros((count, limit), np.uint8) if lists.candidate_sources is None else lists.candidate_sources,
        )  # fmt: skip
        # Arrays all the same where there are no reasons: with anything else the kernel would be compiled once more.
        none = np.empty((0, limit), np.int32)
        why = reasons or Reasons(none, none.astype(np.int8), np.empty((0, limit, EXAMPLES), np.int32))
        encoded = kernels.encode(sent, reasons is not None, why.shared, why.kinds, why.examples, self._fixed[arm])
        data: bytes = encoded.tobytes()
        return data


def encode_refused(refused: RefusedUser) -> bytes:
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


def _playlists(bundle: Bundle) -> kernels.Table:
    """What every playlist adds to an answer: mapped, or encoded now where an earlier release wrote the bundle."""
    if bundle.playlist_messages is not None:
        return _columns(bundle.playlist_messages)
    ids, titles, owners = bundle.playlist_ids.table, bundle.playlist_titles, bundle.user_ids.table
    encoded = kernels.encode_playlists(_columns(ids), _columns(titles), bundle.owner, _columns(owners))
    return kernels.Table(*map(read_only, encoded))


def _found_by(mask: int) -> Array:
    """The field RecommendedPlaylist.found_by of the sources in a mask."""
    names = [f"CANDIDATE_SOURCE_{name.upper()}" for name in names_of(mask)]
    return _bytes(pb.RecommendedPlaylist(found_by=[pb.CandidateSource.Value(name) for name in names]))


def _bytes(message: Message) -> Array:
    return np.frombuffer(message.SerializeToString(), np.uint8)


def _columns(table: StringTable) -> kernels.Table:
    return kernels.Table(table.offsets, table.data)
