"""The API as a client sees it that shares no code with us: gRPC for Node.js over the real front."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent / "foreign"
ROOT = Path(__file__).parents[2]
PROTOS = ROOT / "spotify_buddies" / "protos"
OK, INVALID, EXISTS, EXHAUSTED, UNIMPLEMENTED = 0, 3, 6, 8, 12

pytestmark = pytest.mark.ray


@pytest.fixture
def found(address: str, request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the journey came back with."""
    if not request.node.callspec.params["address"].startswith("haproxy"):
        pytest.skip("the limits are the front's")
    node = shutil.which("node")
    if node is None or not (HERE / "node_modules").is_dir():
        reason = f"it needs Node.js and its packages: npm ci --prefix {HERE.relative_to(ROOT)}"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    done = subprocess.run(
        [node, str(HERE / "journey.js"), address, str(PROTOS)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers


def test_a_client_of_another_kind_goes_the_whole_way(found: dict[str, Any]) -> None:
    codes = {name: one["code"] for name, one in found.items() if isinstance(one, dict) and "answer" in one}
    assert codes == dict.fromkeys(codes, OK)
    assert found["status"]["answer"]["versions"][0]["version"] == "7"

    first, wrong, *others = found["recommended"]["answer"]["recommendations"]
    assert (first["user_id"], len(first["playlists"]) > 0) == ("user-1", True)
    assert [one["user_id"] for one in others] == [f"user-{number}" for number in range(20)]
    assert (wrong["error"]["code"], wrong["error"]["field"]) == (INVALID, "user_ids[1]")
    assert len(found["packed"]["answer"]["recommendations"]) == 300
    assert found["streamed"] == ["user-1", "user-2", "user-3"]
    assert (found["invalid"]["code"], "INVALID_REQUEST" in found["invalid"]["details"]) == (INVALID, True)

    assert found["stored"]["answer"]["reactions"] == found["again"]["answer"]["reactions"] == 2
    assert found["stored"]["answer"]["outcome"] != found["again"]["answer"]["outcome"]
    assert (found["reused"]["code"], "IDEMPOTENCY_KEY_REUSED" in found["reused"]["details"]) == (EXISTS, True)
    assert "liked" in found["reused"]["details"]
    assert found["other_caller"]["code"] == OK

    assert (found["much_metadata"]["code"], found["after_it"]["code"]) == (EXHAUSTED, OK)


def test_calls_that_are_none_are_told_so_at_once(found: dict[str, Any]) -> None:
    raw = ("no_message", "cut_off", "bad_timeout", "bad_encoding", "no_such_method")
    codes = {name: int(found[name]["code"]) for name in raw}
    assert codes == {
        "no_message": INVALID,
        "cut_off": INVALID,
        "bad_timeout": INVALID,
        "bad_encoding": UNIMPLEMENTED,
        "no_such_method": UNIMPLEMENTED,
    }
    assert found["web"]["http"] == 415
