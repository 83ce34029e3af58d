"""Lists drafted from two versions are drafted again, with the same coins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.api.service import Service
from spotify_buddies.serve_app.build import local
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.versions.rotation import ArmAnswers, Assignment
from spotify_buddies.trainer.bundle import open_bundle, write_bundle
from tests.serve_app.bundles import DIMENSION, NO_PAIRING, USERS, parts
from tests.serve_app.online.replay.conftest import World, recommend
from tests.serve_app.online.replay.test_replay import SONGS, assert_same

Command = Callable[..., Result]


@pytest.fixture(scope="module")
def canary(bundle_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    factors = np.random.default_rng(8).normal(size=(USERS, DIMENSION)).astype(np.float32)
    made = replace(parts(bundle_dir.parent / "index"), user_factors=factors)
    return write_bundle(tmp_path_factory.mktemp("canary") / "bundle", made).directory


def drafted(world: World, canary: Path, **fields: object) -> list[pb.Recommendation]:
    async def work(service: Service) -> list[pb.Recommendation]:
        beside = service.answers(Engine(open_bundle(canary, check_hashes=False), "8"))
        beside.use_neighbours(local(beside.engine))
        sides = service.rotation.current.production, ArmAnswers(beside)
        service.rotation.current = Assignment(*sides, 1.0, "salt", None, 1, interleave=True)
        return await recommend(service, **fields)

    return list(world.serve(work))


def activate(world: World) -> None:
    """A generation with the canary: it says whose a list is of which production picked all."""
    world.ask("TRUNCATE rollout_generations")
    world.ask(
        "INSERT INTO rollout_generations (number, model, production, canary, share, salt, paused, at, who, action, why,"
        " state, decided_at, interleave) VALUES (1, 'm', '7', '8', 1, 's', false, '2020-01-01', 'ann', 'start', '',"
        " 'active', '2020-01-01', true)"
    )


def test_a_drafted_list_is_drafted_again(world: World, canary: Path, command: Command) -> None:
    users = [f"user-{row}" for row in range(12)] + [f"user-{NO_PAIRING}", "nobody knows"]
    asked = {"user_ids": users, "tastes": [pb.Taste(user_id="guest", songs=SONGS)], "limit": 7}
    picked = set()

    def call(*arguments: str) -> Result:
        return command(*arguments, "--canary-bundle", str(canary))

    answers = drafted(world, canary, **asked)
    activate(world)
    for answer in answers:
        assert answer.arm == pb.ARM_INTERLEAVED
        found = assert_same(call, answer)
        teams = [playlist.picked_by for playlist in answer.playlists]
        assert found["picked_by"] == found["computed_picked_by"] == teams
        picked.update(teams)
    assert picked == {"7", "8"}


def test_with_another_canary_the_places_that_differ_are_told(
    world: World, canary: Path, bundle_dir: Path, command: Command
) -> None:
    (answer,) = drafted(world, canary, user_ids=["user-3"], limit=10)
    done = command(answer.recommendation_id, "--canary-bundle", str(bundle_dir))
    assert done.exit_code == 1
    assert "drafted from two versions; picked: 1 by " in done.stdout
    assert f" of {len(answer.playlists)} places differ" in done.stdout


def test_a_list_that_production_picked_wholly_has_the_canary_of_its_generation(
    world: World, canary: Path, command: Command
) -> None:
    answers = drafted(world, canary, user_ids=["user-4"] * 60, limit=1)
    answer = next(one for one in answers if one.playlists[0].picked_by == "7")
    world.ask("TRUNCATE rollout_generations")
    done = command(answer.recommendation_id, "--canary-bundle", str(canary))
    assert done.exit_code == 1
    assert "no generation says what the canary was" in done.stderr
    activate(world)
    assert_same(lambda *arguments: command(*arguments, "--canary-bundle", str(canary)), answer)
