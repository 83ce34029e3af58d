"""Decoding and checking of requests. Ranges: limits.py; feedback: feedback_codec.py."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from spotify_buddies.foundation.text.ids import are_ids, fault, is_id
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.api import limits
from spotify_buddies.serve_app.api.asked import asked_of, asked_of_taste
from spotify_buddies.serve_app.errors import InvalidRequest, Violation
from spotify_buddies.serve_app.ranking.query import (
    CounterfactualOptions,
    ExcludeSeen,
    Mode,
    Query,
    RefusedUser,
    SongName,
    Taste,
)

NANOS = 10**9
_MODES = frozenset(pb.Mode.values())
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
    if request.request.HasField("counterfactual"):
        violations.append(Violation("request.counterfactual", "is not offered for streams; ask Recommend"))
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
        counterfactual=_counterfactual(request.counterfactual) if request.HasField("counterfactual") else None,
        asked=asked_of(request),
    )


def _counterfactual(asked: pb.CounterfactualOptions) -> CounterfactualOptions:
    return CounterfactualOptions(
        frozenset(asked.playlist_ids),
        asked.max_playlists if asked.HasField("max_playlists") else limits.COUNTERFACTUAL_PLAYLISTS_DEFAULT,
        asked.max_songs if asked.HasField("max_songs") else limits.COUNTERFACTUAL_SONGS_DEFAULT,
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
            yield from id_violations(f"exclude_playlist_ids[{i}]", playlist_id)
    for name in ("max_song_overlap", "max_song_containment"):
        share = getattr(request, name)
        if request.HasField(name) and not 0 < share <= 1:
            yield Violation(name, f"is {share}, must be more than 0, up to 1")
    for name in ("adventurous", "calibration"):
        # NaN is in no range.
        if not 0 <= getattr(request, name) <= 1:
            yield Violation(name, f"is {getattr(request, name)}, must be 0 to 1")
    if request.HasField("counterfactual"):
        yield from _counterfactual_violations(request.counterfactual, users)
    if request.HasField("exclude_seen") and request.exclude_seen.HasField("window"):
        window = request.exclude_seen.window
        if not NANOS <= window.seconds * NANOS + window.nanos <= limits.SEEN_MOST_S * NANOS:
            yield Violation("exclude_seen.window", f"is {_seconds(window):g} s, must be 1 second to 365 days")


def _counterfactual_violations(asked: pb.CounterfactualOptions, users: int) -> Iterable[Violation]:
    if users > limits.COUNTERFACTUAL_USERS:
        most = limits.COUNTERFACTUAL_USERS
        yield Violation("counterfactual", f"is for at most {most} users in user_ids and tastes, not {users:,}")
    if asked.HasField("max_playlists") and not 1 <= asked.max_playlists <= limits.COUNTERFACTUAL_PLAYLISTS:
        most = limits.COUNTERFACTUAL_PLAYLISTS
        yield Violation("counterfactual.max_playlists", f"is {asked.max_playlists}, must be 1 to {most}")
    if asked.HasField("max_songs") and not 1 <= asked.max_songs <= limits.COUNTERFACTUAL_SONGS:
        most = limits.COUNTERFACTUAL_SONGS
        yield Violation("counterfactual.max_songs", f"is {asked.max_songs}, must be 1 to {most}")
    if len(asked.playlist_ids) > limits.COUNTERFACTUAL_NAMED:
        yield Violation(
            "counterfactual.playlist_ids",
            f"{len(asked.playlist_ids):,} ids, at most {limits.COUNTERFACTUAL_NAMED}",
        )
    elif not are_ids(asked.playlist_ids):
        for i, playlist_id in enumerate(asked.playlist_ids):
            yield from id_violations(f"counterfactual.playlist_ids[{i}]", playlist_id)


def _bad_ids(ids: Sequence[str]) -> Iterable[RefusedUser]:
    if are_ids(ids):
        return
    for i, user_id in enumerate(ids):
        for violation in id_violations(f"user_ids[{i}]", user_id):
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
    yield from id_violations(f"{path}.user_id", taste.user_id, least=0)
    if not 1 <= len(taste.songs) <= limits.TASTE_SONGS:
        yield Violation(f"{path}.songs", f"{len(taste.songs):,} songs, must be 1 to {limits.TASTE_SONGS:,}")
        return
    for j, song in enumerate(taste.songs):
        field = f"{path}.songs[{j}]"
        match song.WhichOneof("by"):
            case "song_id":
                if not is_id(song.song_id):
                    yield from id_violations(f"{field}.song_id", song.song_id)
            case "name":
                # Any text: names are compared and not kept, so that an odd one is unknown and no more.
                yield from _bytes(f"{field}.name.title", song.name.title)
                yield from _bytes(f"{field}.name.artist", song.name.artist)
            case _:
                yield Violation(field, "needs song_id or name")


def id_violations(field: str, value: str, *, least: int = 1) -> Iterable[Violation]:
    """What is wrong with an id, if anything."""
    if problem := fault(value, least=least):
        yield Violation(field, problem)


def _fits(name: str) -> bool:
    # A character takes at most 4 bytes, so most names need no encoding to be judged.
    return 1 <= len(name) <= limits.NAME_BYTES // 4 or 1 <= len(name.encode()) <= limits.NAME_BYTES


def _bytes(field: str, value: str) -> Iterable[Violation]:
    if not _fits(value):
        yield Violation(field, f"is {len(value.encode()):,} bytes, must be 1 to {limits.NAME_BYTES}")
