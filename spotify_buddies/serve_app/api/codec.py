"""Decoding and checking of requests. Ranges: limits.py."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from spotify_buddies.foundation.text.ids import are_ids, fault, is_id
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.api import limits
from spotify_buddies.serve_app.api.asked import asked_of, asked_of_taste
from spotify_buddies.serve_app.errors import InvalidRequest, Violation
from spotify_buddies.serve_app.ranking.query import ExcludeSeen, Mode, Query, RefusedUser, SongName, Taste
from spotify_buddies.serve_app.store.actions import Feedback, Snooze

NANOS = 10**9
_ARMS = {number: name.removeprefix("ARM_").lower() for name, number in pb.Arm.items()}
_MODES = frozenset(pb.Mode.values())
_SAID = "liked, ignored, disliked and do_not_recommend"
# 16 random bytes as hexadecimal digits, which versions/answers.py draws.
_GIVEN_ID = re.compile("[0-9a-f]{32}")
# What google.protobuf.Timestamp holds, in seconds since 1970.
_TIMES = (-62_135_596_800, 253_402_300_799)
Parsed = TypeVar("Parsed", bound=Message)


@dataclass(frozen=True)
class Malformed:
    """Stands for a request whose bytes are not the message; the handler answers it with INVALID_ARGUMENT."""

    message: str


def refuse_malformed(request: Parsed | Malformed) -> Parsed:
    """The request itself. InvalidRequest when its bytes could not be parsed."""
    if isinstance(request, Malformed):
        raise InvalidRequest((Violation("", request.message),))
    return request


@dataclass(frozen=True)
class StreamQuery:
    """One RecommendStream request, checked. part_size: users per part."""

    query: Query
    part_size: int


def decode_query(request: pb.RecommendRequest | Malformed) -> Query:
    """Check and convert. InvalidRequest names every field that is out of its range.

    Users that cannot be answered are Query.refused, where others can; otherwise they are fields out of range too.
    """
    return _decode(refuse_malformed(request), limits.USERS, limits.REQUEST_SONGS)


def decode_stream(request: pb.RecommendStreamRequest | Malformed) -> StreamQuery:
    """As decode_query, for a request in parts. The fields that InvalidRequest names begin with "request."."""
    request = refuse_malformed(request)
    violations: list[Violation] = []
    size = request.part_size if request.HasField("part_size") else limits.PART_DEFAULT
    if not 1 <= size <= limits.PART_MOST:
        violations.append(Violation("part_size", f"is {size}, must be 1 to {limits.PART_MOST:,}"))
    try:
        query = _decode(request.request, limits.STREAM_USERS, limits.STREAM_SONGS)
    except InvalidRequest as error:
        violations = [*(Violation(f"request.{v.field}", v.description) for v in error.violations), *violations]
    if violations:
        raise InvalidRequest(tuple(violations))
    return StreamQuery(query, size)


def _decode(request: pb.RecommendRequest, users: int, songs: int) -> Query:
    user_ids = tuple(request.user_ids)
    violations = list(_query_violations(request, users))
    tastes: list[Taste] = []
    refused: list[RefusedUser] = []
    if len(user_ids) + len(request.tastes) <= users:
        refused += _bad_ids(user_ids)
        if request.tastes:
            tastes = _read_tastes(request, songs, refused, violations)
    if violations or (refused and len(refused) == len(user_ids) + len(request.tastes)):
        raise InvalidRequest((*(Violation(r.field, r.message) for r in refused), *violations))
    places = {r.place for r in refused}
    if places:
        user_ids = tuple(user_id for i, user_id in enumerate(user_ids) if i not in places)
    return Query(
        user_ids=user_ids,
        tastes=tuple(tastes),
        limit=request.limit if request.HasField("limit") else limits.LIMIT_DEFAULT,
        mode=Mode.DAILY if request.mode == pb.MODE_DAILY else Mode.LIVE,
        exclude_playlist_ids=tuple(request.exclude_playlist_ids),
        explain=request.explain if request.HasField("explain") else True,
        exclude_seen=_seen(request.exclude_seen) if request.HasField("exclude_seen") else None,
        max_per_owner=request.max_per_owner if request.HasField("max_per_owner") else limits.OWNER_DEFAULT,
        max_song_overlap=request.max_song_overlap if request.HasField("max_song_overlap") else limits.OVERLAP_DEFAULT,
        max_song_containment=(
            request.max_song_containment if request.HasField("max_song_containment") else limits.CONTAINMENT_DEFAULT
        ),
        adventurous=request.adventurous,
        calibration=request.calibration,
        refused=tuple(refused),
        asked=asked_of(request),
    )


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


def _seen(asked: pb.ExcludeSeen) -> ExcludeSeen | None:
    window_s = _seconds(asked.window) if asked.HasField("window") else float(limits.SEEN_DEFAULT_S)
    shown = asked.shown if asked.HasField("shown") else True
    liked = asked.liked if asked.HasField("liked") else True
    return ExcludeSeen(window_s, shown, liked) if shown or liked else None


def _seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / NANOS


def _query_violations(request: pb.RecommendRequest, most: int) -> Iterable[Violation]:
    users = len(request.user_ids) + len(request.tastes)
    if users == 0:
        yield Violation("user_ids", "needs at least one user in user_ids or tastes")
    if users > most:
        yield Violation("user_ids", f"{users:,} users in user_ids and tastes, at most {most:,}")
    if request.HasField("limit") and not 1 <= request.limit <= limits.LIMIT_MOST:
        yield Violation("limit", f"is {request.limit}, must be 1 to {limits.LIMIT_MOST}")
    if request.HasField("max_per_owner") and not 1 <= request.max_per_owner <= limits.LIMIT_MOST:
        yield Violation("max_per_owner", f"is {request.max_per_owner}, must be 1 to {limits.LIMIT_MOST}")
    if request.mode not in _MODES:
        yield Violation("mode", f"{request.mode} is not a Mode")
    excluded = len(request.exclude_playlist_ids)
    if excluded > limits.EXCLUDED:
        yield Violation("exclude_playlist_ids", f"{excluded:,} ids, at most {limits.EXCLUDED:,}")
    elif not are_ids(request.exclude_playlist_ids):
        for i, playlist_id in enumerate(request.exclude_playlist_ids):
            yield from _id(f"exclude_playlist_ids[{i}]", playlist_id)
    for name in ("max_song_overlap", "max_song_containment"):
        share = getattr(request, name)
        if request.HasField(name) and not 0 < share <= 1:
            yield Violation(name, f"is {share}, must be more than 0, up to 1")
    for name in ("adventurous", "calibration"):
        # NaN is in no range.
        if not 0 <= getattr(request, name) <= 1:
            yield Violation(name, f"is {getattr(request, name)}, must be 0 to 1")
    if request.HasField("exclude_seen") and request.exclude_seen.HasField("window"):
        window = request.exclude_seen.window
        if not NANOS <= window.seconds * NANOS + window.nanos <= limits.SEEN_MOST_S * NANOS:
            yield Violation("exclude_seen.window", f"is {_seconds(window):g} s, must be 1 second to 365 days")


def _bad_ids(ids: Sequence[str]) -> Iterable[RefusedUser]:
    if are_ids(ids):
        return
    for i, user_id in enumerate(ids):
        for violation in _id(f"user_ids[{i}]", user_id):
            yield RefusedUser(i, user_id, violation.field, violation.description)


def _read_tastes(
    request: pb.RecommendRequest, most_songs: int, refused: list[RefusedUser], violations: list[Violation]
) -> list[Taste]:
    """The tastes that can be answered. Adds those that cannot to refused, and what is wrong with all to violations."""
    read: list[Taste] = []
    songs = sum(len(taste.songs) for taste in request.tastes)
    if songs > most_songs:
        violations.append(Violation("tastes", f"{songs:,} songs in all tastes, at most {most_songs:,}"))
        return read
    for i, taste in enumerate(request.tastes):
        if (sound := _taste(taste)) is not None:
            read.append(sound)
            continue
        # Field by field only now: nearly all tastes are right, and have many fields.
        first, *more = _taste_violations(f"tastes[{i}]", taste)
        message = first.description + (f" ({len(more):,} more fields are out of range)" if more else "")
        refused.append(RefusedUser(len(request.user_ids) + i, taste.user_id, first.field, message))
    return read


def _taste(taste: pb.Taste) -> Taste | None:
    """A taste, each field read once; None where _taste_violations finds something."""
    user_id = taste.user_id
    if (user_id and not is_id(user_id)) or not 1 <= len(taste.songs) <= limits.TASTE_SONGS:
        return None
    songs: list[str | SongName] = []
    for song in taste.songs:
        by = song.WhichOneof("by")
        if by == "name":
            name = song.name
            title, artist = name.title, name.artist
            if not (_fits(title) and _fits(artist)):
                return None
            songs.append(SongName(title, artist))
        elif by == "song_id" and is_id(song_id := song.song_id):
            songs.append(song_id)
        else:
            return None
    return Taste(user_id, tuple(songs), asked_of_taste(taste))


def _taste_violations(path: str, taste: pb.Taste) -> Iterable[Violation]:
    yield from _id(f"{path}.user_id", taste.user_id, least=0)
    if not 1 <= len(taste.songs) <= limits.TASTE_SONGS:
        yield Violation(f"{path}.songs", f"{len(taste.songs):,} songs, must be 1 to {limits.TASTE_SONGS:,}")
        return
    for j, song in enumerate(taste.songs):
        field = f"{path}.songs[{j}]"
        match song.WhichOneof("by"):
            case "song_id":
                if not is_id(song.song_id):
                    yield from _id(f"{field}.song_id", song.song_id)
            case "name":
                # Any text: names are compared and not kept, so that an odd one is unknown and no more.
                yield from _bytes(f"{field}.name.title", song.name.title)
                yield from _bytes(f"{field}.name.artist", song.name.artist)
            case _:
                yield Violation(field, "needs song_id or name")


def _feedback_violations(request: pb.FeedbackRequest) -> Iterable[Violation]:
    if not _GIVEN_ID.fullmatch(request.recommendation_id):
        yield Violation("recommendation_id", "is not as Recommend gives them: 32 hexadecimal digits, in lower case")
    yield from _id("user_id", request.user_id)
    yield from _id("idempotency_key", request.idempotency_key)
    yield from _id("model_version", request.model_version, least=0)
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
        yield from _id(field, playlist_id)
        if playlist_id in seen:
            yield Violation(field, f"the playlist appears twice in {_SAID}")
        seen.add(playlist_id)


def _said(request: pb.FeedbackRequest) -> list[tuple[str, str]]:
    """Field and playlist id of everything that the action says."""
    lists = (("liked", request.liked), ("ignored", request.ignored), ("disliked", request.disliked))
    said = [(f"{name}[{i}]", playlist_id) for name, ids in lists for i, playlist_id in enumerate(ids)]
    snoozes = enumerate(request.do_not_recommend)
    return said + [(f"do_not_recommend[{i}].playlist_id", snooze.playlist_id) for i, snooze in snoozes]


def _id(field: str, value: str, *, least: int = 1) -> Iterable[Violation]:
    if problem := fault(value, least=least):
        yield Violation(field, problem)


def _fits(name: str) -> bool:
    # A character takes at most 4 bytes, so most names need no encoding to be judged.
    return 1 <= len(name) <= limits.NAME_BYTES // 4 or 1 <= len(name.encode()) <= limits.NAME_BYTES


def _bytes(field: str, value: str) -> Iterable[Violation]:
    if not _fits(value):
        yield Violation(field, f"is {len(value.encode()):,} bytes, must be 1 to {limits.NAME_BYTES}")
