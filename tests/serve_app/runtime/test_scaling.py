"""How many replicas a load asks for."""

from __future__ import annotations

import subprocess
import sys
import time
from types import SimpleNamespace
from typing import Any

import pytest

from spotify_buddies.serve_app.runtime.scaling import BUSY, Busy, ByLoad


def context(running: int, in_flight: float, busy: list[float] | None) -> Any:
    return SimpleNamespace(
        current_num_replicas=running,
        target_num_replicas=1,
        total_num_requests=in_flight,
        aggregated_metrics=None if busy is None else {BUSY: dict(enumerate(busy))},
        config=SimpleNamespace(get_target_ongoing_requests=lambda: 16.0),
    )


@pytest.mark.parametrize(
    ("running", "in_flight", "busy", "wanted"),
    [
        (0, 0.0, None, 1),  # none yet: what was decided before
        (1, 0.0, None, 0),  # nothing to do; the bounds keep one
        (1, 24.0, [0.1], 1.5),  # calls that wait
        (1, 0.0, [0.8], 1.6),  # calls that compute
        (2, 8.0, [0.2, 0.1], 0.6),
        (2, 0.0, [0.5, float("nan")], 1.0),  # one has not said anything yet
    ],
)
def test_the_larger_of_both_loads_decides(
    running: int, in_flight: float, busy: list[float] | None, wanted: float
) -> None:
    assert ByLoad(busy=0.5)(context(running, in_flight, busy)) == (pytest.approx(wanted), {})


def test_a_thread_that_computes_is_busy_and_one_that_waits_is_not() -> None:
    wall, thread = iter([10.0, 11.0, 13.0, 13.0]), iter([1.0, 1.75, 2.25, 2.25])
    busy = Busy(lambda: next(wall), lambda: next(thread))
    assert [busy.share() for _ in range(3)] == [0.75, 0.25, 0.0]


def test_a_thread_that_computes_is_busy_by_the_real_clocks() -> None:
    busy = Busy()
    before = time.thread_time()
    while time.thread_time() - before < 0.05:
        pass
    assert 0 < busy.share() <= 1


def test_ray_takes_the_policy() -> None:
    # In a process of its own: Serve reads its switches when it is imported, and other tests choose theirs.
    code = """
from ray.serve.config import AutoscalingConfig
from spotify_buddies.serve_app.runtime.app import autoscaling
from spotify_buddies.serve_app.settings.serve import ServeSettings
config = AutoscalingConfig(**autoscaling(ServeSettings(target_busy=0.7)))
assert config.policy.policy_kwargs == {"busy": 0.7}, config
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
