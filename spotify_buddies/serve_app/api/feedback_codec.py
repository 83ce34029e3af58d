"""Decoding and checking of feedback. Ranges: limits.py."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC

from spotify_buddies.foundation.text.ids import are_ids, fault
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.api import limits
from spotify_buddies.serve_app.api.codec import NANOS, Malformed, id_violations, refuse_malformed
from spotify_buddies.serve_app.errors import InvalidRequest, Violation
from spotify_buddies.serve_app.store.actions import Feedback, Snooze

_ARMS = {number: name.removeprefix("ARM_").lower() for name, number in pb.Arm.items()}
_SAID = "liked, ignored, disliked and do_not_recommend"
# 16 random bytes as hexadecimal digits, which versions/answers.py draws.
_GIVEN_ID = re.compile("[0-9a-f]{32}")
# What google.protobuf.Timestamp holds, in seconds since 1970.
_TIMES = (-62_135_596_800, 253_402_300_799)


def decode_feedback(request: pb.FeedbackRequest | Malformed, caller: str = "") -> Feedback:
    """Check and convert. InvalidRequest names every field that is out of its range, or the header with the caller."""
    request = refuse_malformed(request)
    violations = list(_feedback_violations(request))
    if problem := fault(caller, least=0, most=limits.CALLER_BYTES):
        violations.append(Violation("header buddies-caller", problem))
    if violations:
        raise InvalidRequest(tuple(violations))
    return Feedback(
        recommendation_id=request.recommendation_id,
        user_id=request.user_id,
        liked=tuple(request.liked),
        ignored=tuple(request.ignored),
        disliked=tuple(request.disliked),
        idempotency_key=request.idempotency_key,
        model_version=request.model_version,
        arm=_ARMS[request.arm],
        snoozes=tuple(Snooze(w.playlist_id, w.until.ToDatetime(UTC)) for w in request.do_not_recommend),
        caller=caller,
    )


def _feedback_violations(request: pb.FeedbackRequest) -> Iterable[Violation]:
    if not _GIVEN_ID.fullmatch(request.recommendation_id):
        yield Violation("recommendation_id", "is not as Recommend gives them: 32 hexadecimal digits, in lower case")
    yield from id_violations("user_id", request.user_id)
    yield from id_violations("idempotency_key", request.idempotency_key)
    yield from id_violations("model_version", request.model_version, least=0)
    if request.arm not in _ARMS:
        yield Violation("arm", f"{request.arm} is not an Arm")
    wished = [wish.playlist_id for wish in request.do_not_recommend]
    ids = [*request.liked, *request.ignored, *request.disliked, *wished]
    if not 1 <= len(ids) <= limits.REACTIONS:
        yield Violation("liked", f"{len(ids):,} ids in {_SAID}, must be 1 to {limits.REACTIONS}")
        return
    # Nearly all requests are right: look at single ids only where one is not.
    if not (are_ids(ids) and len(set(ids)) == len(ids)):
        yield from _playlist_violations(request)
    for i, wish in enumerate(request.do_not_recommend):
        if not wish.HasField("until"):
            yield Violation(f"do_not_recommend[{i}].until", "is missing")
        elif not (_TIMES[0] <= wish.until.seconds <= _TIMES[1] and 0 <= wish.until.nanos < NANOS):
            yield Violation(f"do_not_recommend[{i}].until", "is not a time of the years 1 to 9999")


def _playlist_violations(request: pb.FeedbackRequest) -> Iterable[Violation]:
    seen: set[str] = set()
    for field, playlist_id in _said(request):
        yield from id_violations(field, playlist_id)
        if playlist_id in seen:
            yield Violation(field, f"the playlist appears twice in {_SAID}")
        seen.add(playlist_id)


def _said(request: pb.FeedbackRequest) -> list[tuple[str, str]]:
    """Field and playlist id of everything that the action says."""
    lists = (("liked", request.liked), ("ignored", request.ignored), ("disliked", request.disliked))
    said = [(f"{name}[{i}]", playlist_id) for name, ids in lists for i, playlist_id in enumerate(ids)]
    snoozes = enumerate(request.do_not_recommend)
    return said + [(f"do_not_recommend[{i}].playlist_id", snooze.playlist_id) for i, snooze in snoozes]
