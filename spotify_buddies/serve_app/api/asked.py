"""What is remembered of a request beside each of its lists, so that a list can be computed again."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.api import limits
from spotify_buddies.serve_app.ranking.rules import FIELD, Exploration

# Of RecommendRequest.tastes, a field of bytes.
_TASTES = bytes((pb.RecommendRequest.TASTES_FIELD_NUMBER << 3 | 2,))


def asked_of(request: pb.RecommendRequest) -> bytes | None:
    """Everything but the users and counterfactual, which changes no list, as a serialized RecommendRequest.

    None: it is longer than limits.ASKED_BYTES.
    """
    rest = pb.RecommendRequest()
    if request.tastes:
        # They hold up to 200,000 songs, which are not copied to be taken out again.
        for described, value in request.ListFields():
            if described.name not in ("user_ids", "tastes", "counterfactual"):
                _put(rest, described.name, value)
    else:
        rest.CopyFrom(request)
        rest.ClearField("user_ids")
        rest.ClearField("counterfactual")
    asked = rest.SerializeToString()
    return asked if len(asked) <= limits.ASKED_BYTES else None


def asked_of_taste(taste: pb.Taste) -> bytes | None:
    """The taste without its user_id, as the field that follows `asked_of`; None: longer than ASKED_TASTE_BYTES."""
    rest = pb.Taste()
    rest.CopyFrom(taste)
    rest.ClearField("user_id")
    data = rest.SerializeToString()
    if len(data) > limits.ASKED_TASTE_BYTES:
        return None
    # Written here: a RecommendRequest around it would copy every song once more, at twice the time.
    return _TASTES + _varint(len(data)) + data


def request_of(asked: bytes, user_id: str) -> pb.RecommendRequest:
    """The request for one listener that asks what is remembered, for a taste by its songs. DecodeError: it is none."""
    request = pb.RecommendRequest.FromString(asked)
    if request.tastes:
        request.tastes[0].user_id = user_id
    else:
        request.user_ids.append(user_id)
    return request


def exploration_of(asked: bytes) -> Exploration | None:
    """How the places of a list with propensities were drawn; None: it is not said. DecodeError: it is no request.

    The last one counts: a caller may have sent the same field, which is no part of the API. ValueError: another release
    says it in another way.
    """
    fields = UnknownFieldSet(pb.RecommendRequest.FromString(asked))
    drawn = [fields[place].data for place in range(len(fields)) if fields[place].field_number == FIELD]
    return Exploration.read(drawn[-1]) if drawn else None


def _put(message: Message, name: str, value: Any) -> None:
    if isinstance(value, Message):
        getattr(message, name).CopyFrom(value)
    elif isinstance(value, int | float):
        setattr(message, name, value)
    else:
        getattr(message, name).extend(value)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)
