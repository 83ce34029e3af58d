"""`buddies train evaluate --protocol served` from raw files to its tables, on made-up listens and playlists."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from spotify_buddies.clients.main import build_app

SETTINGS = {
    "BUDDIES_DATA__LIKED_SHARE": "0.15",
    "BUDDIES_DATA__HARD_POOL": "0.6",
    "BUDDIES_TRAIN__DIMENSION": "16",
    "BUDDIES_TRAIN__EPOCHS": "3",
    "BUDDIES_PAIRING__DIMENSION": "16",
}


class Command:
    """`buddies` with a state directory of its own."""

    def __init__(self, state: Path) -> None:
        self.state = state

    def __call__(self, *words: str, code: int = 0) -> Result:
        environment = {**SETTINGS, "BUDDIES_STATE_DIR": str(self.state)}
        result = CliRunner().invoke(build_app(), words, env=environment)
        assert result.exit_code == code, result.output
        return result


@pytest.fixture(scope="module")
def buddies(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """A registered version of 120 users and 200 playlists."""
    command = Command(tmp_path_factory.mktemp("state"))
    command("data", "synth", "--users", "120", "--playlists", "200", "--songs", "1500")
    command("data", "build")
    command("pair", "build")
    command("train", "run")
    return command


@pytest.fixture(scope="module")
def asked(buddies: Command) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(buddies("train", "evaluate", "--protocol", "served", "--json").stdout)
    return body


def test_likes_and_halves_are_asked_over_all_playlists(asked: dict[str, Any]) -> None:
    sets = {"likes-validation", "likes-test", "likes-cold", "halves-warm", "halves-cold"}
    assert set(asked["served"]) == sets
    for name, figures in asked["served"].items():
        hit = figures["lists"]["served"]
        assert 0 <= hit["hit@1"]["value"] <= hit["hit@5"]["value"] <= 1
        # Candidates of strangers depend on the length of the list that is asked for.
        assert name == "halves-cold" or hit["hit@5"]["value"] <= hit["hit@20"]["value"] <= 1
        recall = figures["recall"]["all"]
        assert recall["75"]["value"] <= recall["500"]["value"]
    assert asked["left_out"] == {}


def test_people_find_their_other_half_more_often_than_popularity_does(asked: dict[str, Any]) -> None:
    warm = asked["served"]["halves-warm"]["lists"]
    assert warm["served"]["hit@20"]["low"] > warm["popularity"]["hit@20"]["value"]


def test_among_fifty_the_same_model_looks_better_than_it_serves(asked: dict[str, Any]) -> None:
    beside = asked["one_against_50_not_what_people_get"]["halves-warm"]["scorers"]["model"]["hit@5"][0]
    assert beside > asked["served"]["halves-warm"]["lists"]["served"]["hit@5"]["value"]


def test_it_answers_the_same_each_time(buddies: Command, asked: dict[str, Any]) -> None:
    assert json.loads(buddies("train", "evaluate", "--protocol", "served", "--json").stdout) == asked


def test_the_registry_shows_what_the_version_serves(buddies: Command, asked: dict[str, Any]) -> None:
    (version,) = json.loads(buddies("registry", "list", "--json").stdout)
    served = asked["served"]["likes-validation"]["lists"]["served"]
    assert version["metrics"]["served/hit@5"] == served["hit@5"]["value"]
    line = buddies("registry", "list").stdout.splitlines()[1]
    assert f"{served['hit@5']['value']:.3f}" in line.split()


def test_people_read_the_full_figures_first(buddies: Command) -> None:
    printed = buddies("train", "evaluate", "--protocol", "served", "--no-halves").stdout
    assert printed.index("All playlists, by the candidates") < printed.index("NOT what people get")
    assert "halves-warm" not in printed
    likes = buddies("train", "evaluate", "--no-peers").stdout
    assert likes.index("All playlists, by the candidates") < likes.index("NOT what people get")


def test_the_versions_of_halves_never_reach_the_registry(buddies: Command, asked: dict[str, Any]) -> None:
    assert len(json.loads(buddies("registry", "list", "--json").stdout)) == 1
    assert asked["served"]["halves-warm"]["people"] > 0
