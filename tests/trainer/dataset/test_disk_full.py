"""A data set and a pairing on a real, small file system that fills up in every stage."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from spotify_buddies.foundation.stages import stage
from spotify_buddies.foundation.stages.stage import StageError
from spotify_buddies.pairing.build import build_pairing
from spotify_buddies.pairing.settings import PairingSettings
from spotify_buddies.trainer.dataset.build import build_dataset
from spotify_buddies.trainer.dataset.reading.sources import find_sources
from spotify_buddies.trainer.dataset.table import LIKED, STAGES
from spotify_buddies.trainer.settings import DataSettings

PAGE = 4_096
SETTINGS = DataSettings(liked_share=0.2, validation_negatives=3, owned_max=3)


@dataclass
class Disk:
    """A file system of its own, most of it taken by one file."""

    path: Path

    def leave(self, pages: int) -> None:
        """Make it that many pages are free."""
        other = self.path / "other"
        other.unlink(missing_ok=True)
        free = os.statvfs(self.path).f_bavail
        with other.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, (free - pages) * PAGE)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    path = tmp_path / "disk"
    path.mkdir()
    options = "size=32m,huge=never"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    try:
        assert os.statvfs(path).f_frsize == PAGE
        yield Disk(path)
    finally:
        # Lazily: arrays of the data set may still be mapped.
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def contents(directory: Path) -> dict[str, bytes]:
    files = sorted(path for path in directory.rglob("*") if path.is_file() and path.name != stage.TIMINGS)
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in files}


def pages(directory: Path) -> int:
    return sum(-(-path.stat().st_size // PAGE) for path in directory.rglob("*") if path.is_file())


def test_every_stage_stops_on_a_full_disk_and_goes_on_after_space_was_made(
    raw_files: Callable[..., Path], tmp_path: Path, disk: Disk
) -> None:
    sources = find_sources(raw_files())

    def build(root: Path) -> None:
        build_dataset(sources, root / "dataset", SETTINGS)

    def pair(root: Path) -> None:
        build_pairing(root / "dataset", root / "pairing", PairingSettings(dimension=8))

    roomy = tmp_path / "roomy"
    build(roomy)
    pair(roomy)
    # Part 5 is links to part 4's files, and never the first that has no room.
    parts = [roomy / "dataset" / name for name in STAGES if name != LIKED]
    _stop_in_each(disk, roomy, parts, build)
    (disk.path / "other").unlink()
    build(disk.path)
    _stop_in_each(disk, roomy, [roomy / "pairing" / name for name in ("nearest", "candidates", "index")], pair)
    (disk.path / "other").unlink()
    pair(disk.path)
    assert contents(disk.path) == contents(roomy)


def _stop_in_each(disk: Disk, roomy: Path, parts: list[Path], build: Callable[[Path], None]) -> None:
    """Give room for one part after the other, and half of the next; that is where the build must stop."""
    before = 1  # the timings
    for part in parts:
        disk.leave(before + pages(part) // 2)
        target = disk.path / part.relative_to(roomy)
        with pytest.raises(StageError, match=f"{target.parent}: no space left on {disk.path}, .* '{target.name}'"):
            build(disk.path)
        assert not target.exists()
        assert not list(target.parent.glob(".*.partial"))
        before = pages(part) + 1
