"""Triplets and validation rows of a small planted taste."""

from __future__ import annotations

import numpy as np
import pytest

from spotify_buddies.trainer.models.model import Validation
from tests.trainer.models.planted_triplets import NEGATIVES, planted_rows


@pytest.fixture(scope="session")
def triplets() -> np.ndarray:
    return planted_rows(np.random.default_rng(1), 30, 1)


@pytest.fixture(scope="session")
def validation() -> Validation:
    rng = np.random.default_rng(2)
    return Validation(planted_rows(rng, 2, NEGATIVES), planted_rows(rng, 1, NEGATIVES))
