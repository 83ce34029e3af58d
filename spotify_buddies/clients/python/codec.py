"""Encoding and decoding: our values to protobuf messages, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import Enum
from typing import Any, TypeVar

import grpc

from spotify_buddies.clients.python.checks import items, text, texts
from spotify_buddies.clients.python.errors import InvalidRequest
from spotify_buddies.clients.python.types import (
    Arm,
    CandidateSource,
    Counterfactual,
    CounterfactualOptions,
    CounterfactualOutcome,
    Erasure,
    ExcludeSeen,
    FeedbackResult,
    ListenerError,
    Mode,
    ModelStatus,
    Playlist,
    Reason,
    ReasonKind,
    Recommendation,
    Skipped,
    Song,
    Source,
    Taste,
    VersionState,
    VersionStatus,
)
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb

E = TypeVar("E", bound=Enum)

# Names the time at which the events of a call happened; services accept it where `serve.event_times` is on.
_EVENT_TIME = "buddies-event-time"
_MODES = {Mode.LIVE: pb.MODE_LIVE, Mode.DAILY: pb.MODE_DAILY}
_ARMS = {
    Arm.NONE: pb.ARM_UNSPECIFIED,
    Arm.PRODUCTION: pb.ARM_PRODUCTION,
    Arm.CANARY: pb.ARM_CANARY,
    Arm.INTERLEAVED: pb.ARM_INTERLEAVED,
}


def metadata(at: datetime | None) -> tuple[tuple[str, str], ...] | None:
    """The headers of a call whose events happened at that time; None: none. ValueError: a time without a zone."""
    if at is None:
        return None
    if at.tzinfo is None:
        raise ValueError("at: the time has no time zone")
    return ((_EVENT_TIME, at.astimezone(UTC).isoformat()),)


def recommend_request(
    user_ids: Sequence[str],
    tastes: Sequence[Taste],
    limit: int | None,
    mode: Mode,
    exclude_playlist_ids: Sequence[str],
    explain: bool,
    exclude_seen: ExcludeSeen | None = None,
    max_per_owner: int | None = None,
    max_song_overlap: float | None = None,
    max_song_containment: float | None = None,
    adventurous: float = 0.0,
    calibration: float = 0.0,
    counterfactual: CounterfactualOptions | None = None,
) -> pb.RecommendRequest:
    """Encode; the server checks the ranges.

    InvalidRequest: text that UTF-8 cannot hold. TypeError: one string or taste in place of a list, or no strings.
    """
    users, excluded = texts("user_ids", user_ids), texts("exclude_playlist_ids", exclude_playlist_ids)
    described = items("tastes", tastes, Taste, "Tastes")
    with _encodable():
        return pb.RecommendRequest(
            user_ids=users,
            tastes=[_taste(taste) for taste in described],
            limit=limit,
            mode=_MODES[mode],
            exclude_playlist_ids=excluded,
            explain=explain,
            exclude_seen=None if exclude_seen is None else _exclude_seen(exclude_seen),
            max_per_owner=max_per_owner,
            max_song_overlap=max_song_overlap,
            max_song_containment=max_song_containment,
            adventurous=adventurous,
            calibration=calibration,
            counterfactual=None if counterfactual is None else _counterfactual_options(counterfactual),
        )


def feedback_request(
    recommendation: Recommendation | str,
    user_id: str,
    liked: Sequence[str],
    ignored: Sequence[str],
    disliked: Sequence[str],
    idempotency_key: str,
    do_not_recommend: Mapping[str, datetime] | None = None,
) -> pb.FeedbackRequest:
    """Encode. Given the recommendation itself, its version and arm go along, so that likes count for them.

    Errors as recommend_request, and ValueError: a time without a zone.
    """
    with _encodable():
        message = pb.FeedbackRequest(
            user_id=text("user_id", user_id),
            liked=texts("liked", liked),
            ignored=texts("ignored", ignored),
            disliked=texts("disliked", disliked),
            idempotency_key=idempotency_key,
        )
        if not isinstance(recommendation, Recommendation):
            message.recommendation_id = text("recommendation", recommendation)
        else:
            message.recommendation_id = recommendation.recommendation_id
            message.model_version = recommendation.model_version
            message.arm = _ARMS[recommendation.arm]
        for playlist_id, until in (do_not_recommend or {}).items():
            if until.tzinfo is None:
                raise ValueError(f"do_not_recommend: the time of {playlist_id!r} has no time zone")
            message.do_not_recommend.add(playlist_id=playlist_id).until.FromDatetime(until)
        return message


def recommendations(response: pb.RecommendResponse | pb.RecommendStreamResponse) -> tuple[Recommendation, ...]:
    """Decode, in the order asked."""
    return tuple(_recommendation(item) for item in response.recommendations)


def feedback_result(response: pb.FeedbackResponse, key: str) -> FeedbackResult:
    """Decode."""
    return FeedbackResult(response.outcome == pb.FEEDBACK_OUTCOME_DUPLICATE, response.reactions, key)


def model_status(response: pb.GetModelStatusResponse) -> ModelStatus:
    """Decode."""
    versions = tuple(_version(item) for item in response.versions)
    return ModelStatus(response.model, versions, response.generation, response.uptime.ToTimedelta())


def export_request(user_id: str) -> pb.ExportUserRequest:
    """Encode; the server checks the id. Errors as recommend_request."""
    with _encodable():
        return pb.ExportUserRequest(user_id=text("user_id", user_id))


def erase_request(user_id: str) -> pb.EraseUserRequest:
    """As export_request."""
    with _encodable():
        return pb.EraseUserRequest(user_id=text("user_id", user_id))


def erasure(response: pb.EraseUserResponse) -> Erasure:
    """Decode."""
    rows = {item.place: item.rows for item in response.rows}
    at = response.erased_at.ToDatetime(tzinfo=UTC)
    return Erasure(response.listener, at, rows, tuple(response.confirmed), tuple(response.left), tuple(response.notes))


@contextmanager
def _encodable() -> Iterator[None]:
    """Protobuf strings are UTF-8; half a surrogate pair, as from a badly decoded argument, is not."""
    try:
        yield
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"{error.object!r} is not UTF-8 text", "INVALID_ARGUMENT") from error


def _taste(taste: Taste) -> pb.Taste:
    songs = items("songs of a Taste", taste.songs, Song, "Songs")
    return pb.Taste(user_id=text("user_id of a Taste", taste.user_id), songs=[_song(song) for song in songs])


def _song(song: Song) -> pb.Song:
    if song.song_id:
        return pb.Song(song_id=song.song_id)
    return pb.Song(name=pb.SongName(title=song.title, artist=song.artist))


def _exclude_seen(asked: ExcludeSeen) -> pb.ExcludeSeen:
    message = pb.ExcludeSeen(shown=asked.shown, liked=asked.liked)
    if asked.window is not None:
        message.window.FromTimedelta(asked.window)
    return message


def _counterfactual_options(asked: CounterfactualOptions) -> pb.CounterfactualOptions:
    return pb.CounterfactualOptions(
        playlist_ids=texts("playlist_ids of CounterfactualOptions", asked.playlist_ids),
        max_playlists=asked.max_playlists,
        max_songs=asked.max_songs,
    )


def _recommendation(item: pb.Recommendation) -> Recommendation:
    return Recommendation(
        user_id=item.user_id,
        recommendation_id=item.recommendation_id,
        playlists=tuple(_playlist(playlist) for playlist in item.playlists),
        model_version=item.model_version,
        arm=_named(Arm, pb.Arm.Name, "ARM_", item.arm, Arm.NONE),
        source=_named(Source, pb.Source.Name, "SOURCE_", item.source, Source.UNKNOWN),
        skipped=tuple(_named(Skipped, pb.Skipped.Name, "SKIPPED_", step, Skipped.UNKNOWN) for step in item.skipped),
        unknown_songs=item.unknown_songs,
        error=_error(item.error) if item.HasField("error") else None,
    )


def _error(item: pb.ListenerError) -> ListenerError:
    names = {code.value[0]: code.name for code in grpc.StatusCode}
    return ListenerError(names.get(item.code, "UNKNOWN"), item.field, item.message)


def _playlist(item: pb.RecommendedPlaylist) -> Playlist:
    reason = _reason(item.reason) if item.HasField("reason") else None
    counterfactual = _counterfactual(item.counterfactual) if item.HasField("counterfactual") else None
    return Playlist(
        item.playlist_id, item.title, item.owner_id, item.score, reason, _found_by(item), counterfactual, item.picked_by
    )


def _counterfactual(item: pb.Counterfactual) -> Counterfactual:
    name, prefix = pb.CounterfactualOutcome.Name, "COUNTERFACTUAL_OUTCOME_"
    outcome = _named(CounterfactualOutcome, name, prefix, item.outcome, CounterfactualOutcome.UNKNOWN)
    songs = tuple(Song(song.title, song.artist, song.song_id) for song in item.songs)
    return Counterfactual(outcome, songs, item.replaced_by, item.rankings)


def _reason(item: pb.Reason) -> Reason:
    kind = _named(ReasonKind, pb.ReasonKind.Name, "REASON_KIND_", item.kind, ReasonKind.UNKNOWN)
    examples = tuple(Song(song.title, song.artist) for song in item.examples)
    return Reason(
        item.shared_songs, examples, item.text, kind, item.artist_songs, tuple(item.artists), item.common_followers
    )


def _found_by(item: pb.RecommendedPlaylist) -> tuple[CandidateSource, ...]:
    name, prefix = pb.CandidateSource.Name, "CANDIDATE_SOURCE_"
    return tuple(_named(CandidateSource, name, prefix, one, CandidateSource.UNKNOWN) for one in item.found_by)


def _version(item: pb.ModelVersion) -> VersionStatus:
    return VersionStatus(
        version=item.version,
        state=_named(VersionState, pb.VersionState.Name, "VERSION_STATE_", item.state, VersionState.UNKNOWN),
        arm=_named(Arm, pb.Arm.Name, "ARM_", item.arm, Arm.NONE),
        share=item.share,
        since=item.since.ToDatetime(tzinfo=UTC),
        bundle_sha256=item.bundle_sha256,
        message=item.message,
        users=item.users,
        playlists=item.playlists,
    )


def _named(kind: type[E], name_of: Callable[[Any], str], prefix: str, number: int, unknown: E) -> E:
    """An enum by its proto name; a number that a newer server added becomes `unknown` instead of an error."""
    try:
        return kind(name_of(number).removeprefix(prefix).lower())
    except ValueError:
        return unknown
