"""Jobs from the command line: workers beside the service, a file of users in, answers out."""

import json
import signal
from pathlib import Path

import pytest

from spotify_buddies.clients.command.endpoints import Endpoints
from tests.system.conftest import Commands
from tests.waiting import wait_until

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


def test_users_of_a_file_are_answered_as_the_service_answers_them(
    trained: Commands, service: Endpoints, tmp_path: Path
) -> None:
    users = [one["user_id"] for one in json.loads(trained.ask("data", "listeners", "--count", "5", "--json"))]
    file = tmp_path / "users.txt"
    file.write_text("\n".join(users) + "\n\n")
    submit = ("queue", "submit", "--ids", str(file), "--name", "batch", "--batch", "2", "--json")
    submitted = json.loads(trained.ask(*submit))
    assert submitted == {"name": "batch", "users": 5, "jobs": ["batch.0", "batch.1", "batch.2"], "queued": 3}
    assert json.loads(trained.ask("queue", "status", "--json"))["waiting"] == 3
    assert "no answer" in trained.ask("queue", "result", "batch.0", expect=1)

    workers = trained.start("queue", "start")
    try:
        wait_until(lambda: json.loads(trained.ask("queue", "status", "--json"))["answered"] == 3, "answers", 120)
    finally:
        workers.send_signal(signal.SIGTERM)
        output, _ = workers.communicate(timeout=90)
    assert workers.returncode == 0, output
    assert "answering jobs of queue 'buddies'" in output

    # What was queued is done; the same file again has its answers already.
    assert json.loads(trained.ask(*submit))["queued"] == 0
    answers = [json.loads(trained.ask("queue", "result", job, "--json")) for job in submitted["jobs"]]
    found = [one for answer in answers for one in answer["recommendations"]]
    assert [one["user_id"] for one in found] == users
    live = json.loads(trained.ask("recommend", users[0], "--json"))[0]["playlists"]
    assert [one["playlist_id"] for one in found[0]["playlists"]] == [one["playlist_id"] for one in live]


def test_wrong_usage_of_the_queue_is_said(trained: Commands, service: Endpoints, tmp_path: Path) -> None:
    empty = tmp_path / "empty.txt"
    empty.write_text("\n")
    assert "no user ids" in trained.ask("queue", "submit", "--ids", str(empty), expect=1)
    assert "none.txt" in trained.ask("queue", "submit", "--ids", str(tmp_path / "none.txt"), expect=1)
    assert "name a job, or say --all" in trained.ask("queue", "retry", expect=2)
    assert "no dead letter" in trained.ask("queue", "retry", "never", expect=1)
    assert json.loads(trained.ask("queue", "dead", "--json")) == []
