"""`buddies feedback` as a process."""

import shlex
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2 as details

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from tests.clients.buddies_process import called
from tests.clients.grpc_server import refuse, serving
from tests.clients.python.answers import ANSWER


def test_a_feedback_that_fails_says_how_to_send_it_again(tmp_path: Path) -> None:
    with serving() as address:
        pass
    options = ("--user", "ada", "--like", "p1", "--key", "k7", "--address", address)
    result = called("feedback", "r1", *options, cwd=tmp_path, BUDDIES_CLIENT__ATTEMPTS="1")
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
        failed = called(*options, "--days", "3", cwd=tmp_path, BUDDIES_CLIENT__ATTEMPTS="1")
        again = failed.stderr.split("send it again with ")[1].split(";")[0].split()
        assert called(*options, *again, cwd=tmp_path).returncode == 0
    assert (failed.returncode, seen[0]) == (1, seen[1])
    assert seen[0].do_not_recommend[0].until.seconds > time.time() + 2 * 86_400


def test_a_key_of_another_feedback_is_wrong_usage_without_a_hint_to_send_it_again(tmp_path: Path) -> None:
    def answer(request: pb.FeedbackRequest, context: Any) -> None:
        field = details.BadRequest.FieldViolation(field="liked", description="differs")
        bad = details.BadRequest(field_violations=[field])
        refuse(context, grpc.StatusCode.ALREADY_EXISTS, "another action", bad)

    with serving(Feedback=answer) as address:
        options = ("--user", "ada", "--like", "p1", "--key", "k7", "--address", address)
        result = called("feedback", "r1", *options, cwd=tmp_path)
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
    result = called("feedback", "r1", "--user", "ada", "--put-off", "p1", *options, cwd=tmp_path)
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
        assert called("feedback", "r1", *options, cwd=tmp_path).returncode == 0
    assert seen[0].do_not_recommend[0].until.ToJsonString() == sent


def test_feedback_says_what_was_stored(tmp_path: Path) -> None:
    answer = pb.FeedbackResponse(outcome=pb.FEEDBACK_OUTCOME_ACCEPTED, reactions=2)
    with serving(Feedback=lambda request, context: answer) as address:
        result = called(
            "feedback", "r1", "--user", "ada", "--like", "p1", "--key", "k", "--address", address, cwd=tmp_path
        )
    assert result.returncode == 0
    assert "stored: 2 reactions under key k" in result.stdout


def test_what_recommend_prints_is_the_command_that_stores_version_and_arm(tmp_path: Path) -> None:
    seen: list[pb.FeedbackRequest] = []

    def store(request: pb.FeedbackRequest, context: object) -> pb.FeedbackResponse:
        seen.append(request)
        return pb.FeedbackResponse(outcome=pb.FEEDBACK_OUTCOME_ACCEPTED, reactions=1)

    with serving(Recommend=lambda request, context: ANSWER, Feedback=store) as address:
        said = called("recommend", "ada", "--address", address, cwd=tmp_path).stdout
        typed = shlex.split(said.split("react with: buddies ")[1].splitlines()[0])
        assert called(*typed, cwd=tmp_path).returncode == 0
    (sent,) = seen
    assert (sent.recommendation_id, sent.user_id, list(sent.liked)) == ("r1", "ada", ["p1"])
    assert (sent.model_version, sent.arm) == ("7", pb.ARM_CANARY)


def test_without_version_and_arm_both_are_left_to_the_service(tmp_path: Path) -> None:
    seen: list[pb.FeedbackRequest] = []

    def store(request: pb.FeedbackRequest, context: object) -> pb.FeedbackResponse:
        seen.append(request)
        return pb.FeedbackResponse(outcome=pb.FEEDBACK_OUTCOME_ACCEPTED, reactions=1)

    with serving(Feedback=store) as address:
        options = ("--user", "ada", "--like", "p1", "--address", address)
        assert called("feedback", "r1", *options, cwd=tmp_path).returncode == 0
    assert (seen[0].model_version, seen[0].arm) == ("", pb.ARM_UNSPECIFIED)
