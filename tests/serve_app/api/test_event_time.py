"""The time that a call says its events happened at: read, refused, and stored exactly over both transports."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.protos.buddies.v1.recommender_pb2_grpc import RecommenderServiceStub
from spotify_buddies.serve_app.api.codec import Malformed
from spotify_buddies.serve_app.api.event_time import event_time_of, read_event_time
from spotify_buddies.serve_app.api.grpc_registration import SERVICE, add_service, handlers_of
from spotify_buddies.serve_app.api.servicer import GrpcServicer
from spotify_buddies.serve_app.build import local, open_service
from spotify_buddies.serve_app.errors import InvalidRequest
from spotify_buddies.serve_app.http1.call import Call
from spotify_buddies.serve_app.http1.listener import Listener
from spotify_buddies.serve_app.settings.serve import ServeSettings
from spotify_buddies.serve_app.settings.services import Services
from spotify_buddies.serve_app.telemetry.metrics import Silent
from tests.serve_app.api.test_status import Context
from tests.serve_app.http1.talking import Client, request
from tests.waiting import WITHIN_S, until

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
HEADER = "buddies-event-time"
SERVE = ServeSettings(
    request_timeout_s=WITHIN_S, feedback_timeout_s=WITHIN_S, store_budget_ms=WITHIN_S * 1000, event_times=True
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-10-12T08:30:00Z", datetime(2026, 10, 12, 8, 30, tzinfo=UTC)),
        ("2026-10-12t08:30:00.123456z", datetime(2026, 10, 12, 8, 30, 0, 123456, tzinfo=UTC)),
        ("2026-10-12T08:30:00.5+00:00", datetime(2026, 10, 12, 8, 30, 0, 500000, tzinfo=UTC)),
        # 400 days to the second
        ("2025-10-24T12:00:00Z", NOW - timedelta(days=400)),
        ("2028-01-02T12:00:00Z", NOW + timedelta(days=400)),
    ],
)
def test_a_time_is_read_to_the_microsecond(text: str, expected: datetime) -> None:
    assert read_event_time(text, NOW, accepted=True) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("yesterday", "RFC 3339"),
        ("2026-10-12T08:30:00", "RFC 3339"),
        ("2026-10-12T08:30:00+02:00", "RFC 3339"),
        ("2026-10-12T08:30:00.1234567Z", "RFC 3339"),
        ("2026-10-12T08:30:00Z, 2026-10-12T08:30:00Z", "RFC 3339"),
        ("2026-13-12T08:30:00Z", "month must be in 1..12"),
        ("2025-10-24T11:59:59Z", "400 days"),
        ("2028-01-02T12:00:01Z", "400 days"),
    ],
)
def test_what_is_no_time_near_now_is_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said) as error:
        read_event_time(text, NOW, accepted=True)
    assert [violation.field for violation in error.value.violations] == [f"header {HEADER}"]


def test_the_header_is_found_in_both_transports_and_is_empty_where_there_is_none() -> None:
    assert event_time_of(Context()) == event_time_of(Call([(b"x", b"y")])) == ""
    assert event_time_of(Context(("x", "y"), (HEADER, "then"))) == "then"
    assert event_time_of(Call([(b"x", b"y"), (HEADER.encode(), b"then"), (HEADER.encode(), b"now")])) == "then, now"


@asynccontextmanager
async def opened(settings: ServeSettings, bundle: Path, url: str, directory: Path) -> AsyncIterator[tuple[Any, Any]]:
    """The service on a gRPC server and beside it on a listener for HTTP/1.1: its address, and the listener's socket."""
    async with AsyncExitStack() as stack:
        service = await open_service(
            settings, bundle, "7", Services(url), stack,
            model="m", telemetry=Silent(), neighbours=local, replica=f"test#{uuid.uuid4().hex[:8]}",
        )  # fmt: skip
        servicer = GrpcServicer(service, Silent(), settings)
        server = grpc.aio.server()
        add_service(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        stack.push_async_callback(server.stop, 1.0)
        handlers = {f"/{SERVICE}/{name}": one for name, one in handlers_of(servicer).items()}
        listener = Listener(directory / "s", handlers, Malformed, 1 << 20)
        await listener.start()
        stack.push_async_callback(listener.stop, 0.0)
        yield f"127.0.0.1:{port}", directory / "s"


class Caller:
    """Calls by method name, over one of the transports; an answer, or the status and its message."""

    def __init__(self, address: str | None, socket: Path | None) -> None:
        self._address, self._socket = address, socket

    async def call(self, name: str, message: Any, answer: Any, at: str) -> Any:
        if self._address is not None:
            async with grpc.aio.insecure_channel(self._address) as channel:
                try:
                    return await getattr(RecommenderServiceStub(channel), name)(
                        message, metadata=((HEADER, at),), timeout=WITHIN_S
                    )
                except grpc.aio.AioRpcError as error:
                    return error.code().value[0], error.details()
        client = Client(*await asyncio.open_unix_connection(str(self._socket)))
        path = f"/{SERVICE}/{name}"
        sent = await client.ask(request(message.SerializeToString(), f"{HEADER}: {at}", path=path))
        client.writer.close()
        if sent.status:
            return sent.status, sent.headers["grpc-message"]
        assert sent.message is not None
        return answer.FromString(sent.message)


def ask(url: str, query: str, *values: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query.encode(), values).fetchall()


@pytest.mark.parametrize("http1", [False, True], ids=["grpc", "http1"])
def test_what_was_shown_and_done_is_stored_with_its_time_to_the_microsecond(
    http1: bool, bundle_dir: Path, postgres_url: str, tmp_path: Path
) -> None:
    asked, done = (datetime.now(UTC) - timedelta(days=days) for days in (30, 3))

    async def check() -> None:
        async with opened(SERVE, bundle_dir, postgres_url, tmp_path) as (address, socket):
            caller = Caller(None, socket) if http1 else Caller(address, None)
            user_id = "user-4" if http1 else "user-5"  # one database
            wanted = pb.RecommendRequest(
                user_ids=[user_id], limit=3, max_per_owner=100, max_song_overlap=1, max_song_containment=1
            )
            answer = await caller.call("Recommend", wanted, pb.RecommendResponse, asked.isoformat())
            (list_,) = answer.recommendations
            one, two, three = (playlist.playlist_id for playlist in list_.playlists)
            said = pb.FeedbackRequest(
                recommendation_id=list_.recommendation_id, user_id=user_id, liked=[one], ignored=[two],
                idempotency_key=uuid.uuid4().hex, model_version="7", arm=pb.ARM_PRODUCTION,
            )  # fmt: skip
            # A week from then, which is not over yet: a replica that reads all blocks anew forgets those that are.
            said.do_not_recommend.add(playlist_id=three).until.FromDatetime(done + timedelta(days=7))
            assert (await caller.call("Feedback", said, pb.FeedbackResponse, done.isoformat())).reactions == 3
            of = list_.recommendation_id

            # In a thread: the service may hold a lock on these tables, and it runs on this loop.
            async def stored(query: str, *values: Any) -> Any:
                return await asyncio.to_thread(ask, postgres_url, query, *values)

            async def written() -> Any:
                return await stored("SELECT at FROM impressions WHERE recommendation_id = %s", of)

            assert await until(written, "the list is written") == [(asked,)]
            for table, rows in (("reactions", 2), ("wishes", 1)):
                found = await stored(f"SELECT at FROM {table} WHERE recommendation_id = %s", of)
                assert found == [(done,)] * rows
            feedback = await stored("SELECT at FROM feedback WHERE idempotency_key = %s", said.idempotency_key)
            assert feedback == [(done,)]
            # What was shown counts back from the call's time: the day before, and no longer after weeks.
            wanted.exclude_seen.shown = True
            wanted.exclude_seen.window.FromTimedelta(timedelta(days=10))
            for days, held in ((1, True), (45, False)):
                at = (asked + timedelta(days=days)).isoformat()
                (later,) = (await caller.call("Recommend", wanted, pb.RecommendResponse, at)).recommendations
                assert not later.skipped
                again = {one, two} & {playlist.playlist_id for playlist in later.playlists}
                assert again == (set() if held else {one, two})
            wanted.ClearField("exclude_seen")
            # The wish holds for a week from its own time, and no longer.
            for days, held in ((1, True), (8, False)):
                at = (done + timedelta(days=days)).isoformat()
                (later,) = (await caller.call("Recommend", wanted, pb.RecommendResponse, at)).recommendations
                assert (three not in [playlist.playlist_id for playlist in later.playlists]) == held

    asyncio.run(check())


@pytest.mark.parametrize("http1", [False, True], ids=["grpc", "http1"])
def test_where_the_setting_is_off_a_time_is_refused_and_nothing_is_stored(
    http1: bool, bundle_dir: Path, postgres_url: str, tmp_path: Path
) -> None:
    at, key = datetime.now(UTC).isoformat(), uuid.uuid4().hex
    said = pb.FeedbackRequest(recommendation_id="0" * 32, user_id="user-1", liked=["list-1"], idempotency_key=key)
    calls = (
        ("Recommend", pb.RecommendRequest(user_ids=["user-1"]), pb.RecommendResponse),
        ("Feedback", said, pb.FeedbackResponse),
    )

    async def check() -> None:
        settings = ServeSettings(request_timeout_s=WITHIN_S, feedback_timeout_s=WITHIN_S)
        async with opened(settings, bundle_dir, postgres_url, tmp_path) as (address, socket):
            caller = Caller(None, socket) if http1 else Caller(address, None)
            for name, message, answer in calls:
                code, told = await caller.call(name, message, answer, at)
                assert (code, "serve.event_times" in told) == (3, True)

    asyncio.run(check())
    assert ask(postgres_url, "SELECT count(*) FROM feedback WHERE idempotency_key = %s", key) == [(0,)]
