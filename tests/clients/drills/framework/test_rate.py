"""How many calls a second a fault is played under."""

from __future__ import annotations

import pytest

from spotify_buddies.clients.drills.processes.under_traffic import recommends_per_s


@pytest.mark.parametrize(("asked", "expected"), [(None, 200 / 3), (30.0, 20.0), (1.0, 2 / 3)])
def test_a_fault_is_played_under_the_rate_asked_for_of_which_a_third_is_feedback(
    asked: float | None, expected: float
) -> None:
    assert recommends_per_s(asked) == pytest.approx(expected)
