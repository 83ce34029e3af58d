"""The Python client against a real gRPC server."""

import asyncio
import pickle
import random
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2 as details

from spotify_buddies.clients.python import (
    Arm,
    AsyncClient,
    BuddiesError,
    Client,
    DeadlineExceeded,
    ExcludeSeen,
    InvalidRequest,
    KeyReused,
    ListenerError,
    Mode,
    Retry,
    ServerBusy,
    ServiceFailure,
    ServiceUnavailable,
    Skipped,
    Song,
    Source,
    Taste,
    VersionState,
    Violation,
)
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from tests.clients.grpc_server import refuse, serving

ANSWER = pb.RecommendResponse(
    recommendations=[
        pb.Recommendation(
            user_id="ada",
            recommendation_id="r1",
            model_version="7",
            arm=pb.ARM_CANARY,
            source=pb.SOURCE_COLD_NEIGHBOURS,
            skipped=[pb.SKIPPED_DAILY_LIST],
            unknown_songs=2,
            playlists=[
                pb.RecommendedPlaylist(
                    playlist_id="p1",
                    title="Rainy",
                    owner_id="bob",
                    score=0.5,
                    reason=pb.Reason(shared_songs=2, text="why", examples=[pb.SongName(title="T", artist="A")]),
                ),
                pb.RecommendedPlaylist(playlist_id="p2"),
            ],
        )
    ]
)


def test_an_answer_is_decoded_field_by_field() -> None:
    with serving(Recommend=lambda request, context: ANSWER) as address, Client(address) as client:
        (found,) = client.recommend(["ada"])
    assert (found.user_id, found.recommendation_id, found.model_version) == ("ada", "r1", "7")
    assert (found.arm, found.source, found.skipped) == (Arm.CANARY, Source.COLD_NEIGHBOURS, (Skipped.DAILY_LIST,))
    assert found.unknown_songs == 2
    assert found.playlists[0].reason is not None
    assert found.playlists[0].reason.examples == (Song("T", "A"),)
    assert found.playlists[1].reason is None


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
        )
        client.recommend(["a"], exclude_seen=ExcludeSeen())
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
    )
    for name in ("limit", "max_per_owner", "max_song_overlap"):
        assert not seen[1].HasField(name), "the server's default holds when nothing is given"  # type: ignore[arg-type]
    assert not seen[1].exclude_seen.HasField("window")


def test_a_listener_that_could_not_be_answered_has_the_error() -> None:
    error = pb.ListenerError(code=3, field="user_ids[1]", message="is 0 bytes")
    answer = pb.RecommendResponse(recommendations=[ANSWER.recommendations[0], pb.Recommendation(error=error)])
    with serving(Recommend=lambda request, context: answer) as address, Client(address) as client:
        good, bad = client.recommend(["ada", ""])
    assert (good.error, bad.playlists) == (None, ())
    assert bad.error == ListenerError("INVALID_ARGUMENT", "user_ids[1]", "is 0 bytes")


def parts(users: list[str], size: int) -> list[pb.RecommendStreamResponse]:
    return [
        pb.RecommendStreamResponse(recommendations=[pb.Recommendation(user_id=u) for u in users[i : i + size]], first=i)
        for i in range(0, len(users), size)
    ]


def test_a_stream_gives_listeners_in_order_as_parts_arrive() -> None:
    seen: list[pb.RecommendStreamRequest] = []
    arrived = threading.Event()

    def answer(
        request: pb.RecommendStreamRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.RecommendStreamResponse]:
        seen.append(request)
        first, *rest = parts(list(request.request.user_ids), request.part_size)
        yield first
        assert arrived.wait(20), "the first part was kept back"
        yield from rest

    users = [str(i) for i in range(5)]
    with serving(RecommendStream=answer) as address, Client(address) as client:
        found = client.recommend_stream(users, limit=3, part_size=2)
        got = [next(found).user_id]
        arrived.set()
        got += [item.user_id for item in found]
    assert got == users
    assert seen == [
        pb.RecommendStreamRequest(
            request=pb.RecommendRequest(user_ids=users, limit=3, mode=pb.MODE_LIVE, explain=True), part_size=2
        )
    ]


def test_a_stream_that_is_left_is_cancelled_and_one_that_breaks_is_an_error_of_ours() -> None:
    left = threading.Event()

    def endless(
        request: pb.RecommendStreamRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.RecommendStreamResponse]:
        context.add_callback(left.set)
        yield from parts(["a"], 1)
        left.wait(20)
        refuse(context, grpc.StatusCode.UNAVAILABLE, "gone")

    async def use(address: str) -> None:
        async with AsyncClient(address) as client:
            found = client.recommend_stream(["a"])
            assert (await anext(found)).user_id == "a"
            await found.aclose()
            assert await asyncio.to_thread(left.wait, 20)
            with pytest.raises(ServiceUnavailable, match="gone"):
                assert [item.user_id async for item in client.recommend_stream(["a"])] == ["a"]

    with serving(RecommendStream=endless) as address:
        asyncio.run(use(address))
        with Client(address) as client, pytest.raises(ServiceUnavailable, match="gone"):
            list(client.recommend_stream(["a"]))


def test_an_enum_of_a_newer_server_is_no_error() -> None:
    answer = pb.RecommendResponse(recommendations=[pb.Recommendation(source=99)])  # type: ignore[arg-type]
    with serving(Recommend=lambda request, context: answer) as address, Client(address) as client:
        (found,) = client.recommend(["ada"])
    assert found.source is Source.UNKNOWN


def test_a_bad_request_names_the_field_and_is_not_retried() -> None:
    calls = []

    def answer(request: pb.RecommendRequest, context: grpc.ServicerContext) -> None:
        calls.append(request)
        violation = details.BadRequest.FieldViolation(field="limit", description="101 is above 100")
        refuse(
            context,
            grpc.StatusCode.INVALID_ARGUMENT,
            "bad request",
            details.BadRequest(field_violations=[violation]),
            details.ErrorInfo(reason="INVALID_FIELD", domain="buddies"),
        )

    with serving(Recommend=answer) as address, Client(address) as client, pytest.raises(InvalidRequest) as caught:
        client.recommend(["ada"], limit=101)
    assert caught.value.violations == (Violation("limit", "101 is above 100"),)
    assert caught.value.reason == "INVALID_FIELD"
    assert "limit: 101 is above 100" in str(caught.value)
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, ServiceUnavailable),
        (grpc.StatusCode.UNKNOWN, ServiceUnavailable),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, ServerBusy),
    ],
)
def test_a_passing_failure_is_retried_until_it_passes(code: grpc.StatusCode, kind: type[BuddiesError]) -> None:
    calls = []

    def answer(request: pb.RecommendRequest, context: grpc.ServicerContext) -> pb.RecommendResponse:
        calls.append(request)
        if len(calls) < 3:
            refuse(context, code, "not now", details.RetryInfo(retry_delay=Duration(nanos=1_000_000)))
        return ANSWER

    with serving(Recommend=answer) as address:
        with Client(address) as client:
            assert client.recommend(["ada"])[0].user_id == "ada"
        assert len(calls) == 3
        calls.clear()
        with Client(address, retry=Retry(attempts=2)) as client, pytest.raises(kind) as caught:
            client.recommend(["ada"])
        assert len(calls) == 2
        assert caught.value.retry_after_s == 0.001


def test_a_retry_that_would_outlast_the_deadline_is_not_made() -> None:
    calls = []

    def answer(request: pb.RecommendRequest, context: grpc.ServicerContext) -> None:
        calls.append(request)
        refuse(context, grpc.StatusCode.UNAVAILABLE, "later", details.RetryInfo(retry_delay=Duration(seconds=60)))

    with serving(Recommend=answer) as address, Client(address) as client, pytest.raises(ServiceUnavailable):
        client.recommend(["ada"])
    assert len(calls) == 1


def test_a_server_that_does_not_answer_runs_into_the_deadline() -> None:
    release = threading.Event()

    def answer(request: pb.RecommendRequest, context: grpc.ServicerContext) -> pb.RecommendResponse:
        release.wait(20)
        return ANSWER

    with serving(Recommend=answer) as address, Client(address, timeout_s=0.2) as client:
        with pytest.raises(DeadlineExceeded):
            client.recommend(["ada"])
        release.set()


def test_nobody_listening_is_unavailable() -> None:
    with serving() as address:
        pass
    with Client(address, timeout_s=1.0, retry=Retry(attempts=1)) as client, pytest.raises(ServiceUnavailable):
        client.model_status()


def test_an_unimplemented_method_is_a_failure_of_the_service() -> None:
    with serving() as address, Client(address) as client, pytest.raises(ServiceFailure, match="UNIMPLEMENTED"):
        client.model_status()


def test_feedback_is_retried_under_one_key() -> None:
    seen: list[pb.FeedbackRequest] = []

    def answer(request: pb.FeedbackRequest, context: grpc.ServicerContext) -> pb.FeedbackResponse:
        seen.append(request)
        if len(seen) == 1:
            refuse(context, grpc.StatusCode.UNAVAILABLE, "no store", details.RetryInfo(retry_delay=Duration()))
        return pb.FeedbackResponse(outcome=pb.FEEDBACK_OUTCOME_DUPLICATE, reactions=2)

    handlers = {"Recommend": lambda request, context: ANSWER, "Feedback": answer}
    with serving(**handlers) as address, Client(address) as client:
        (found,) = client.recommend(["ada"])
        result = client.feedback(found, liked=["p1"], ignored=["p2"])
    assert len({request.idempotency_key for request in seen}) == 1
    assert len(seen) == 2
    assert (result.duplicate, result.reactions) == (True, 2)
    assert (seen[0].user_id, seen[0].recommendation_id) == ("ada", "r1")
    assert (seen[0].model_version, seen[0].arm) == ("7", pb.ARM_CANARY)


def test_what_is_put_off_goes_along_with_its_time() -> None:
    seen: list[pb.FeedbackRequest] = []

    def answer(request: pb.FeedbackRequest, context: grpc.ServicerContext) -> pb.FeedbackResponse:
        seen.append(request)
        return pb.FeedbackResponse(reactions=1)

    until = datetime(2030, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    with serving(Feedback=answer) as address, Client(address) as client:
        client.feedback("r1", user_id="ada", do_not_recommend={"p1": until})
        with pytest.raises(ValueError, match="'p2' has no time zone"):
            client.feedback("r1", user_id="ada", do_not_recommend={"p2": datetime(2030, 1, 1)})
    (put_off,) = seen[0].do_not_recommend
    assert (len(seen), put_off.playlist_id, put_off.until.ToJsonString()) == (1, "p1", "2030-01-01T10:00:00Z")


def test_a_failed_feedback_carries_the_key_to_send_it_again_with() -> None:
    def answer(request: pb.FeedbackRequest, context: grpc.ServicerContext) -> None:
        refuse(context, grpc.StatusCode.UNAVAILABLE, request.idempotency_key)

    with serving(Feedback=answer) as address, Client(address, retry=Retry(attempts=1)) as client:
        with pytest.raises(ServiceUnavailable) as generated:
            client.feedback("r", user_id="u", liked=["p"])
        with pytest.raises(ServiceUnavailable) as given:
            client.feedback("r", user_id="u", liked=["p"], idempotency_key="mine")
    assert generated.value.idempotency_key == generated.value.message != ""
    assert given.value.idempotency_key == "mine"


def test_a_reused_key_is_an_error_of_its_own_that_names_the_fields_and_is_not_retried() -> None:
    seen: list[str] = []

    def answer(request: pb.FeedbackRequest, context: grpc.ServicerContext) -> None:
        seen.append(request.idempotency_key)
        fields = ("idempotency_key", "liked")
        bad = details.BadRequest(
            field_violations=[details.BadRequest.FieldViolation(field=field, description="differs") for field in fields]
        )
        info = details.ErrorInfo(reason="IDEMPOTENCY_KEY_REUSED", domain="buddies")
        refuse(context, grpc.StatusCode.ALREADY_EXISTS, "another action", bad, info)

    with serving(Feedback=answer) as address, Client(address) as client, pytest.raises(KeyReused) as error:
        client.feedback("r", user_id="u", liked=["p"], idempotency_key="mine")
    assert [violation.field for violation in error.value.violations] == ["idempotency_key", "liked"]
    assert (error.value.reason, error.value.idempotency_key) == ("IDEMPOTENCY_KEY_REUSED", "mine")
    assert seen == ["mine"]


def test_text_that_is_not_utf_8_is_an_invalid_request() -> None:
    with serving() as address, Client(address) as client:
        with pytest.raises(InvalidRequest, match="UTF-8"):
            client.recommend(["a\udcff"])
        with pytest.raises(InvalidRequest, match="UTF-8"):
            client.feedback("r", user_id="a\udcff", liked=["p"])


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


def test_errors_survive_pickling() -> None:
    error = InvalidRequest("bad", "INVALID_ARGUMENT", "R", 1.5, (Violation("f", "d"),))
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.args, copy.violations) == (InvalidRequest, error.args, error.violations)


def test_backoff_grows_to_its_ceiling_and_then_gives_up() -> None:
    retry = Retry(attempts=5, first_s=0.1, factor=2.0, longest_s=0.3, rng=random.Random(1))
    waits = [retry.wait_s(attempt, ServiceUnavailable("x"), left_s=9.0) for attempt in (1, 2, 3, 4)]
    for wait, ceiling in zip(waits, (0.1, 0.2, 0.3, 0.3), strict=True):
        assert wait is not None
        assert 0 <= wait <= ceiling
    assert retry.wait_s(5, ServiceUnavailable("x"), left_s=9.0) is None
    assert retry.wait_s(1, InvalidRequest("x"), left_s=9.0) is None
