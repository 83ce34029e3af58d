from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spotify_buddies.foundation.stages import usage

needs_linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="/proc tells the size of memory")


def test_processor_seconds_are_those_of_the_work():
    used = usage.watch()
    total = 0
    while (spent := used())["cpu_seconds"] < 0.02:
        total += sum(range(1_000))
    assert spent["seconds"] > 0
    assert set(spent) <= {"seconds", "cpu_seconds", "peak_rss_mib", "process_peak_rss_mib"}


@needs_linux
def test_pages_of_a_file_are_not_private(tmp_path: Path):
    # Larger than 32 MiB: the C library keeps smaller ones, once freed, and a copy would take no new memory.
    np.save(tmp_path / "big.npy", np.ones(8_000_000))
    before = usage.private_mib()
    mapped = np.load(tmp_path / "big.npy", mmap_mode="r")
    assert mapped[:: 4096 // 8].sum() == 15_625  # every page is in memory now: 8,000,000 / 512
    assert usage.private_mib() - before < 15
    copied = np.array(mapped)
    assert usage.private_mib() - before > 30
    assert copied[0] == 1
