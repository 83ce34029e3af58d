"""Real peers beside a real server on one bundle: the same playlists, the table, and a missing library."""

import json
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
import redis

from spotify_buddies.clients.load.baseline import Bare, bare_server
from spotify_buddies.clients.load.client_processes import LoadError
from spotify_buddies.clients.load.peers import table
from spotify_buddies.clients.load.peers.catalogue import PEERS, PeerName
from spotify_buddies.clients.load.peers.edge import listeners
from spotify_buddies.clients.load.peers.own_service import own_service
from spotify_buddies.clients.load.plan import Protocol
from spotify_buddies.clients.load.worker.rest import PATH
from spotify_buddies.clients.python import Client
from spotify_buddies.foundation.process.children import left_of
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.protos.buddies.v1.recommender_pb2_grpc import RecommenderServiceStub
from tests.clients.buddies_process import buddies, called
from tests.serve_app.bundles import NO_PAIRING, USERS
from tests.waiting import WITHIN_S

LISTENERS = [f"user-{number}" for number in range(USERS) if number != NO_PAIRING]


@pytest.fixture(scope="module")
def bare(bundle_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bare]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BUDDIES_STATE_DIR", str(tmp_path_factory.mktemp("bare")))
        with bare_server(bundle_dir) as server:
            yield server


def lists_over_http(address: str, body: dict[str, object]) -> list[dict[str, object]]:
    request = urllib.request.Request(
        f"http://{address}{PATH}", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=WITHIN_S) as response:
        return list(json.loads(response.read()))


def test_fastapi_with_our_ranking_answers_what_the_service_answers_and_keeps_it_in_its_redis(
    bare: Bare, bundle_dir: Path
) -> None:
    with Client(bare.address, timeout_s=WITHIN_S) as client:
        answered = client.recommend(LISTENERS, limit=5)
    ours = {one.user_id: [playlist.playlist_id for playlist in one.playlists] for one in answered}
    with PEERS[PeerName.FASTAPI].started(bundle_dir) as server:
        assert server.protocol is Protocol.REST
        assert listeners(server.address) == server.pids
        family = psutil.Process(server.pids[0]).children(recursive=True)
        theirs = lists_over_http(server.address, {"user_ids": list(ours)})
        assert lists_over_http(server.address, {"user_ids": []}) == []
        assert [one["user_id"] for one in lists_over_http(server.address, {"user_ids": [22434]})] == ["22434"]
        command = next(process.cmdline() for process in family if process.name().startswith("valkey"))
        socket = next(word.partition(":")[2] for word in command if word.startswith("unixsocket:"))
        with redis.Redis(unix_socket_path=socket) as cache:
            stored = {user: json.loads(cache.hget("playlist", user)) for user in ours}  # type: ignore[arg-type]
    assert {one["user_id"]: one["playlists"] for one in theirs} == ours == stored
    assert any(ours.values())
    assert left_of(family, WITHIN_S) == []
    assert not Path(socket).parent.parent.exists()


def test_grpclib_answers_and_refuses_as_the_service_does(bare: Bare, bundle_dir: Path) -> None:
    with PEERS[PeerName.GRPCLIB].started(bundle_dir) as server:
        (ours, refusal), (theirs, their_refusal) = (asked_of(one) for one in (bare.address, server.address))
    assert theirs == ours
    assert ours.recommendations[0].playlists
    assert their_refusal == refusal
    assert refusal[0] is grpc.StatusCode.INVALID_ARGUMENT


def asked_of(address: str) -> tuple[pb.RecommendResponse, tuple[grpc.StatusCode, str, object]]:
    """An answer without its ids and its version, and a refusal: its code, its message, its details."""
    with grpc.insecure_channel(address, options=(("grpc.enable_http_proxy", 0),)) as channel:
        stub = RecommenderServiceStub(channel)
        answer = stub.Recommend(pb.RecommendRequest(user_ids=[*LISTENERS, "nobody"], limit=9), timeout=WITHIN_S)
        with pytest.raises(grpc.RpcError) as refused:
            stub.Recommend(pb.RecommendRequest(user_ids=["user-1"], limit=100_000), timeout=WITHIN_S)
    assert len({one.recommendation_id for one in answer.recommendations}) == len(LISTENERS) + 1
    for one in answer.recommendations:
        one.recommendation_id = ""
    error: Any = refused.value
    return answer, (error.code(), error.details(), dict(error.trailing_metadata())["grpc-status-details-bin"])


def test_the_table_has_a_row_for_each_work_and_server_and_a_missing_library_says_what_to_install(
    bare: Bare, bundle_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "ids").write_text("\n".join(LISTENERS))
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['fastapi'] = None\n")
    finished = buddies(
        "load", "--address", bare.address, "--bundle", str(bundle_dir), "--ids", "ids", "--peers", "--peer", "grpclib",
        "--peer", "fastapi", "--rounds", "2", "--duration", "0.3", "--warmup", "0", "--callers", "4", "--check-every",
        "1", "--timeout", "30", "--max-error-rate", "0", "--json",
        cwd=tmp_path, BUDDIES_STATE_DIR=str(tmp_path / "state"), PYTHONPATH=f"{tmp_path}:{':'.join(sys.path)}",
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    body = json.loads(finished.stdout)
    assert body["not_measured"] == {"fastapi": "fastapi not installed: pip install 'spotify-buddies[peers]'"}
    assert [case["name"] for case in body["cases"]] == ["1 user a call, 4 callers", "1 user a call, 1 caller"]
    for case in body["cases"]:
        service, grpclib = case["rows"]
        assert (service["peer"], service["service_over"]) == ("service", None)
        assert (grpclib["peer"], grpclib["protocol"]) == ("grpclib", "grpc")
        assert set(grpclib["service_over"]) == {"calls_per_s", "p50", "p99", "cpu_per_call"}
        assert grpclib["service_over"]["calls_per_s"] > 0
        assert grpclib["cpu_ms_per_call"] > 0
        assert service["cpu_ms_per_call"] is None  # no service of this state directory, so not ours to watch
        assert all(row["failed"] == 0 < row["checked"] and len(row["rounds"]) == 2 for row in case["rows"])
    aligned, markdown = list(table.lines(body)), list(table.markdown(body))
    assert aligned[0].split()[:2] == ["work", "server"]
    assert [line.count("|") for line in markdown[:7]] == [len(table.HEADERS) + 1] * 7  # head, rule, 4 rows, the missing
    assert any(line.startswith("| not measured | FastAPI") for line in markdown)
    assert any("pip install 'spotify-buddies[peers]'" in line for line in aligned)


def test_a_peer_that_does_not_come_up_says_why(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="no bundle here"), PEERS[PeerName.GRPCLIB].started(tmp_path):
        pass


def test_a_service_of_its_own_gets_its_settings_and_leaves_no_state(
    bundle_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(LoadError, match="BUDDIES_SERVE__REPLICAS"), own_service(bundle_dir, {"replicas": "0"}):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_command_of_a_peer_says_what_to_install(
    bundle_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "grpclib", None)
    for name in [name for name in sys.modules if name.startswith(("grpclib.", "spotify_buddies.serve_app.baseline.g"))]:
        monkeypatch.delitem(sys.modules, name)
    finished = called("serve", "peer", "grpclib", "--bundle", str(bundle_dir), cwd=tmp_path)
    assert finished.returncode == 1
    assert "grpclib is not installed: pip install 'spotify-buddies[peers]'" in finished.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--peer", "bare"), "need --peers"),
        (("--peers", "--mix", "taste"), "no --mix, no --rate"),
        (("--peers", "--rate", "5"), "no --mix, no --rate"),
        (("--peers", "--soak"), "no scenario or soak"),
        (("--markdown",), "only the table of --peers"),
        (("--peers", "--edge", "127.0.0.1:1"), "an edge is called with TLS"),
    ],
)
def test_what_peers_cannot_measure_is_said(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    finished = called("load", "--address", "127.0.0.1:1", *arguments, cwd=tmp_path, BUDDIES_STATE_DIR=str(tmp_path))
    assert finished.returncode == 2
    assert said in " ".join(finished.stderr.split())
