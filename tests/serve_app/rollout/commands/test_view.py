"""Status and history as people read them, on a terminal and in a pipe."""

from __future__ import annotations

import io
import os
import pty
from datetime import UTC, datetime
from typing import Any

import pytest

from spotify_buddies.serve_app.rollout.commands import view
from spotify_buddies.serve_app.rollout.commands.view import headline, history_view, show_again_and_again, status_view

AT = datetime(2026, 5, 1, 12, tzinfo=UTC).isoformat()
WANTED = {"production": "1", "canary": None, "share": 0.0, "shadow": None, "previous": None, "paused": False}
ACTIVE = {"number": 3, "state": "active", "action": "start", "who": "ann", "at": AT, "why": "", "message": "",
          "wanted": WANTED}  # fmt: skip
REPLICA = {
    "replica": "ranker-" + "0123456789abcdef" * 8, "role": "ranker", "prepared": 3, "following": 3, "age_s": 0.4,
    "versions": {"1": {"state": "ready", "message": ""}},
}  # fmt: skip


def status(**changed: Any) -> dict[str, Any]:
    known: dict[str, Any] = {
        "generation": ACTIVE, "active": ACTIVE, "arms": [], "replicas": [REPLICA], "verdict": None, "events": [],
        "controller": {"state": "works"}, "registry": {"state": "here"},
    }  # fmt: skip
    return {**known, **changed}


def test_without_a_ranker_nothing_is_called_served() -> None:
    failed = {**ACTIVE, "number": 4, "state": "failed"}
    index = {**REPLICA, "role": "index"}
    for replicas in ([], [index]):
        lines = headline(status(generation=failed, replicas=replicas))
        assert not any(line.startswith("served:") for line in lines)
        assert "no replica reports: nothing is served; does the service run?" in lines
    lines = headline(status(generation=failed))
    assert lines[1].startswith("served: generation 3 active")
    assert not any("no replica" in line for line in lines)


def test_the_credits_of_both_teams_are_a_line_unless_the_reason_says_them() -> None:
    gate = {"name": "preference", "message": "12 likes of playlists that the canary picked, 14 of production's"}
    verdict = {"kind": "hold", "reason": "20 s of 600 s in this step", "gates": [{"name": "errors"}, gate]}
    assert f"teams: {gate['message']}" in headline(status(verdict=verdict))
    told = {**verdict, "reason": f"preference: {gate['message']}"}
    assert not any(line.startswith("teams:") for line in headline(status(verdict=told)))


def test_a_row_is_a_line_with_its_names_whole_and_without_colours() -> None:
    event = {"at": AT, "generation": 3, "kind": "refused", "version": "1", "message": "far too long " * 40}
    lines = status_view(status(events=[event])).splitlines()
    assert any(REPLICA["replica"] in line and "1 ready" in line for line in lines)
    assert any(event["message"].strip() in line for line in lines)
    past = {**ACTIVE, "who": "ann@" + "host" * 50, "changed": {"share": [0.1, 0.25]}}
    text = history_view([past])
    assert past["who"] in text
    assert "share 10 % -> 25 %" in text
    assert "\x1b" not in "".join([*lines, text])


def test_a_narrow_terminal_folds_names_and_neither_cuts_them_nor_folds_a_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parent, child = pty.openpty()
    monkeypatch.setenv("COLUMNS", "60")
    with os.fdopen(parent), os.fdopen(child, "w") as terminal, monkeypatch.context() as context:
        context.setattr("sys.stdout", terminal)
        shown = status_view(status())
    assert "\u2026" not in shown
    lines = shown.splitlines()
    assert max(map(len, lines[1:])) <= 60
    assert REPLICA["replica"] in "".join((line.split() or [""])[0] for line in lines)
    assert any("0.4 s ago" in line for line in lines)


def test_a_watched_text_is_whole_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    out, texts = io.StringIO(), iter(["first", "long " * 100])
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setattr(view, "WATCH_S", 0.0)

    def read() -> str:
        text = next(texts, None)
        if text is None:
            raise KeyboardInterrupt
        return text

    show_again_and_again(read)
    assert out.getvalue().split("\n") == ["long " * 100, ""]


def test_what_strangers_wrote_does_not_steer_the_terminal() -> None:
    assert r"\x1b[2J[red]x" in status_view(status(replicas=[{**REPLICA, "replica": "\x1b[2J[red]x"}]))
