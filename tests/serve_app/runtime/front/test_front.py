"""What the front refuses by itself, and what it lets through: the real HAProxy before a real gRPC server."""

from __future__ import annotations

import base64
import gzip
import http.client
import re
import stat
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.protos.buddies.v1.recommender_pb2_grpc import RecommenderServiceStub
from spotify_buddies.serve_app.api.limits import REQUEST_BYTES
from spotify_buddies.serve_app.api.standard import reflection
from spotify_buddies.serve_app.runtime.front import config, rules
from spotify_buddies.serve_app.runtime.front.rules import CALLER, HEADER_BYTES
from tests.front import CHECK, CONFIG, EMPTY, NOTHING, RECOMMEND, STREAM, WATCH, Answer, http2
from tests.serve_app.runtime.front.conftest import TOKEN, Backend, Front, Start
from tests.waiting import WITHIN_S

INVALID, EXHAUSTED, UNIMPLEMENTED, UNAVAILABLE = 3, 8, 12, 14


def framed(message: bytes, *, packed: bool = False) -> bytes:
    return bytes([packed]) + len(message).to_bytes(4, "big") + message


def test_a_front_without_replicas_is_unavailable_and_sends_no_page(start: Start) -> None:
    front = start(None)
    with grpc.insecure_channel(front.calls) as channel, pytest.raises(grpc.RpcError) as refused:
        RecommenderServiceStub(channel).Recommend(pb.RecommendRequest(), timeout=WITHIN_S)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert refused.value.details() == "no replica is ready or has room"


def test_a_front_that_knows_no_replica_yet_is_unavailable_too(start: Start) -> None:
    front = start(None, EMPTY)
    with http2(front.calls) as connection:
        assert connection.answer(connection.open(RECOMMEND, body=NOTHING)).status == UNAVAILABLE


@pytest.mark.parametrize("path", [RECOMMEND, STREAM, CHECK, WATCH])
@pytest.mark.parametrize("body", [None, b"", b"\0\0\0"])
def test_a_call_without_a_message_is_refused_at_once(front: Front, path: str, body: bytes | None) -> None:
    with http2(front.calls) as connection:
        answer = connection.answer(connection.open(path, body=body))
    assert (answer.status, answer.headers["grpc-message"]) == (INVALID, "the call holds no message")


def test_a_message_that_is_cut_off_is_answered(front: Front) -> None:
    with http2(front.calls) as connection:
        answer = connection.answer(connection.open(RECOMMEND, body=b"\0\0\0\0\x40half of it"))
    assert (answer.status, answer.headers["grpc-message"]) == (
        INVALID, "the message is shorter than its length prefix says",
    )  # fmt: skip


def test_a_call_whose_message_does_not_come_is_ended(start: Start, backend: Backend) -> None:
    front = start(backend, message_s=2)
    with http2(front.calls) as connection:
        waiting = connection.open(RECOMMEND, end=False)
        other = connection.answer(connection.open(RECOMMEND, body=NOTHING))
        assert other.status == 0
        late = connection.answer(waiting)
    assert (late.status, late.headers["grpc-message"]) == (INVALID, "the message did not arrive in time")


def test_one_callers_open_streams_end_where_they_are_too_many(front: Front) -> None:
    most, streams = rules.Front("", "", "").held, rules.Front("", "", "").streams
    with http2(front.calls) as connection:
        watches = [connection.open(WATCH, body=NOTHING) for _ in range(most + 1)]
        assert all(connection.first(watch).data for watch in watches[:most])
        refused = connection.answer(watches[most])
        assert (refused.status, refused.headers["grpc-retry-pushback-ms"]) == (EXHAUSTED, "1000")
        assert reasons(refused) == ["TOO_MANY_STREAMS"]
        # Of another method, and by another caller, there are others.
        open_streams = [connection.open(STREAM, body=NOTHING) for _ in range(streams + 1)]
        assert all(connection.first(stream).data for stream in open_streams[:streams])
        assert reasons(connection.answer(open_streams[streams])) == ["TOO_MANY_STREAMS"]
        assert connection.first(connection.open(WATCH, [(CALLER, "somebody else")], body=NOTHING)).data
        connection.reset(watches[0])
        assert connection.first(connection.open(WATCH, body=NOTHING)).data


def test_one_callers_calls_in_flight_end_where_they_are_too_many(start: Start, backend: Backend) -> None:
    # HAProxy may stop reading from a connection whose calls wait: other connections bring more until there are enough.
    front = start(backend, calls=60)
    with ExitStack() as stack:
        last = stack.enter_context(http2(front.calls))
        refused = Answer()
        for _ in range(100):
            connection = stack.enter_context(http2(front.calls))
            for _ in range(20):
                connection.open(RECOMMEND, end=False)
            refused = last.answer(last.open(RECOMMEND, body=NOTHING))
            if refused.status == EXHAUSTED:
                break
        assert (refused.status, refused.headers["grpc-retry-pushback-ms"]) == (EXHAUSTED, "100")
        assert reasons(refused) == ["TOO_MANY_CALLS"]
        assert last.answer(last.open(RECOMMEND, [(CALLER, "somebody else")], body=NOTHING)).status == 0


def reasons(answer: Answer) -> list[str]:
    """Of the details of a refusal."""
    status = Status.FromString(base64.b64decode(answer.headers["grpc-status-details-bin"] + "=="))
    assert (status.code, status.message) == (answer.status, answer.headers["grpc-message"])
    assert status.details[1].Is(RetryInfo.DESCRIPTOR)
    info = ErrorInfo()
    assert status.details[0].Unpack(info)
    return [info.reason]


@pytest.mark.parametrize("size", [1_000, 7_000, 8_000])
def test_headers_up_to_the_limit_pass_the_whole_way(front: Front, size: int) -> None:
    with http2(front.calls) as connection:
        entries = [(f"x-{number}", "v" * (size // 20 - 10)) for number in range(20)]
        assert connection.answer(connection.open(RECOMMEND, entries, body=NOTHING)).status == 0
    assert front.answers.metadata["x-19"] == entries[-1][1]


@pytest.mark.parametrize("size", [HEADER_BYTES, 12_000, 20_000, 40_000, 65_000])
def test_more_headers_are_an_error_of_that_call_alone(front: Front, size: int) -> None:
    with http2(front.calls) as connection:
        watch = connection.open(WATCH, body=NOTHING)
        assert connection.first(watch).data
        refused = connection.answer(connection.open(RECOMMEND, [("x", "v" * size)], body=NOTHING))
        assert refused.status == EXHAUSTED
        assert "metadata" in refused.headers["grpc-message"]
        assert connection.answer(connection.open(RECOMMEND, body=NOTHING)).status == 0
        assert connection.terminated is None


@pytest.mark.parametrize("entries", [65, 110, 300, 1_000])
def test_more_entries_are_an_error_of_that_call_alone(front: Front, entries: int) -> None:
    with http2(front.calls) as connection:
        many = [(f"x-{number}", "v") for number in range(entries)]
        assert connection.answer(connection.open(RECOMMEND, many, body=NOTHING)).status == EXHAUSTED
        assert connection.answer(connection.open(RECOMMEND, body=NOTHING)).status == 0


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (("grpc-timeout", "soon"), INVALID),
        (("grpc-timeout", "123456789S"), INVALID),
        (("grpc-encoding", "br"), UNIMPLEMENTED),
        (("grpc-timeout", "5S"), 0),
        (("grpc-encoding", "gzip"), 0),
        (("grpc-timeout", "99999999n"), 0),
        (("x-bin", "no base64!"), 0),
        (("application", "of somebody else"), 0),
    ],
)
def test_metadata_that_grpc_cannot_read_is_the_callers_error(
    front: Front, header: tuple[str, str], status: int
) -> None:
    with http2(front.calls) as connection:
        assert connection.answer(connection.open(RECOMMEND, [header], body=NOTHING)).status == status


@pytest.mark.parametrize("name", ["grpc-timeout", "grpc-encoding", CALLER])
def test_what_is_said_twice_is_refused(front: Front, name: str) -> None:
    value = {"grpc-timeout": "5S", "grpc-encoding": "gzip"}.get(name, "me")
    with http2(front.calls) as connection:
        refused = connection.answer(connection.open(RECOMMEND, [(name, value), (name, value)], body=NOTHING))
    assert (refused.status, refused.headers["grpc-message"]) == (INVALID, f"{name} is there more than once")


def test_other_methods_and_other_protocols_are_refused(front: Front) -> None:
    with http2(front.calls) as connection:
        assert connection.answer(connection.open("/buddies.v1.Other/Recommend", body=NOTHING)).status == UNIMPLEMENTED
        proto = connection.open(RECOMMEND, body=NOTHING, content_type="application/grpc+proto")
        assert connection.answer(proto).status == 0
        web = connection.open(RECOMMEND, body=NOTHING, content_type="application/grpc-web+proto")
        assert connection.answer(web).headers[":status"] == "415"


@pytest.mark.parametrize("way", [grpc.Compression.Gzip, grpc.Compression.Deflate, grpc.Compression.NoCompression])
def test_compressed_requests_are_answered(front: Front, way: grpc.Compression) -> None:
    with grpc.insecure_channel(front.calls, compression=way) as channel:
        asked = pb.RecommendRequest(user_ids=["listener"] * 500)
        answer = RecommenderServiceStub(channel).Recommend(asked, timeout=WITHIN_S)
    assert [one.user_id for one in answer.recommendations] == list(asked.user_ids)


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_bomb_is_refused_before_it_is_unpacked(front: Front, encoding: str, pack: Callable[[bytes], bytes]) -> None:
    bomb = pack(bytes(60 * 2**20))
    assert len(bomb) < 65_000
    with http2(front.calls) as connection:
        call = connection.open(RECOMMEND, [("grpc-encoding", encoding)], body=framed(bomb, packed=True))
        refused = connection.answer(call)
    assert refused.status == INVALID
    assert f"more than {REQUEST_BYTES:,} bytes when it is unpacked" in refused.headers["grpc-message"]


@pytest.mark.parametrize("name", reflection.NAMES)
@pytest.mark.parametrize("way", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_reflection_answers_under_both_names(front: Front, name: str, way: grpc.Compression) -> None:
    from grpc_reflection.v1alpha import reflection_pb2 as reflected

    asked = reflected.ServerReflectionRequest(list_services="")
    with grpc.insecure_channel(front.calls, compression=way) as channel:
        call = channel.stream_stream(
            f"/{name}/ServerReflectionInfo",
            request_serializer=reflected.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflected.ServerReflectionResponse.FromString,
        )
        (answer,) = call(iter([asked]), timeout=WITHIN_S)
    names = {service.name for service in answer.list_services_response.service}
    assert {"buddies.v1.RecommenderService", "grpc.health.v1.Health", *reflection.NAMES} <= names


def test_a_long_service_name_is_not_repeated(front: Front) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with grpc.insecure_channel(front.calls) as channel, pytest.raises(grpc.RpcError) as refused:
        health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service="x" * 65_536), timeout=WITHIN_S)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    assert "xx" not in (refused.value.details() or "")


def get(port: int, path: str, token: str = "") -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WITHIN_S)
    try:
        connection.request("GET", path, headers={"authorization": f"Bearer {token}"} if token else {})
        return connection.getresponse().status
    finally:
        connection.close()


def test_status_pages_ask_for_the_token_and_http_has_health_alone(front: Front) -> None:
    for port, path in ((front.metrics, "/metrics"), (front.stats, "/stats")):
        assert get(port, path) == get(port, path, "another token") == 401
        assert get(port, path, TOKEN) == 200
    assert get(front.http, "/-/healthz") == 200
    assert get(front.http, "/") == get(front.http, "/Recommend") == get(front.http, "/-/anything") == 404


def test_the_file_is_rewritten_once_and_the_admin_socket_is_ours_alone(front: Front) -> None:
    written = front.config.read_text()
    assert "log 127.0.0.1:514" not in written
    assert f"bind 127.0.0.1:{front.metrics}" in written
    config.main(str(front.config.parent / "front.json"), str(front.config))
    assert front.config.read_text() == written
    assert stat.S_IMODE((front.config.parent / "admin.sock").stat().st_mode) == 0o600


def configured(text: str) -> str:
    ports = {"metrics": 1, "stats": 2, "calls": 3, "http": 4, "replica": 5}
    return config.rewrite(text.format(page="/p", admin="/a", **ports), rules.Front("127.0.0.1", "", "/nowhere"))


@pytest.mark.parametrize(
    ("part", "instead", "said"),
    [
        ("frontend grpc_frontend", "frontend grpc_front", "no section 'frontend grpc_frontend'"),
        ("listen stats", "listen statistics", "no section 'listen stats'"),
        ("mode 666 level", "level", "no mode in 'stats socket"),
        ("stats socket", "stats  socket", "no 'stats socket' in section 'global'"),
        ("bind *:{stats}", "bind ipv4@*:{stats}", "a status page listens elsewhere: 'bind ipv4@"),
        ("{replica} proto h2", "{replica}", "'backend grpc-buddies' does not speak HTTP/2"),
        ("    bind 127.0.0.1:{calls} proto h2\n", "", "a frontend without a line 'bind'"),
    ],
)
def test_a_part_that_is_not_as_ray_writes_it_stops_the_start(part: str, instead: str, said: str) -> None:
    assert part in CONFIG
    with pytest.raises(ValueError, match=re.escape(said)):
        configured(CONFIG.replace(part, instead))


def test_the_edge_and_the_front_have_the_same_numbers_and_words() -> None:
    edge = (Path(__file__).parents[4] / "deploy" / "edge" / "haproxy.cfg").read_text()
    front = configured(CONFIG)
    for shared in (
        *re.findall(r'grpc-message "((?:too|more|the message|the call|grpc-)[^"]*)"', front),
        *re.findall(r"grpc-status-details-bin (\S+)", front),
        *(f"gt {number}" for number in (rules.HEADER_BYTES, rules.HEADERS)),
        f"lt {rules.WHOLE_BYTES}", f"tune.bufsize {rules.BUFFER_BYTES}", f"tune.http.maxhdr {rules.MOST_HEADERS}",
        "-m reg ^application/grpc($|[+;])", "-m reg ^[0-9]{1,8}[HMSmun]$", "-m str identity deflate gzip",
        "req.body,bytes(1,4),hex,hex2i,add(5)", "clitcpka-idle 60s", "http-request del-header -bin -m end",
    ):  # fmt: skip
        assert shared in edge, shared
