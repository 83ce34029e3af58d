"""The service that a command calls: named by option, setting or state directory, and never guessed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from spotify_buddies.clients.command.access import NoService, target
from spotify_buddies.clients.command.settings import read_settings
from spotify_buddies.clients.main import sections
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from tests.clients.buddies_process import called
from tests.clients.grpc_server import serving
from tests.clients.python.answers import ANSWER


@pytest.mark.parametrize(
    "arguments",
    [("recommend", "ada"), ("feedback", "r1", "--user", "ada", "--like", "p1"), ("load", "--mix", "unknown")],
)
def test_where_no_service_runs_a_command_calls_nobody_and_says_so(arguments: tuple[str, ...], tmp_path: Path) -> None:
    result = called(*arguments, cwd=tmp_path, BUDDIES_STATE_DIR="state", BUDDIES_SERVE__GRPC_PORT="9123")
    assert result.returncode == 1
    assert result.stderr.startswith("error: no service runs here")
    for said in (str(tmp_path / "state"), "buddies serve start", "--address", "BUDDIES_CLIENT__ADDRESS"):
        assert said in result.stderr
    assert "127.0.0.1" not in result.stderr


def test_the_setting_names_the_service_and_the_option_another_one(tmp_path: Path) -> None:
    def named(title: str) -> pb.RecommendResponse:
        answer = pb.RecommendResponse()
        answer.CopyFrom(ANSWER)
        answer.recommendations[0].playlists[0].title = title
        return answer

    with (
        serving(Recommend=lambda request, context: named("of the setting")) as one,
        serving(Recommend=lambda request, context: named("of the option")) as other,
    ):
        by_setting = called("recommend", "ada", cwd=tmp_path, BUDDIES_CLIENT__ADDRESS=one)
        by_option = called("recommend", "ada", "--address", other, cwd=tmp_path, BUDDIES_CLIENT__ADDRESS=one)
    assert "of the setting" in by_setting.stdout
    assert "of the option" in by_option.stdout


def test_the_own_service_is_called_where_nothing_else_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BUDDIES_STATE_DIR", str(tmp_path))
    monkeypatch.delenv("BUDDIES_CLIENT__ADDRESS", raising=False)
    settings = read_settings(sections())
    with pytest.raises(NoService, match="no service runs here"):
        target(settings)
    places = dict.fromkeys(("http", "dashboard", "mlflow", "postgres", "redis", "model_version"), "")
    (tmp_path / "serving.json").write_text(json.dumps({**places, "pid": os.getpid(), "grpc": "127.0.0.1:5"}))
    own = target(settings)
    assert (own.address, own.endpoints is not None) == ("127.0.0.1:5", True)
    elsewhere = target(settings, "127.0.0.1:6")
    assert (elsewhere.address, elsewhere.endpoints) == ("127.0.0.1:6", None)
