"""A retraining from feedback to a version: brought out, kept back, and gone on with after a kill."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from spotify_buddies.foundation.text.pseudonym import pseudonym
from spotify_buddies.serve_app.offline.cli import open_ranker
from spotify_buddies.trainer.bundle import open_bundle
from spotify_buddies.trainer.dataset.erased import Erased
from spotify_buddies.trainer.registry.errors import RegistryError
from spotify_buddies.trainer.registry.mlflow_client import default_uri
from spotify_buddies.trainer.registry.registry import Registry
from spotify_buddies.trainer.retrain import run as running
from spotify_buddies.trainer.retrain.extract import BLOCKS, Extract
from spotify_buddies.trainer.retrain.run import Outcome, Place, retrain
from tests.trainer.retrain.worlds import SECTIONS, SmallWorld, said, small_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> SmallWorld:
    return small_world(tmp_path_factory.mktemp("small"), empty_database)


@pytest.fixture(scope="module")
def extract(world: SmallWorld) -> Extract:
    return said(world, world.state / "retrain" / "said")


def run(world: SmallWorld, extract: Extract, name: str = "run") -> Outcome:
    return retrain(world.sources, extract, world.place(name), SECTIONS, open_ranker)


class Killed(BaseException):
    """As SIGKILL: nothing behind it runs."""


def test_a_kill_at_any_stage_costs_that_stage_alone_and_the_end_is_the_same(
    world: SmallWorld, extract: Extract, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    deadly = ["build_pairing", "train_and_release", "judge"]

    def watched(name: str, real: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            if name in deadly:
                deadly.remove(name)
                raise Killed
            ran.append(name)
            return real(*arguments, **options)

        return call

    for name in ("build_dataset", "build_pairing", "train_and_release", "judge"):
        monkeypatch.setattr(running, name, watched(name, getattr(running, name)))
    for _ in range(3):
        with pytest.raises(Killed):
            run(world, extract)
    outcome = run(world, extract)
    assert ran[-1] == "judge"
    versions = world.registry.list_versions()
    # Registered before the judgement was killed, and not once more after it.
    assert [version.number for version in versions] == ["2", "1"]
    (new, _) = versions
    assert (outcome.again, outcome.body["outcome"], outcome.body["version"]) == (False, "registered", "2")
    assert (new.aliases, new.judged_against, new.kept) == (("staging",), "1", "")
    assert outcome.body["judgement"]["feedback"]["people"] > 5
    made = json.loads((world.place().home / "outcome.json").read_bytes())
    assert made["body"]["version"] == "2"
    monkeypatch.undo()
    again = run(world, extract)
    assert (again.again, again.body) == (True, outcome.body)
    facts = open_bundle(world.registry.fetch("2", world.state)).manifest.training
    assert facts["warm"]["feedback_weight"] == 4.0
    assert facts["warm"]["bundle_sha256"] == world.registry.get("1").bundle_sha256


def test_feedback_that_belongs_to_others_is_kept_back_with_the_reason(world: SmallWorld) -> None:
    wrong = said(world, world.state / "retrain" / "wrong", shuffled=True)
    outcome = run(world, wrong, "wrong")
    assert outcome.body["outcome"] == "kept"
    assert any("does not fit the people who gave it" in reason for reason in outcome.body["against"])
    kept = world.registry.get(outcome.body["version"])
    assert kept.aliases == ()
    assert "does not fit" in kept.kept


def test_with_too_little_feedback_nothing_is_decided_and_nothing_comes_out(world: SmallWorld) -> None:
    few = said(world, world.state / "retrain" / "few", visits=1)
    strict = SECTIONS.retrain.model_copy(update={"least_people": 1_000})
    sections = running.Sections(**{**vars(SECTIONS), "retrain": strict})
    outcome = retrain(world.sources, few, world.place("few"), sections, open_ranker)
    (reason,) = outcome.body["against"]
    assert "1000 are needed to judge" in reason
    assert world.registry.get(outcome.body["version"]).aliases == ()


def test_the_next_version_has_no_row_of_an_erased_listener(world: SmallWorld, extract: Extract) -> None:
    known = open_bundle(next((world.state / "train" / "bundle").iterdir())).user_ids
    gone = known.table[3]
    key = b"k" * 32
    erased = Erased(key, frozenset([pseudonym(key, gone)]))
    users = pl.read_parquet(extract.directory / BLOCKS)["user_id"]
    assert gone in users.to_list()
    outcome = retrain(world.sources, extract, world.place("erased"), SECTIONS, open_ranker, erased=erased)
    bundle = open_bundle(world.registry.fetch(outcome.body["version"], world.state))
    assert bundle.user_ids.find([gone]).tolist() == [-1]
    assert len(bundle.user_ids.table) == len(known.table) - 1


def test_without_a_version_that_serves_it_says_what_to_do(
    world: SmallWorld, extract: Extract, mlflow_state: Path
) -> None:
    place = Place(mlflow_state, mlflow_state / "run", world.state / "dataset")
    with pytest.raises(RegistryError, match="buddies train run"):
        retrain(world.sources, extract, place, SECTIONS, open_ranker)
    assert Registry(default_uri(mlflow_state), SECTIONS.registry.model).list_versions() == []
