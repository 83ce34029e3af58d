"""The `buddies` command as a process: output, exit codes, help."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2 as details

from spotify_buddies.clients.command.doctor import hosts
from spotify_buddies.clients.command.endpoints import running
from spotify_buddies.foundation.addresses import AddressKind
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from tests.clients.grpc_server import refuse, serving
from tests.clients.python.answers import ANSWER


def buddies(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("BUDDIES_", "MLFLOW_"))}
    return subprocess.run(
        [sys.executable, "-m", "spotify_buddies.clients.main", *arguments],
        cwd=cwd,
        env={**inherited, "COLUMNS": "160", "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


NOUNS = {
    "data": ("synth", "build", "stats", "listeners"),
    "pair": ("build",),
    "train": ("run", "evaluate"),
    "tune": ("run", "compare"),
    "registry": ("list", "alias", "copy", "derive"),
    "bench": ("offline", "serving-bundle"),
    "serve": ("start", "reactions", "sample", "plain"),
    "daily": ("run", "status", "show"),
    "queue": ("start", "submit", "result", "status", "dead", "retry"),
    "drill": ("list", "run"),
    "simulate": ("run",),
    "rollout": (
        "status",
        "history",
        "start",
        "set-percent",
        "promote",
        "rollback",
        "pause",
        "resume",
        "shadow",
    ),
    "config": ("show",),
}


def test_help_names_every_noun(tmp_path: Path) -> None:
    result = buddies("--help", cwd=tmp_path)
    assert result.returncode == 0
    for noun in [*NOUNS, "recommend", "feedback", "load", "doctor", "demo"]:
        assert noun in result.stdout


@pytest.mark.parametrize(("noun", "verb"), [(noun, verb) for noun, verbs in NOUNS.items() for verb in verbs])
def test_every_verb_has_help_with_an_example(noun: str, verb: str, tmp_path: Path) -> None:
    result = buddies(noun, verb, "--help", cwd=tmp_path)
    assert result.returncode == 0
    assert f"buddies {noun} {verb}" in result.stdout.replace("\n", " ")
    assert "Example" in result.stdout


def test_an_unknown_verb_is_wrong_usage(tmp_path: Path) -> None:
    assert buddies("data", "frobnicate", cwd=tmp_path).returncode == 2


def test_a_bad_setting_is_wrong_usage_and_names_the_variable(tmp_path: Path) -> None:
    result = buddies("config", "show", cwd=tmp_path, BUDDIES_SERVE__PORT="1")
    assert result.returncode == 2
    assert "BUDDIES_SERVE__PORT" in result.stderr
    assert "Traceback" not in result.stderr


def test_config_show_is_json_for_scripts(tmp_path: Path) -> None:
    result = buddies("config", "show", "--json", cwd=tmp_path, BUDDIES_TRAIN__EPOCHS="5")
    assert json.loads(result.stdout)["train"]["epochs"] == 5


def test_recommend_prints_titles_owners_and_reasons(tmp_path: Path) -> None:
    with serving(Recommend=lambda request, context: ANSWER) as address:
        table = buddies("recommend", "ada", "--address", address, cwd=tmp_path)
        script = buddies("recommend", "ada", "--address", address, "--json", cwd=tmp_path)
    assert table.returncode == 0
    for word in ("Rainy", "bob", "why", "cold_neighbours", "version 7", "r1"):
        assert word in table.stdout
    assert json.loads(script.stdout)[0]["playlists"][0]["title"] == "Rainy"


def test_names_of_playlists_are_printed_as_they_are(tmp_path: Path) -> None:
    answer = pb.RecommendResponse()
    answer.CopyFrom(ANSWER)
    answer.recommendations[0].playlists[0].title = "[chill] :fire: [/b]"
    with serving(Recommend=lambda request, context: answer) as address:
        result = buddies("recommend", "ada", "--address", address, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "[chill] :fire: [/b]" in result.stdout


def test_a_feedback_that_fails_says_how_to_send_it_again(tmp_path: Path) -> None:
    with serving() as address:
        pass
    options = ("--user", "ada", "--like", "p1", "--key", "k7", "--address", address)
    result = buddies("feedback", "r1", *options, cwd=tmp_path, BUDDIES_CLIENT__ATTEMPTS="1")
    assert result.returncode == 1
    assert "--key k7" in result.stderr


def test_a_repeated_put_off_is_the_same_feedback_with_the_options_that_the_failure_names(tmp_path: Path) -> None:
    seen: list[pb.FeedbackRequest] = []

    def answer(request: pb.FeedbackRequest, context: Any) -> pb.FeedbackResponse:
        seen.append(request)
        if len(seen) == 1:
            refuse(context, grpc.StatusCode.UNAVAILABLE, "no store")
        return pb.FeedbackResponse(outcome=pb.FEEDBACK_OUTCOME_ACCEPTED, reactions=1)

    with serving(Feedback=answer) as address:
        options = ("feedback", "r1", "--user", "ada", "--put-off", "p1", "--address", address)
        failed = buddies(*options, "--days", "3", cwd=tmp_path, BUDDIES_CLIENT__ATTEMPTS="1")
        again = failed.stderr.split("send it again with ")[1].split(";")[0].split()
        assert buddies(*options, *again, cwd=tmp_path).returncode == 0
    assert (failed.returncode, seen[0]) == (1, seen[1])
    assert seen[0].do_not_recommend[0].until.seconds > time.time() + 2 * 86_400


def test_a_key_of_another_feedback_is_wrong_usage_without_a_hint_to_send_it_again(tmp_path: Path) -> None:
    def answer(request: pb.FeedbackRequest, context: Any) -> None:
        field = details.BadRequest.FieldViolation(field="liked", description="differs")
        bad = details.BadRequest(field_violations=[field])
        refuse(context, grpc.StatusCode.ALREADY_EXISTS, "another action", bad)

    with serving(Feedback=answer) as address:
        options = ("--user", "ada", "--like", "p1", "--key", "k7", "--address", address)
        result = buddies("feedback", "r1", *options, cwd=tmp_path)
    assert result.returncode == 2
    assert "liked: differs" in result.stderr
    assert "send it again" not in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [(("--days", "3", "--until", "2030-01-01"), "not both"), (("--until", "soon"), "'soon' is no time")],
)
def test_an_end_that_cannot_be_understood_is_wrong_usage(
    options: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    result = buddies("feedback", "r1", "--user", "ada", "--put-off", "p1", *options, cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr


@pytest.mark.parametrize(
    ("until", "sent"),
    [
        ("2030-01-31", "2030-01-31T00:00:00Z"),
        ("2030-01-31T12:00:00+02:00", "2030-01-31T10:00:00Z"),
        ("2030-01-31T12:00:00.000001Z", "2030-01-31T12:00:00.000001Z"),
    ],
)
def test_an_end_without_a_time_zone_is_utc(until: str, sent: str, tmp_path: Path) -> None:
    seen: list[pb.FeedbackRequest] = []

    def answer(request: pb.FeedbackRequest, context: object) -> pb.FeedbackResponse:
        seen.append(request)
        return pb.FeedbackResponse(reactions=1)

    with serving(Feedback=answer) as address:
        options = ("--user", "ada", "--put-off", "p1", "--until", until, "--address", address)
        assert buddies("feedback", "r1", *options, cwd=tmp_path).returncode == 0
    assert seen[0].do_not_recommend[0].until.ToJsonString() == sent


def test_recommend_sends_songs_as_a_taste(tmp_path: Path) -> None:
    seen: list[pb.RecommendRequest] = []

    def answer(request: pb.RecommendRequest, context: object) -> pb.RecommendResponse:
        seen.append(request)
        return ANSWER

    (tmp_path / "songs.txt").write_text("Song - With Dash - Artist\n\n")
    with serving(Recommend=answer) as address:
        result = buddies(
            "recommend", "--song", "Wild - Cat", "--songs-file", "songs.txt", "--address", address, cwd=tmp_path
        )
    assert result.returncode == 0
    names = [(song.name.title, song.name.artist) for song in seen[0].tastes[0].songs]
    assert names == [("Wild", "Cat"), ("Song - With Dash", "Artist")]


@pytest.mark.parametrize("arguments", [(), ("--song", "no dash")])
def test_recommend_without_a_listener_is_wrong_usage(arguments: tuple[str, ...], tmp_path: Path) -> None:
    assert buddies("recommend", *arguments, cwd=tmp_path).returncode == 2


def test_feedback_says_what_was_stored(tmp_path: Path) -> None:
    answer = pb.FeedbackResponse(outcome=pb.FEEDBACK_OUTCOME_ACCEPTED, reactions=2)
    with serving(Feedback=lambda request, context: answer) as address:
        result = buddies(
            "feedback", "r1", "--user", "ada", "--like", "p1", "--key", "k", "--address", address, cwd=tmp_path
        )
    assert result.returncode == 0
    assert "stored: 2 reactions under key k" in result.stdout


def test_a_service_that_is_not_there_fails_with_one_sentence(tmp_path: Path) -> None:
    with serving() as address:
        pass
    result = buddies("recommend", "ada", "--address", address, cwd=tmp_path, BUDDIES_CLIENT__ATTEMPTS="1")
    assert result.returncode == 1
    assert result.stderr.startswith(f"error: {address}: ")
    assert "Traceback" not in result.stderr


def test_doctor_lists_what_it_looked_at(tmp_path: Path) -> None:
    result = buddies("doctor", "--json", cwd=tmp_path)
    findings = {finding["what"]: finding for finding in json.loads(result.stdout)}
    assert findings["python"]["ok"]
    assert findings["extra train"]["ok"]
    assert findings["postgres"]["found"] == "embedded"


def test_doctor_finds_a_service_that_does_not_answer(tmp_path: Path) -> None:
    with serving() as address:
        pass
    result = buddies("doctor", cwd=tmp_path, BUDDIES_REDIS_URL=f"redis://{address}/0")
    assert result.returncode == 1
    assert "FAIL  redis" in result.stdout


def test_doctor_finds_a_taken_port(tmp_path: Path) -> None:
    with serving() as address:
        port = address.rpartition(":")[2]
        result = buddies("doctor", cwd=tmp_path, BUDDIES_SERVE__GRPC_PORT=port)
    assert result.returncode == 1
    assert f"FAIL  port {port}: taken" in result.stdout
    assert "BUDDIES_SERVE__GRPC_PORT" in result.stdout


@pytest.mark.parametrize(
    "code", ["import spotify_buddies.clients.python", "from spotify_buddies.clients.main import build_app\nbuild_app()"]
)
def test_the_client_and_the_command_start_without_heavy_imports(code: str) -> None:
    code = f"{code}\nimport sys\nprint(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(result.stdout.split())
    assert not loaded & {"torch", "ray", "mlflow", "numba", "scipy", "polars", "faiss", "psycopg"}


@pytest.mark.parametrize(
    ("kind", "url", "expected"),
    [
        (AddressKind.POSTGRES, "postgresql://a:b@one:1,two:2/db", [("one", 1), ("two", 2)]),
        (AddressKind.POSTGRES, "postgresql://one/db", [("one", 5432)]),
        (AddressKind.POSTGRES, "postgresql:///db?host=one,/run/postgresql&port=7", [("one", 7)]),
        (AddressKind.POSTGRES, "postgresql://%2Frun%2Fpostgresql/db", []),
        (AddressKind.POSTGRES, "host=one,two port=1,2 password='a @b'", [("one", 1), ("two", 2)]),
        (AddressKind.POSTGRES, "host=/run/postgresql", []),
        (AddressKind.MLFLOW, "http://mlflow.example", [("mlflow.example", 80)]),
        (AddressKind.MLFLOW, "https://mlflow.example", [("mlflow.example", 443)]),
        (AddressKind.MLFLOW, "postgresql+psycopg2://a:b@db/mlflow", [("db", 5432)]),
        (AddressKind.MLFLOW, "sqlite:////var/mlflow.db", []),
        (AddressKind.REDIS, "redis://[::1]:7/0", [("::1", 7)]),
        (AddressKind.REDIS, "redis://[::1]/0", [("::1", 6379)]),
        (AddressKind.REDIS, "unix:///run/redis.sock", []),
    ],
)
def test_doctor_finds_every_host_of_an_address(kind: AddressKind, url: str, expected: list[tuple[str, int]]) -> None:
    assert hosts(url, kind) == expected


def test_an_unreadable_endpoint_file_means_that_nothing_runs(tmp_path: Path) -> None:
    for text in ("", "{}", '{"pid": 1}'):
        (tmp_path / "serving.json").write_text(text)
        assert running(tmp_path) is None


def test_tune_without_ray_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'ray':\n"
        "            raise ModuleNotFoundError('no ray here', name=name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
    )
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    result = buddies("tune", "run", cwd=tmp_path, PYTHONPATH=path)
    assert result.returncode == 1
    assert result.stderr == "error: ray is not installed; install 'spotify-buddies[tune]' for `buddies tune`\n"
    assert buddies("tune", "compare", cwd=tmp_path, PYTHONPATH=path).returncode == 0


@pytest.mark.parametrize(
    ("text", "songs"),
    [
        ("\ufeffTune 1 - Band 1\nTune 3 - Band 3\n", [("Tune 1", "Band 1"), ("Tune 3", "Band 3")]),
        ("\ufeffTune 1 - Band 1", [("Tune 1", "Band 1")]),
        ("Tune\u20281\x0bx\x85y - Band 1\r\n\r\nB - C\r\n", [("Tune\u20281\x0bx\x85y", "Band 1"), ("B", "C")]),
    ],
)
def test_a_file_of_songs_is_read_as_editors_write_it(text: str, songs: list[tuple[str, str]], tmp_path: Path) -> None:
    (tmp_path / "songs.txt").write_bytes(text.encode())
    asked: list[pb.RecommendRequest] = []

    def answer(request: pb.RecommendRequest, context: object) -> pb.RecommendResponse:
        asked.append(request)
        return ANSWER

    with serving(Recommend=answer) as address:
        result = buddies("recommend", "--songs-file", "songs.txt", "--json", "--address", address, cwd=tmp_path)
    assert result.returncode == 0
    ((taste,),) = [request.tastes for request in asked]
    assert [(song.name.title, song.name.artist) for song in taste.songs] == songs
