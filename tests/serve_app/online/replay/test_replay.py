"""Lists that a service sent are computed again from what is stored of them."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from google.protobuf.duration_pb2 import Duration

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.api.service import Service
from spotify_buddies.trainer.bundle import Bundle, write_bundle
from tests.serve_app.bundles import NO_PAIRING, parts
from tests.serve_app.online.replay.conftest import World, recommend

Command = Callable[..., Result]
SONGS = [pb.Song(song_id="SO0004"), pb.Song(name=pb.SongName(title="Song 7", artist="Artist 7")), pb.Song(song_id="?")]
COLD = f"user-{NO_PAIRING}"


def ids(answer: pb.Recommendation) -> list[str]:
    return [playlist.playlist_id for playlist in answer.playlists]


def replayed(command: Command, answer: pb.Recommendation) -> dict[str, Any]:
    done = command(answer.recommendation_id, "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    assert [entry["playlist_id"] for entry in found["shown"]] == ids(answer)
    assert [entry["score"] for entry in found["shown"]] == [playlist.score for playlist in answer.playlists]
    return found


def assert_same(command: Command, answer: pb.Recommendation) -> dict[str, Any]:
    found = replayed(command, answer)
    assert (found["verdict"], found["causes"], found["differing_ranks"]) == ("same", [], [])
    assert found["computed"] == found["shown"]
    assert found["same_candidates"]
    assert found["user_id"] == answer.user_id
    return found


@pytest.mark.parametrize(
    "asked",
    [
        {"user_ids": ["user-3"], "limit": 7},
        {"user_ids": ["user-3"], "limit": 20, "adventurous": 0.7, "calibration": 0.5, "max_per_owner": 1},
        {"user_ids": ["user-3"], "max_song_overlap": 0.01, "max_song_containment": 0.9, "explain": False},
        {"user_ids": ["user-3"], "mode": pb.MODE_DAILY},
        {"user_ids": [COLD]},
        {"user_ids": ["nobody knows"]},
        {"tastes": [pb.Taste(user_id="guest", songs=SONGS)], "limit": 9},
        {"tastes": [pb.Taste(songs=SONGS)], "adventurous": 1.0},
        {"tastes": [pb.Taste(user_id="user-4", songs=SONGS)]},
    ],
)
def test_the_list_of_one_listener_is_computed_again(world: World, command: Command, asked: dict[str, Any]) -> None:
    (answer,) = world.recommend(**asked)
    assert answer.playlists
    assert_same(command, answer)


def test_each_list_of_a_call_is_computed_again_by_itself(world: World, command: Command) -> None:
    tastes = [pb.Taste(user_id=f"guest-{first}", songs=[pb.Song(song_id=f"SO{first:04}")]) for first in (0, 40)]
    answers = world.recommend(user_ids=["user-1", COLD, "user-2"], tastes=tastes, limit=6)
    assert len({tuple(ids(answer)) for answer in answers}) == len(answers) == 5
    for answer in answers:
        assert_same(command, answer)


def test_a_part_of_a_stream_is_computed_again(world: World, command: Command) -> None:
    request = pb.RecommendRequest(user_ids=[f"user-{row % 50}" for row in range(70)], limit=4)

    async def work(service: Service) -> list[pb.Recommendation]:
        asked = pb.RecommendStreamRequest(request=request, part_size=65)
        parts = [
            pb.RecommendStreamResponse.FromString(p.SerializeToString()) async for p in service.recommend_stream(asked)
        ]
        return [answer for part in parts for answer in part.recommendations]

    answers = world.serve(work)
    assert len(answers) == 70
    for place in (0, 69):
        assert_same(command, answers[place])


def test_exclusions_count_again(world: World, command: Command) -> None:
    (first,) = world.recommend(user_ids=["user-8"], limit=4)
    (answer,) = world.recommend(user_ids=["user-8"], limit=4, exclude_playlist_ids=[*ids(first)[:2], "unknown"])
    assert not {*ids(first)[:2]} & {*ids(answer)}
    assert_same(command, answer)


def test_what_was_blocked_at_that_time_and_only_that_is_left_out(world: World, command: Command) -> None:
    async def work(service: Service) -> list[pb.Recommendation]:
        answers = await recommend(service, user_ids=["user-9"], limit=6)
        best, second, third, *_ = ids(answers[0])

        async def say(number: int, **said: Any) -> None:
            key = f"replay-{number}"
            feedback = {"recommendation_id": answers[0].recommendation_id, "user_id": "user-9", "idempotency_key": key}
            await service.feedback(pb.FeedbackRequest(**feedback, **said))

        until = pb.DoNotRecommend(playlist_id=second)
        until.until.FromDatetime(datetime.now(UTC) + timedelta(hours=1))
        await say(1, disliked=[best, third], do_not_recommend=[until])
        answers += await recommend(service, user_ids=["user-9"], limit=6)
        # Now a like takes a dislike back, and another playlist goes; neither is said of the list before.
        await say(2, liked=[third], disliked=[ids(answers[1])[0]])
        answers += await recommend(service, user_ids=["user-9"], limit=6)
        return answers

    before, between, after = world.serve(work)
    assert not {*ids(before)[:3]} & {*ids(between)}
    assert ids(before)[2] in ids(after)
    assert [assert_same(command, answer)["blocked"] for answer in (before, between, after)] == [0, 3, 3]
    # What was said is dropped with its week; what still holds is known as long as it does.
    world.ask("DELETE FROM reactions WHERE user_id = 'user-9'")
    assert assert_same(command, after)["blocked"] == 3


def test_what_was_seen_by_then_is_left_out(world: World, command: Command) -> None:
    async def work(service: Service) -> list[pb.Recommendation]:
        asked = {"user_ids": ["user-55"], "limit": 3, "exclude_seen": pb.ExcludeSeen(window=Duration(seconds=3600))}
        return [answer for _ in range(3) for answer in await recommend(service, **asked)]

    answers = world.serve(work)
    assert len({playlist for answer in answers for playlist in ids(answer)}) == 9
    assert [assert_same(command, answer)["seen"] for answer in answers] == [0, 3, 6]


def test_a_search_that_was_skipped_is_skipped_again(
    world: World, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    taste = pb.Taste(user_id="guest", songs=SONGS)
    (answer,) = world.recommend(tastes=[taste], searching=False)
    assert list(answer.skipped) == [pb.SKIPPED_NEIGHBOUR_SEARCH]
    assert world.ask("SELECT skipped FROM impressions WHERE recommendation_id = %s", answer.recommendation_id) == [
        (["neighbour_search"],)
    ]
    monkeypatch.setenv("BUDDIES_SERVE__LOCAL_TASTE_LISTENERS", "0")
    assert_same(command, answer)


def test_another_order_is_told_and_no_cause_is_made_up(world: World, command: Command) -> None:
    (answer,) = world.recommend(user_ids=["user-20"], limit=3)
    first, second, third = ids(answer)
    world.ask(
        "UPDATE impressions SET playlist_ids = %s WHERE recommendation_id = %s", [second, first, third],
        answer.recommendation_id,
    )  # fmt: skip
    done = command(answer.recommendation_id)
    assert (done.exit_code, done.stderr) == (1, "")
    assert "computed again: 2 of 3 places differ (live)" in done.stdout
    assert "why: no cause is known" in done.stdout
    assert done.stdout.count(first) == done.stdout.count(second) == 2
    assert third not in done.stdout


def test_a_score_that_differs_is_told(world: World, command: Command) -> None:
    (answer,) = world.recommend(user_ids=["user-21"], limit=2)
    world.ask("UPDATE impressions SET scores[2] = scores[2] + 0.001 WHERE user_id = 'user-21'")
    done = command(answer.recommendation_id, "--json")
    found = json.loads(done.stdout)
    assert (done.exit_code, found["verdict"], found["differing_ranks"]) == (1, "differs", [2])
    assert found["largest_score_difference"] == pytest.approx(0.001, rel=0.01)


def test_another_bundle_under_the_name_is_a_cause(
    world: World, command: Command, bundle_dir: Path, tmp_path: Path
) -> None:
    (answer,) = world.recommend(user_ids=["user-22"], limit=5)
    made = parts(bundle_dir.parent / "index", seed=8)
    other = write_bundle(tmp_path / "other", replace(made, user_songs=parts(made.index).user_songs)).directory
    done = command(answer.recommendation_id, "--user", "user-22", "--bundle", str(other))
    assert done.exit_code == 0
    assert "why: the candidates differ: another bundle than this one answered under the version's name" in done.stdout


def test_places_that_were_drawn_are_a_cause(world: World, command: Command) -> None:
    (answer,) = world.recommend(user_ids=["user-23"], limit=2)
    world.ask(
        "UPDATE impressions SET playlist_ids = ARRAY[playlist_ids[2], playlist_ids[1]], propensities = '{0.25,1}' "
        "WHERE user_id = 'user-23'"
    )
    done = command(answer.recommendation_id)
    assert done.exit_code == 0
    assert "why: some places were drawn at random" in done.stdout


def test_the_list_is_told_in_words(world: World, command: Command) -> None:
    (answer,) = world.recommend(user_ids=["user-24"], limit=2)
    done = command(answer.recommendation_id)
    assert (done.exit_code, done.stderr) == (0, "")
    head, left_out, verdict = done.stdout.splitlines()
    assert head.startswith(f"list {answer.recommendation_id} for user-24 at ")
    assert head.endswith(" UTC: version 7 (production), live, 2 playlists")
    assert left_out == "left out for the listener: 0 blocked, 0 seen"
    assert verdict == "computed again: the same playlists in the same order, scores within 0"


def test_a_request_too_long_to_be_stored_is_counted_and_cannot_be_replayed(world: World, command: Command) -> None:
    before = world.telemetry.lists
    long = [f"{row:0100}" for row in range(50)]
    (answer, _) = world.recommend(user_ids=["user-25", "user-26"], exclude_playlist_ids=long)
    songs = [pb.Song(name=pb.SongName(title=f"{row:0400}", artist="a")) for row in range(50)]
    tastes = [pb.Taste(user_id="long", songs=songs), pb.Taste(user_id="short", songs=SONGS)]
    _, short = world.recommend(tastes=tastes)
    assert world.telemetry.lists - before == 3
    done = command(answer.recommendation_id)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "what was asked was too long to be stored (at most 4,096 bytes, and 16,384 for a taste)" in done.stderr
    assert_same(command, short)


def test_what_cannot_be_replayed_is_an_error_that_says_why(world: World, command: Command) -> None:
    (answer,) = world.recommend(user_ids=["user-27"])
    missing = "0" * 32
    cases = [
        ((missing,), f"no list {missing} is stored; lists are kept for 90 days (serve.impressions_days)"),
        ((answer.recommendation_id, "--user", "user-28"), "of user 'user-28' is stored"),
        ((answer.recommendation_id, "--bundle", "/nowhere"), "/nowhere"),
    ]
    for arguments, said in cases:
        done = command(*arguments)
        assert (done.exit_code, done.stdout) == (1, "")
        assert said in done.stderr
    world.ask("UPDATE impressions SET model_version = 'mine' WHERE user_id = 'user-27'")
    assert (
        "version 'mine' is no number of a registry; name its bundle with --bundle"
        in command(answer.recommendation_id).stderr
    )
    world.ask("UPDATE impressions SET scores = NULL WHERE user_id = 'user-27'")
    assert (
        "was written by a release that stored neither scores nor what was asked"
        in command(answer.recommendation_id).stderr
    )
    assert command("a\x1bb").exit_code == 2


def test_a_bundle_that_was_fetched_before_is_used_without_the_registry(
    world: World, command: Command, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundle on the shelf: a copy of it and a note of a moment ago. What `Shelf` does is tested with it."""
    (tmp_path / "serving.json").unlink()
    # Nobody listens there.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("BUDDIES_REGISTRY__MODEL", "m")
    copy = shutil.copytree(bundle.directory, tmp_path / "bundles" / "12")
    note = {"from": "m at http://127.0.0.1:9", "path": str(copy), "sha256": bundle.sha256, "at": time.time()}
    (tmp_path / "bundles" / ".12.json").write_text(json.dumps(note))
    (answer,) = world.recommend(user_ids=["user-29"])
    world.ask("UPDATE impressions SET model_version = '12' WHERE user_id = 'user-29'")
    assert_same(command, answer)
