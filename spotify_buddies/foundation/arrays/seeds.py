"""Random numbers that depend on what they are for and not on the order of the work."""

from __future__ import annotations

import hashlib

import numpy as np


def generator(seed: int, purpose: str) -> np.random.Generator:
    """A generator of its own for each purpose: adding a draw in one place changes no other."""
    return np.random.default_rng(derive(seed, purpose))


def derive(seed: int, purpose: str) -> int:
    """An unsigned 64-bit seed from a seed and a purpose, for kernels that keep their own state."""
    digest = hashlib.blake2b(f"{seed}/{purpose}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")
