"""Lists with places that were drawn at random are drawn again: the same playlists with the same propensities."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.api.service import Service
from spotify_buddies.serve_app.ranking.query import Arm
from spotify_buddies.serve_app.ranking.rules import Exploration, Policy
from tests.serve_app.online.replay.conftest import World
from tests.serve_app.online.replay.test_replay import COLD, SONGS, ids

Command = Callable[..., Result]
EPSILON = {Arm.PRODUCTION: Exploration(Policy.EPSILON, 0.7, 6)}
LUCE = {Arm.PRODUCTION: Exploration(Policy.PLACKETT_LUCE, 0.8, 12)}


@pytest.mark.parametrize("explorations", [EPSILON, LUCE], ids=["epsilon", "plackett-luce"])
@pytest.mark.parametrize(
    "asked",
    [
        {"user_ids": ["user-3"], "limit": 20, "max_per_owner": 1},
        {"user_ids": ["user-3"], "limit": 7, "adventurous": 0.7, "calibration": 0.5},
        {"user_ids": [COLD, "nobody knows", "user-5"], "limit": 9},
        {"tastes": [pb.Taste(user_id="guest", songs=SONGS)], "limit": 9},
        {"user_ids": ["user-8"], "tastes": [pb.Taste(songs=SONGS)], "exclude_playlist_ids": ["list-1", "list-2"]},
    ],
    ids=["rules", "weighed", "cold", "taste", "both"],
)
def test_a_drawn_list_is_drawn_again(
    world: World, command: Command, asked: dict[str, Any], explorations: dict[Arm, Exploration]
) -> None:
    for answer in world.recommend(explorations=explorations, **asked):
        done = command(answer.recommendation_id, "--json")
        assert (done.exit_code, done.stderr) == (0, "")
        found = json.loads(done.stdout)
        assert (found["verdict"], found["causes"], found["differing_ranks"]) == ("same", [], [])
        assert found["computed"] == found["shown"]
        assert [entry["playlist_id"] for entry in found["shown"]] == ids(answer)
        assert min(entry["propensity"] for entry in found["shown"]) < 1
        ((propensities, places),) = world.ask(
            "SELECT propensities::float8[], cardinality(playlist_ids) FROM impressions WHERE recommendation_id = %s",
            answer.recommendation_id,
        )
        assert propensities == [entry["propensity"] for entry in found["shown"]]
        assert len(propensities) == places == len(answer.playlists)
        said = ", ".join(f"{propensity:.3g}" for propensity in propensities)
        assert f"drawn at random, with propensities {said}\n" in command(answer.recommendation_id).stdout


def test_it_costs_fifteen_bytes_beside_the_request(world: World) -> None:
    (plain,), (drawn,) = (world.recommend(explorations=e, user_ids=["user-3"], limit=7) for e in (None, LUCE))
    sizes = [
        size
        for answer in (plain, drawn)
        for ((size,),) in [
            world.ask("SELECT length(asked) FROM impressions WHERE recommendation_id = %s", answer.recommendation_id)
        ]
    ]
    assert sizes[1] - sizes[0] == 15


@pytest.mark.parametrize("explorations", [None, EPSILON], ids=["off", "on"])
def test_a_caller_who_says_how_places_were_drawn_changes_nothing(
    world: World, command: Command, explorations: dict[Arm, Exploration] | None
) -> None:
    async def work(service: Service) -> pb.Recommendation:
        request = pb.RecommendRequest(user_ids=["user-3"], limit=5)
        request.MergeFromString(LUCE[Arm.PRODUCTION].field)
        answered = await service.recommend(request)
        return pb.RecommendResponse.FromString(answered.SerializeToString()).recommendations[0]

    answer = world.serve(work, explorations=explorations)
    done = command(answer.recommendation_id, "--json")
    assert json.loads(done.stdout)["verdict"] == "same"


def test_another_propensity_is_told_and_no_cause_is_made_up(world: World, command: Command) -> None:
    (answer,) = world.recommend(explorations=EPSILON, user_ids=["user-3"], limit=5)
    world.ask(
        "UPDATE impressions SET propensities[2] = propensities[2] * 1.01 WHERE recommendation_id = %s",
        answer.recommendation_id,
    )
    done = command(answer.recommendation_id, "--json")
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert (found["verdict"], found["differing_ranks"], found["causes"]) == ("differs", [2], [])


def test_how_it_was_drawn_must_be_readable(world: World, command: Command) -> None:
    (answer,) = world.recommend(explorations=EPSILON, user_ids=["user-3"], limit=5)
    # The first of the last eleven bytes, the policy: another one than this release has.
    world.ask(
        "UPDATE impressions SET asked = set_byte(asked, length(asked) - 11, 9) WHERE recommendation_id = %s",
        answer.recommendation_id,
    )
    done = command(answer.recommendation_id)
    assert done.exit_code == 1
    assert "how its places were drawn: 9 is not a valid Policy" in done.stderr
