"""Freed memory goes back to the system."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.waiting import WITHIN_S

# Small pieces, all of which are freed but the last one: by itself the allocator gives none of them back.
SCRIPT = """
from spotify_buddies.foundation.process.memory import give_back_freed
from spotify_buddies.foundation.stages.usage import private_mib
pieces = [b"x" * (100_000 + i) for i in range(1_000)]
last = pieces[-1]
del pieces
before = private_mib()
give_back_freed()
print(before - private_mib())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says how much memory is private")
def test_what_was_freed_is_given_back():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=WITHIN_S, check=True)
    assert float(done.stdout) > 80
