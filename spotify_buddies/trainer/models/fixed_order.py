"""Sums on a device in a fixed order. Imports torch, so it is imported only when it is used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def in_a_fixed_order(wanted: bool) -> Iterator[None]:
    """Sums by row in the order of the batch, where the device would else add them as they come."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(wanted or before)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
