"""What `buddies schedule start-rollout` does, beside a real registry and a controller at work."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from spotify_buddies.clients.schedule import steps
from spotify_buddies.trainer.registry.registry import Registry
from tests.clients.buddies_process import called
from tests.serve_app.rollout.conftest import Rollout


def test_a_new_version_at_staging_is_started_once_and_never_beside_a_canary(
    rollout: Rollout, state_dir: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(*arguments: str) -> Any:
        """The commands in this process: each of its own takes seconds to import MLflow."""
        environment = {"BUDDIES_STATE_DIR": str(state_dir), "BUDDIES_POSTGRES_URL": rollout.url}
        done = called(*arguments, "--json", cwd=state_dir, **environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    async def start() -> dict[str, Any]:
        return await asyncio.to_thread(steps.start_rollout)

    async def run() -> None:
        assert await start() == {"version": None, "outcome": "nothing_staged"}
        registry.set_alias("staging", "2")
        assert await start() == {"version": "2", "outcome": "nothing_served"}
        async with rollout.working(), rollout.replicas("r-1"):
            await rollout.active(1)
            assert await start() == {"version": "2", "outcome": "started"}
            newest = await rollout.active(2)
            assert (newest.wanted.canary, newest.who) == ("2", "buddies schedule")
            registry.set_alias("staging", "5")
            assert await start() == {"version": "5", "outcome": "canary_runs"}
            registry.set_alias("staging", "2")
            assert await start() == {"version": "2", "outcome": "not_new"}

    monkeypatch.setattr(steps, "answer", answer)
    asyncio.run(run())
