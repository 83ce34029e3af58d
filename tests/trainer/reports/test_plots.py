"""Plots of the reports."""

from __future__ import annotations

import numpy as np
import pytest

from spotify_buddies.trainer.reports.plots import histogram


def test_a_plot_is_the_same_text_every_time():
    values = np.array([1, 2, 2, 900])
    assert histogram(values, "x", "y") == histogram(values, "x", "y")
    assert "currentColor" in histogram(values, "x", "y")


@pytest.mark.parametrize("values", [[5], [5, 5], [0, 1000], [0.1, 0.1], [1, 10_000]])
def test_any_values_can_be_plotted(values):
    assert histogram(np.array(values), "x", "y").startswith("<svg")
