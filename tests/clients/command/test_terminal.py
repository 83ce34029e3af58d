"""Text of strangers reaches no terminal as anything but letters: titles, names, ids, errors and paths."""

from __future__ import annotations

import csv
import unicodedata
from pathlib import Path
from typing import Any

import grpc
import pytest
from redis import Redis
from typer.testing import CliRunner

from spotify_buddies.clients.main import build_app
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.embedded import valkey
from spotify_buddies.serve_app.queue.jobs import Jobs
from spotify_buddies.serve_app.queue.settings import QueueSettings
from spotify_buddies.serve_app.rollout.commands.view import history_view, status_view
from tests.clients.grpc_server import refuse, serving

EVIL = "Mix \x1b[2J\x1b[31mOWNED\x1b]0;title\x07 \x9b1m\x7f \u202egnp\u2066\u200f \ufeffend"
FORMATS = set("\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")


def steering(text: str) -> set[str]:
    """The signs in a text that steer a terminal, line ends and tabs apart."""
    return {sign for sign in text if sign not in "\n\t" and (unicodedata.category(sign) == "Cc" or sign in FORMATS)}


def command(*arguments: str, code: int = 0, **environment: str) -> str:
    """What a command prints, both streams."""
    done = CliRunner().invoke(build_app(), list(arguments), env={"COLUMNS": "2000", **environment})
    assert done.exit_code == code, done.output
    return done.stdout + done.stderr


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BUDDIES_STATE_DIR", str(tmp_path / "state"))


def answer(request: pb.RecommendRequest, context: grpc.ServicerContext) -> pb.RecommendResponse:
    song = pb.SongName(title=EVIL, artist=EVIL)
    reason = pb.Reason(text=EVIL, examples=[song])
    playlist = pb.RecommendedPlaylist(playlist_id=EVIL, title=EVIL, owner_id="\x1bc", score=0.5, reason=reason)
    good = pb.Recommendation(user_id=EVIL, recommendation_id=EVIL, model_version=EVIL, playlists=[playlist])
    bad = pb.Recommendation(user_id=EVIL, error=pb.ListenerError(field=EVIL, message=EVIL))
    return pb.RecommendResponse(recommendations=[good, bad])


def test_recommendations_are_letters() -> None:
    with serving(Recommend=answer) as address:
        said = command("recommend", EVIL, "--address", address)
        as_json = command("recommend", EVIL, "--address", address, "--json")
    assert r"Mix \x1b[2J" in said
    assert said.count("OWNED") >= 5
    assert not steering(said)
    assert not steering(as_json)
    assert as_json.isascii()


def test_an_error_of_the_service_and_a_path_are_letters(tmp_path: Path) -> None:
    def fail(request: Any, context: grpc.ServicerContext) -> pb.RecommendResponse:
        refuse(context, grpc.StatusCode.INTERNAL, EVIL)
        raise AssertionError

    with serving(Recommend=fail) as address:
        said = command("recommend", "ada", "--address", address, code=1)
    assert "OWNED" in said
    assert not steering(said)
    said = command("recommend", "--songs-file", "no\x1b[31m\u202e.txt", code=2)
    said += command("queue", "submit", "--ids", "no\x1b[31m\u202e.txt", code=1)
    assert r"no\x1b[31m\u202e.txt" in said
    assert not steering(said)


def write(path: Path, *rows: tuple[str, ...]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def test_listeners_of_a_data_set_are_letters(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    users = [f"u{user}\u202e" for user in range(12)]
    listens = [(user, f"Tune {song}\x1b]0;x\x07\u202e", "Band\x9b") for user in users for song in range(15)]
    lists = [
        (f"p{user}", EVIL, f"Tune {song}\x1b]0;x\x07\u202e", "Band\x9b", user) for user in users for song in range(10)
    ]
    write(raw / "listens.csv", ("user_id", "title", "artist"), *listens)
    write(raw / "playlists.csv", ("playlist_id", "name", "title", "artist", "owner_id"), *lists)
    built = command("data", "build", str(raw))
    said = command("data", "listeners", "--count", "3")
    assert r"\x1b" in said
    assert "Band" in said
    assert not steering(built + said)


def test_answers_and_dead_letters_of_the_queue_are_letters(tmp_path: Path) -> None:
    found = pb.RecommendResponse(
        recommendations=[pb.Recommendation(user_id=EVIL, playlists=[pb.RecommendedPlaylist(playlist_id=EVIL)])]
    )
    with valkey(tmp_path / "valkey") as url, Redis.from_url(url) as store:
        jobs = Jobs(store, QueueSettings())
        jobs.finish("a", found.SerializeToString())
        said = command("queue", "result", "a", BUDDIES_REDIS_URL=url)
        said += command("queue", "result", "b\x1b", code=1, BUDDIES_REDIS_URL=url)
    assert said.count("OWNED") == 2
    assert not steering(said)


def test_rollouts_are_letters() -> None:
    generation = {
        "number": 1, "state": EVIL, "action": EVIL, "who": EVIL, "at": "2026-01-01T00:00:00", "why": EVIL,
        "message": EVIL, "wanted": {"paused": False}, "changed": {"production": ["1", EVIL]},
    }  # fmt: skip
    status = {
        "generation": generation,
        "active": generation,
        "arms": [{"arm": EVIL, "version": EVIL, "share": 1.0}],
        "replicas": [
            {
                "replica": EVIL, "role": EVIL, "prepared": 1, "following": 1, "age_s": 0.1,
                "versions": {EVIL: {"state": EVIL, "message": EVIL}},
            }
        ],
        "controller": {"state": EVIL},
        "registry": {"state": "away", "away_since": "2026-01-01T00:00:00", "message": EVIL},
        "verdict": {"kind": EVIL, "reason": EVIL},
        "events": [{"at": "2026-01-01", "generation": 1, "kind": EVIL, "version": EVIL, "message": EVIL}],
    }  # fmt: skip
    said = status_view(status) + history_view([generation])
    assert said.count("OWNED") > 20
    assert not steering(said)
