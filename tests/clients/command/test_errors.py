"""Errors of the command: one sentence that says each thing once, and an exit code."""

import os
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2 as details

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from tests.clients.buddies_process import buddies, called
from tests.clients.grpc_server import refuse, serving


def test_an_unknown_verb_is_wrong_usage(tmp_path: Path) -> None:
    assert called("data", "frobnicate", cwd=tmp_path).returncode == 2


def test_a_bad_setting_is_wrong_usage_and_names_the_variable(tmp_path: Path) -> None:
    result = called("config", "show", cwd=tmp_path, BUDDIES_SERVE__PORT="1")
    assert result.returncode == 2
    assert "BUDDIES_SERVE__PORT" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_service_that_is_not_there_fails_with_one_sentence(tmp_path: Path) -> None:
    with serving() as address:
        pass
    result = called("recommend", "ada", "--address", address, cwd=tmp_path, BUDDIES_CLIENT__ATTEMPTS="1")
    assert result.returncode == 1
    assert result.stderr == f"error: {address}: cannot connect: Connection refused (UNAVAILABLE)\n"


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
    assert called("tune", "compare", cwd=tmp_path, PYTHONPATH=path).returncode == 0


@pytest.mark.parametrize(
    ("text", "environment", "said"),
    [
        ("[train]\nepochz = 3\n", {}, "buddies.toml: train.epochz: no such setting; did you mean train.epochs?"),
        ("[train]\nepochs = 0\n", {}, "buddies.toml: train.epochs: Input should be greater than or equal to 1, got 0"),
        ("", {"BUDDIES_TRAIN__EPOCHS": "0"},
         "BUDDIES_TRAIN__EPOCHS: Input should be greater than or equal to 1, got '0'"),
        ("", {"BUDDIES_CLIENT__ADDRESS": "http://host:9000"},
         "BUDDIES_CLIENT__ADDRESS: the address is a URL (http); a gRPC address is host:port, such as 'host:9000', "
         "got 'http://host:9000'"),
    ],
)  # fmt: skip
def test_a_wrong_setting_names_the_one_place_that_it_comes_from(
    text: str, environment: dict[str, str], said: str, tmp_path: Path
) -> None:
    (tmp_path / "buddies.toml").write_text(text)
    result = called("config", "show", cwd=tmp_path, **environment)
    assert (result.returncode, result.stderr) == (2, f"error: {said}\n")


def test_a_refused_request_is_said_once(tmp_path: Path) -> None:
    def answer(request: pb.RecommendRequest, context: Any) -> None:
        field = details.BadRequest.FieldViolation(field="limit", description="must be 1 to 100, is 101")
        bad = details.BadRequest(field_violations=[field])
        refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "limit: must be 1 to 100, is 101", bad)

    with serving(Recommend=answer) as address:
        result = called("recommend", "ada", "--limit", "101", "--address", address, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr == f"error: {address}: limit: must be 1 to 100, is 101 (INVALID_ARGUMENT)\n"


def test_a_url_as_the_address_is_wrong_usage_that_says_what_to_write(tmp_path: Path) -> None:
    result = called("recommend", "ada", "--address", "http://host:9000", cwd=tmp_path)
    assert result.returncode == 2
    assert "a gRPC address is host:port, such as 'host:9000'" in result.stderr
