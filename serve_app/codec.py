"""Between the wire and the service: decode and check requests, encode answers. Ranges: limits.py."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC
from typing import TypeVar

from google.protobuf.message import Message

from protos.buddies.v1 import recommender_pb2 as pb
from serve_app import limits
from serve_app.engine import Engine
from serve_app.errors import InvalidRequest, Violation
from serve_app.query import Lists, Mode, Query, Reasons, SongName, Taste
from serve_app.reasons import sentence
from serve_app.store.actions import Feedback, Wish

_SAID = "liked, ignored, disliked and do_not_recommend"
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


def decode_query(request: pb.RecommendRequest | Malformed) -> Query:
    """Check and convert. InvalidRequest names every field that is out of its range."""
    request = refuse_malformed(request)
    found = [*_query_violations(request), *_taste_violations(request)]
    if found:
        raise InvalidRequest(tuple(found))
    return Query(
        user_ids=tuple(request.user_ids),
        tastes=tuple(Taste(taste.user_id, tuple(_song(song) for song in taste.songs)) for taste in request.tastes),
        limit=request.limit if request.HasField("limit") else limits.LIMIT_DEFAULT,
        mode=Mode.DAILY if request.mode == pb.MODE_DAILY else Mode.LIVE,
        exclude_playlist_ids=tuple(request.exclude_playlist_ids),
        explain=request.explain if request.HasField("explain") else True,
    )


def decode_feedback(request: pb.FeedbackRequest | Malformed) -> Feedback:
    """Check and convert. InvalidRequest names every field that is out of its range."""
    request = refuse_malformed(request)
    found = list(_feedback_violations(request))
    if found:
        raise InvalidRequest(tuple(found))
    return Feedback(
        recommendation_id=request.recommendation_id,
        user_id=request.user_id,
        liked=tuple(request.liked),
        ignored=tuple(request.ignored),
        disliked=tuple(request.disliked),
        idempotency_key=request.idempotency_key,
        model_version=request.model_version,
        arm=pb.Arm.Name(request.arm).removeprefix("ARM_").lower(),
        wishes=tuple(Wish(w.playlist_id, w.until.ToDatetime(UTC)) for w in request.do_not_recommend),
    )


def encode_list(engine: Engine, lists: Lists, at: int, reasons: Reasons | None) -> pb.Recommendation:
    """One listener's answer, with a new recommendation id."""
    return pb.Recommendation(
        user_id=lists.user_ids[at],
        recommendation_id=uuid.uuid4().hex,
        playlists=[_encode_place(engine, lists, at, place, reasons) for place in range(int(lists.counts[at]))],
        model_version=engine.version,
        arm=pb.ARM_PRODUCTION,
        source=pb.Source.ValueType(lists.sources[at]),
        skipped=[pb.Skipped.ValueType(skipped) for skipped in lists.skipped[at]],
        unknown_songs=lists.unknown_songs[at],
    )


def _encode_place(engine: Engine, lists: Lists, at: int, place: int, reasons: Reasons | None) -> pb.RecommendedPlaylist:
    bundle = engine.bundle
    row = int(lists.rows[at, place])
    score = float(lists.scores[at, place])
    owner = int(bundle.owner[row])
    encoded = pb.RecommendedPlaylist(
        playlist_id=bundle.playlist_ids.table[row],
        title=bundle.playlist_titles[row],
        owner_id=bundle.user_ids.table[owner] if owner >= 0 else "",
        score=score,
    )
    if reasons is not None:
        shared = int(reasons.shared[at, place])
        encoded.reason.shared_songs = shared
        encoded.reason.text = sentence(lists.sources[at], shared, score)
        for song in reasons.examples[at, place]:
            if song >= 0:
                encoded.reason.examples.add(title=bundle.song_titles[song], artist=bundle.song_artists[song])
    return encoded


def _song(song: pb.Song) -> str | SongName:
    return song.song_id if song.WhichOneof("by") == "song_id" else SongName(song.name.title, song.name.artist)


def _query_violations(request: pb.RecommendRequest) -> Iterable[Violation]:
    listeners = len(request.user_ids) + len(request.tastes)
    if listeners == 0:
        yield Violation("user_ids", "needs at least one listener in user_ids or tastes")
    if listeners > limits.LISTENERS:
        yield Violation("user_ids", f"{listeners:,} listeners in user_ids and tastes, at most {limits.LISTENERS:,}")
    else:
        yield from _ids("user_ids", request.user_ids)
    if request.HasField("limit") and not 1 <= request.limit <= limits.LIMIT_MOST:
        yield Violation("limit", f"is {request.limit}, must be 1 to {limits.LIMIT_MOST}")
    if request.mode not in pb.Mode.values():
        yield Violation("mode", f"{request.mode} is not a Mode")
    excluded = len(request.exclude_playlist_ids)
    if excluded > limits.EXCLUDED:
        yield Violation("exclude_playlist_ids", f"{excluded:,} ids, at most {limits.EXCLUDED:,}")
    else:
        yield from _ids("exclude_playlist_ids", request.exclude_playlist_ids)


def _taste_violations(request: pb.RecommendRequest) -> Iterable[Violation]:
    if len(request.tastes) > limits.LISTENERS:
        return
    songs = sum(len(taste.songs) for taste in request.tastes)
    if songs > limits.REQUEST_SONGS:
        yield Violation("tastes", f"{songs:,} songs in all tastes, at most {limits.REQUEST_SONGS:,}")
        return
    for i, taste in enumerate(request.tastes):
        yield from _bytes(f"tastes[{i}].user_id", taste.user_id, limits.ID_BYTES, least=0)
        if not 1 <= len(taste.songs) <= limits.TASTE_SONGS:
            yield Violation(f"tastes[{i}].songs", f"{len(taste.songs):,} songs, must be 1 to {limits.TASTE_SONGS:,}")
            continue
        for j, song in enumerate(taste.songs):
            field = f"tastes[{i}].songs[{j}]"
            match song.WhichOneof("by"):
                case "song_id":
                    yield from _bytes(f"{field}.song_id", song.song_id, limits.ID_BYTES)
                case "name":
                    yield from _bytes(f"{field}.name.title", song.name.title, limits.NAME_BYTES)
                    yield from _bytes(f"{field}.name.artist", song.name.artist, limits.NAME_BYTES)
                case _:
                    yield Violation(field, "needs song_id or name")


def _feedback_violations(request: pb.FeedbackRequest) -> Iterable[Violation]:
    yield from _text("recommendation_id", request.recommendation_id)
    yield from _text("user_id", request.user_id)
    yield from _text("idempotency_key", request.idempotency_key)
    yield from _text("model_version", request.model_version, least=0)
    if request.arm not in pb.Arm.values():
        yield Violation("arm", f"{request.arm} is not an Arm")
    said = _said(request)
    if not 1 <= len(said) <= limits.REACTIONS:
        yield Violation("liked", f"{len(said):,} ids in {_SAID}, must be 1 to {limits.REACTIONS}")
        return
    seen: set[str] = set()
    for field, playlist_id in said:
        yield from _text(field, playlist_id)
        if playlist_id in seen:
            yield Violation(field, f"the playlist stands twice in {_SAID}")
        seen.add(playlist_id)
    for i, wish in enumerate(request.do_not_recommend):
        if not wish.HasField("until"):
            yield Violation(f"do_not_recommend[{i}].until", "is missing")
        elif not (_TIMES[0] <= wish.until.seconds <= _TIMES[1] and 0 <= wish.until.nanos < 10**9):
            yield Violation(f"do_not_recommend[{i}].until", "is not a time of the years 1 to 9999")


def _said(request: pb.FeedbackRequest) -> list[tuple[str, str]]:
    """Field and playlist id of everything that the action says."""
    lists = (("liked", request.liked), ("ignored", request.ignored), ("disliked", request.disliked))
    said = [(f"{name}[{i}]", playlist_id) for name, ids in lists for i, playlist_id in enumerate(ids)]
    wishes = enumerate(request.do_not_recommend)
    return said + [(f"do_not_recommend[{i}].playlist_id", wish.playlist_id) for i, wish in wishes]


def _ids(field: str, ids: Iterable[str]) -> Iterable[Violation]:
    for i, value in enumerate(ids):
        yield from _bytes(f"{field}[{i}]", value, limits.ID_BYTES)


def _text(field: str, value: str, *, least: int = 1) -> Iterable[Violation]:
    yield from _bytes(field, value, limits.ID_BYTES, least=least)
    if "\0" in value:
        # Postgres text cannot hold it.
        yield Violation(field, "holds a NUL character")


def _bytes(field: str, value: str, most: int, *, least: int = 1) -> Iterable[Violation]:
    if least <= len(value) <= most // 4:
        return  # a character takes at most 4 bytes, so most values need no encoding to be judged
    size = len(value.encode())
    if not least <= size <= most:
        yield Violation(field, f"is {size:,} bytes, must be {least} to {most}")
