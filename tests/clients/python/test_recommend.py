"""Recommend and GetModelStatus of both clients against a real gRPC server."""

import asyncio
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2 as details

from spotify_buddies.clients.python import (
    Arm,
    AsyncClient,
    Client,
    Counterfactual,
    CounterfactualOptions,
    CounterfactualOutcome,
    ExcludeSeen,
    InvalidRequest,
    ListenerError,
    Mode,
    ReasonKind,
    Skipped,
    Song,
    Source,
    Taste,
    VersionState,
    Violation,
)
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from tests.clients.grpc_server import refuse, serving
from tests.clients.python.answers import ANSWER


def test_an_answer_is_decoded_field_by_field() -> None:
    with serving(Recommend=lambda request, context: ANSWER) as address, Client(address) as client:
        (found,) = client.recommend(["ada"])
    assert (found.user_id, found.recommendation_id, found.model_version) == ("ada", "r1", "7")
    assert (found.arm, found.source, found.skipped) == (Arm.CANARY, Source.COLD_NEIGHBOURS, (Skipped.DAILY_LIST,))
    assert found.unknown_songs == 2
    assert found.playlists[0].reason is not None
    assert found.playlists[0].reason.examples == (Song("T", "A"),)
    assert found.playlists[0].reason.kind is ReasonKind.UNKNOWN
    assert found.playlists[1].reason is None
    artists, followers = found.playlists[2].reason, found.playlists[3].reason
    assert artists is not None
    assert (artists.kind, artists.artist_songs, artists.artists) == (ReasonKind.ARTISTS, 12, ("A", "B"))
    assert followers is not None
    assert (followers.kind, followers.common_followers) == (ReasonKind.FOLLOWERS, 7)
    assert found.playlists[0].counterfactual is None
    songs = (Song("T", "A", "SO1"), Song("U", "B"))
    assert found.playlists[4].counterfactual == Counterfactual(CounterfactualOutcome.FOUND, songs, "p9", 12)


def test_a_request_carries_everything_it_was_given() -> None:
    seen: list[pb.RecommendRequest] = []

    def answer(request: pb.RecommendRequest, context: grpc.ServicerContext) -> pb.RecommendResponse:
        seen.append(request)
        return pb.RecommendResponse()

    taste = Taste([Song("T", "A"), Song(song_id="SO1")], user_id="new")
    with serving(Recommend=answer) as address, Client(address) as client:
        client.recommend(
            ["a"],
            tastes=[taste],
            limit=3,
            mode=Mode.DAILY,
            exclude_playlist_ids=["x"],
            explain=False,
            exclude_seen=ExcludeSeen(timedelta(seconds=90), liked=False),
            max_per_owner=4,
            max_song_overlap=0.5,
            max_song_containment=0.25,
            adventurous=0.75,
            calibration=0.125,
            counterfactual=CounterfactualOptions(["p"], 2, 7),
        )
        client.recommend(["a"], exclude_seen=ExcludeSeen(), counterfactual=CounterfactualOptions())
    assert seen[0] == pb.RecommendRequest(
        user_ids=["a"],
        tastes=[
            pb.Taste(user_id="new", songs=[pb.Song(name=pb.SongName(title="T", artist="A")), pb.Song(song_id="SO1")])
        ],
        limit=3,
        mode=pb.MODE_DAILY,
        exclude_playlist_ids=["x"],
        explain=False,
        exclude_seen=pb.ExcludeSeen(window=Duration(seconds=90), shown=True, liked=False),
        max_per_owner=4,
        max_song_overlap=0.5,
        max_song_containment=0.25,
        adventurous=0.75,
        calibration=0.125,
        counterfactual=pb.CounterfactualOptions(playlist_ids=["p"], max_playlists=2, max_songs=7),
    )
    assert seen[1].HasField("counterfactual")
    assert seen[1].counterfactual == pb.CounterfactualOptions()
    for name in ("limit", "max_per_owner", "max_song_overlap", "max_song_containment"):
        assert not seen[1].HasField(name), "the server's default holds when nothing is given"  # type: ignore[arg-type]
    assert not seen[1].exclude_seen.HasField("window")


def test_a_listener_that_could_not_be_answered_has_the_error() -> None:
    error = pb.ListenerError(code=3, field="user_ids[1]", message="is 0 bytes")
    answer = pb.RecommendResponse(recommendations=[ANSWER.recommendations[0], pb.Recommendation(error=error)])
    with serving(Recommend=lambda request, context: answer) as address, Client(address) as client:
        good, bad = client.recommend(["ada", ""])
    assert (good.error, bad.playlists) == (None, ())
    assert bad.error == ListenerError("INVALID_ARGUMENT", "user_ids[1]", "is 0 bytes")


def test_an_enum_of_a_newer_server_is_no_error() -> None:
    answer = pb.RecommendResponse(recommendations=[pb.Recommendation(source=99)])  # type: ignore[arg-type]
    with serving(Recommend=lambda request, context: answer) as address, Client(address) as client:
        (found,) = client.recommend(["ada"])
    assert found.source is Source.UNKNOWN


def test_status_names_the_production_version() -> None:
    answer = pb.GetModelStatusResponse(
        model="m",
        versions=[
            pb.ModelVersion(version="6", state=pb.VERSION_STATE_FAILED, message="bad hash"),
            pb.ModelVersion(version="7", state=pb.VERSION_STATE_READY, arm=pb.ARM_PRODUCTION, share=1.0),
        ],
    )
    answer.versions[1].since.FromDatetime(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    with serving(GetModelStatus=lambda request, context: answer) as address, Client(address) as client:
        status = client.model_status()
    assert status.production is not None
    assert (status.production.version, status.production.state) == ("7", VersionState.READY)
    assert status.production.since == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_the_asynchronous_client_retries_and_decodes_like_the_other() -> None:
    calls = []

    def answer(request: pb.RecommendRequest, context: grpc.ServicerContext) -> pb.RecommendResponse:
        calls.append(request)
        if len(calls) == 1:
            refuse(context, grpc.StatusCode.UNAVAILABLE, "later", details.RetryInfo(retry_delay=Duration()))
        if request.limit == 101:
            violation = details.BadRequest.FieldViolation(field="limit", description="too many")
            refuse(
                context,
                grpc.StatusCode.INVALID_ARGUMENT,
                "bad",
                details.BadRequest(field_violations=[violation]),
            )
        return ANSWER

    async def use(address: str) -> None:
        async with AsyncClient(address) as client:
            assert (await client.recommend(["ada"]))[0].playlists[0].title == "Rainy"
            with pytest.raises(InvalidRequest) as caught:
                await client.recommend(["ada"], limit=101)
            assert caught.value.violations == (Violation("limit", "too many"),)

    with serving(Recommend=answer) as address:
        asyncio.run(use(address))
    assert len(calls) == 3
