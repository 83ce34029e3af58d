"""A canary beside a production that explores otherwise is warned of."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from spotify_buddies.clients.main import build_app

EPSILON = '{"policy": "epsilon", "epsilon": 0.2}'


@pytest.mark.parametrize(
    ("exploration", "warned"),
    [
        ("{}", False),
        (f'{{"production": {EPSILON}}}', True),
        (f'{{"production": {EPSILON}, "canary": {EPSILON}}}', False),
    ],
)
def test_arms_that_explore_differently_are_told_when_a_canary_starts(
    exploration: str, warned: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BUDDIES_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("BUDDIES_SERVE__EXPLORATION", exploration)
    done = CliRunner().invoke(build_app(), ["rollout", "start", "2", "--force"])
    # No service runs here; the warning comes before that is found out.
    assert done.exit_code == 1
    assert "no service runs in" in done.stderr
    assert done.stderr.startswith("warning: serve.exploration differs between production and canary") == warned
