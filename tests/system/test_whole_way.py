"""Raw files in, recommendations out over gRPC, a like into Postgres: real processes all the way."""

import json
import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from spotify_buddies.clients.command.endpoints import Endpoints
from spotify_buddies.clients.python import Arm, Client, Song, Source, Taste
from tests.system.conftest import Commands
from tests.waiting import WITHIN_S, wait_until

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]


def listeners(commands: Commands, *options: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(commands.ask("data", "listeners", "--json", *options))
    return found


def test_known_listeners_get_playlists_with_reasons(trained: Commands, service: Endpoints) -> None:
    user_ids = [listener["user_id"] for listener in listeners(trained, "--count", "5")]
    with Client(service.grpc, timeout_s=WITHIN_S) as client:
        found = client.recommend(user_ids, limit=5)
    assert [item.user_id for item in found] == user_ids
    assert {item.source for item in found} == {Source.LIVE}
    assert {(item.model_version, item.arm) for item in found} == {("1", Arm.PRODUCTION)}
    for item in found:
        assert 1 <= len(item.playlists) <= 5
        scores = [playlist.score for playlist in item.playlists]
        assert scores == sorted(scores, reverse=True)
        for playlist in item.playlists:
            assert playlist.owner_id != item.user_id
            assert playlist.reason is not None
            assert len(playlist.reason.examples) == min(3, playlist.reason.shared_songs)
            assert playlist.reason.text
    reasons = [playlist.reason for item in found for playlist in item.playlists if playlist.reason is not None]
    assert sum(reason.shared_songs >= 1 for reason in reasons) > len(reasons) / 2


def test_a_reason_counts_the_songs_that_both_listen_to(trained: Commands, service: Endpoints) -> None:
    raw = trained.state_dir / "raw" / "taste_profile"
    names = {}
    for line in (raw / "unique_tracks.txt").read_text(encoding="utf-8").splitlines():
        _, song, artist, title = line.split("<SEP>")
        names[song] = (title.strip().lower(), artist.strip().lower())
    libraries: dict[str, set[object]] = {}
    for line in (raw / "train_triplets.txt").read_text(encoding="utf-8").splitlines():
        user, song, _ = line.split("\t")
        title, artist = names.get(song, ("", ""))
        libraries.setdefault(user, set()).add((title, artist) if title and artist else song)
    user_id = listeners(trained, "--count", "1")[0]["user_id"]
    with Client(service.grpc, timeout_s=WITHIN_S) as client:
        (found,) = client.recommend([user_id], limit=20)
    by_owners = [p for p in found.playlists if p.reason is not None and p.reason.text.startswith("made by")]
    assert by_owners
    for playlist in by_owners:
        assert playlist.reason is not None
        assert playlist.reason.shared_songs == len(libraries[user_id] & libraries[playlist.owner_id])


def test_a_new_listener_is_matched_by_taste_and_an_unknown_one_by_popularity(
    trained: Commands, service: Endpoints
) -> None:
    (cold,) = listeners(trained, "--cold", "--count", "1")
    taste = Taste([*(Song(**song) for song in cold["songs"]), Song("No Such Song", "Nobody")], user_id="new")
    with Client(service.grpc, timeout_s=WITHIN_S) as client:
        unknown, new = client.recommend(["nobody-knows-me"], tastes=[taste])
    assert (new.user_id, new.source, new.unknown_songs) == ("new", Source.COLD_NEIGHBOURS, 1)
    assert any(playlist.reason is not None and playlist.reason.shared_songs >= 1 for playlist in new.playlists)
    assert (unknown.source, len(unknown.playlists)) == (Source.POPULAR, 5)
    assert unknown.playlists[0].reason is not None
    assert unknown.playlists[0].reason.shared_songs == 0


def test_a_like_is_in_postgres_once(trained: Commands, service: Endpoints) -> None:
    user_id = listeners(trained, "--count", "1")[0]["user_id"]
    (found,) = json.loads(trained.ask("recommend", user_id, "--json"))
    liked, *ignored = [playlist["playlist_id"] for playlist in found["playlists"]]
    options = ["--user", user_id, "--like", liked, "--key", "one-click"]
    options += [option for playlist in ignored for option in ("--ignore", playlist)]
    first = json.loads(trained.ask("feedback", found["recommendation_id"], *options, "--json"))
    again = json.loads(trained.ask("feedback", found["recommendation_id"], *options, "--json"))
    assert (first["duplicate"], again["duplicate"]) == (False, True)
    rows = json.loads(trained.ask("serve", "reactions", "--recommendation", found["recommendation_id"], "--json"))
    assert {row["playlist_id"]: row["score"] for row in rows} == {liked: 1, **dict.fromkeys(ignored, 0)}
    assert Counter(row["user_id"] for row in rows) == {user_id: len(rows)}


def freshness_of(commands: Commands) -> dict[str, Any]:
    # Other tests of this service may have shown lists of other versions.
    rows = json.loads(commands.ask("online", "report", "--since", "1h", "--json"))["rows"]
    found: dict[str, Any] = next(
        (row["freshness"]["daily"] for row in rows if "daily" in row["freshness"]), {"lists": 0}
    )
    return found


def test_the_lists_of_the_day_are_read_once_they_are_written(trained: Commands, service: Endpoints) -> None:
    user_id = listeners(trained, "--count", "1")[0]["user_id"]
    (before,) = json.loads(trained.ask("recommend", user_id, "--mode", "daily", "--json"))
    assert (before["source"], before["skipped"]) == ("live", ["daily_list"])
    assert json.loads(trained.run("daily", "run", "--json"))["lists"] > 0
    (after,) = json.loads(trained.ask("recommend", user_id, "--mode", "daily", "--json"))
    assert (after["source"], after["skipped"]) == ("daily", [])
    assert [p["playlist_id"] for p in after["playlists"]] == [p["playlist_id"] for p in before["playlists"]]
    # Impressions are written a moment later.
    fresh = wait_until(lambda: freshness_of(trained)["lists"] and freshness_of(trained), "the impression of the list")
    assert fresh["median_s"] <= fresh["p95_s"] <= 3600
    stored = [p["playlist_id"] for p in json.loads(trained.ask("daily", "show", user_id, "--json"))["playlists"]]
    listed = [p["playlist_id"] for p in after["playlists"]]
    # In the order of the stored list, without what the rules of a request leave out.
    assert [playlist for playlist in stored if playlist in listed] == listed
    assert stored[0] == listed[0]
    for _ in range(2):
        (space,) = json.loads(trained.ask("daily", "status", "--json"))["spaces"]
        assert (space["complete"], space["read"], space["blocks"]) == (True, True, space["blocks_total"])
        again = json.loads(trained.run("daily", "run", "--json"))
        if again["name"] == space["name"]:  # otherwise midnight lay between the two, and it is another day's
            break
    assert (again["blocks_written"], again["name"]) == (0, space["name"])
    assert "no list of the day" in trained.ask("daily", "show", "nobody-we-know", expect=1)


def test_health_reflection_and_status_answer(trained: Commands, service: Endpoints) -> None:
    with grpc.insecure_channel(service.grpc) as channel:
        services = list(ProtoReflectionDescriptorDatabase(channel).get_services())
        health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=WITHIN_S)
    assert {"buddies.v1.RecommenderService", "grpc.health.v1.Health"} <= set(services)
    assert health.status == health_pb2.HealthCheckResponse.SERVING
    with Client(service.grpc, timeout_s=WITHIN_S) as client:
        status = client.model_status()
    # Beside it stand those that a drill derived.
    (registered,) = [one for one in json.loads(trained.ask("registry", "list", "--json")) if one["aliases"]]
    assert registered["aliases"] == ["production"]
    assert status.production is not None
    assert (status.production.version, status.production.bundle_sha256) == ("1", registered["bundle_sha256"])
    assert (status.production.users, status.production.playlists) == (200, 300)


def test_the_readme_snippet_runs(service: Endpoints, capsys: pytest.CaptureFixture[str]) -> None:
    (snippet,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert "127.0.0.1:9000" in snippet
    exec(compile(snippet.replace("127.0.0.1:9000", service.grpc), "README.md", "exec"), {})
    assert "popular" in capsys.readouterr().out


def test_doctor_is_content_beside_the_running_service(trained: Commands, service: Endpoints) -> None:
    (line,) = [line for line in trained.run("doctor").splitlines() if line.split()[:2] == ["ok", "service"]]
    assert f"{service.grpc} answers" in line


def test_a_second_service_in_the_same_place_is_refused(trained: Commands, service: Endpoints) -> None:
    assert f"already runs in {trained.state_dir} (process {service.pid})" in trained.run("serve", "start", expect=1)
    with Client(service.grpc, timeout_s=WITHIN_S) as client:
        client.feedback("0f" * 16, user_id="u", liked=["p"])


def test_the_same_seed_gives_the_same_bundle(trained: Commands, tmp_path: Path) -> None:
    other = Commands(tmp_path / "state", trained.extra)
    other.run("data", "synth", "--preset", "tiny")
    other.run("data", "build")
    other.run("pair", "build")
    hashes = [json.loads(commands.run("train", "run", "--json"))["bundle_sha256"] for commands in (other, trained)]
    assert hashes[0] == hashes[1]


def test_everything_done_is_not_done_again(trained: Commands) -> None:
    before = json.loads((trained.state_dir / "dataset" / "timings.json").read_text())
    trained.run("data", "build")
    assert json.loads((trained.state_dir / "dataset" / "timings.json").read_text()) == before


def test_serving_without_a_registered_version_says_what_to_run(tmp_path: Path) -> None:
    error = Commands(tmp_path / "state").run("serve", "start", "--any-port", expect=1)
    assert "train run" in error


def test_nothing_of_the_state_is_pickled(trained: Commands) -> None:
    suspicious = subprocess.run(
        ["find", trained.state_dir, "-name", "*.pkl", "-o", "-name", "*.pickle", "-o", "-name", "*.joblib"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert suspicious.stdout == ""


def test_a_cluster_writes_the_same_lists_of_the_day(trained: Commands, service: Endpoints) -> None:
    user_id = listeners(trained, "--count", "1")[0]["user_id"]
    here = json.loads(trained.run("daily", "run", "--again", "--json"))
    shown = trained.ask("daily", "show", user_id, "--json")
    there = json.loads(trained.run("daily", "run", "--again", "--ray", "auto", "--json"))
    assert there["name"] != here["name"]
    assert (there["lists"], there["blocks_written"]) == (here["lists"], here["blocks_written"])
    assert there["removed"] == [f"{here['version']}:{there['removed'][0].split(':')[1]}:{here['name']}"]
    assert trained.ask("daily", "show", user_id, "--json") == shown
