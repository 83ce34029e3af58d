"""Help, versions and the start of the command."""

import json
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.clients.buddies_process import buddies, called

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
    result = called(noun, verb, "--help", cwd=tmp_path)
    assert result.returncode == 0
    assert f"buddies {noun} {verb}" in result.stdout.replace("\n", " ")
    assert "Example" in result.stdout


def test_config_show_is_json_for_scripts(tmp_path: Path) -> None:
    result = called("config", "show", "--json", cwd=tmp_path, BUDDIES_TRAIN__EPOCHS="5")
    assert json.loads(result.stdout)["train"]["epochs"] == 5


@pytest.mark.parametrize(
    "code", ["import spotify_buddies.clients.python", "from spotify_buddies.clients.main import build_app\nbuild_app()"]
)
def test_the_client_and_the_command_start_without_heavy_imports(code: str) -> None:
    code = f"{code}\nimport sys\nprint(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(result.stdout.split())
    assert not loaded & {"torch", "ray", "mlflow", "numba", "scipy", "polars", "faiss", "psycopg"}


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [(("recommend",), "more in the [client] settings"), (("tune", "run"), "instead of [tune] trials")],
)
def test_help_shows_the_names_of_sections(arguments: tuple[str, ...], shown: str, tmp_path: Path) -> None:
    assert shown in " ".join(called(*arguments, "--help", cwd=tmp_path).stdout.replace("│", " ").split())


def test_the_version_is_that_of_the_package_and_of_python(tmp_path: Path) -> None:
    result = buddies("--version", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"spotify-buddies {version('spotify-buddies')}, Python {platform.python_version()}\n"


def test_usage_names_the_command_that_was_typed(tmp_path: Path) -> None:
    assert "Usage: buddies load [OPTIONS]" in called("load", "--help", cwd=tmp_path).stdout
