"""Data sets built from raw files, what is in their folders, and an interruption at a given report."""

from __future__ import annotations

from pathlib import Path

from spotify_buddies.foundation.stages import stage
from spotify_buddies.trainer.dataset.build import build_dataset
from spotify_buddies.trainer.dataset.reading.sources import find_sources
from spotify_buddies.trainer.settings import DataSettings

SETTINGS = DataSettings(liked_share=0.2, validation_negatives=3, owned_max=3)


def build(raw: Path, to: Path, settings: DataSettings = SETTINGS, **options):
    return build_dataset(find_sources(raw), to, settings, **options)


def contents(directory: Path) -> dict[str, bytes]:
    """Every file but the times that the work took."""
    files = sorted(path for path in directory.rglob("*") if path.is_file() and path.name != stage.TIMINGS)
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in files}


class Interrupter:
    """Progress that interrupts at the given report, as Ctrl-C does; without one it counts the reports."""

    def __init__(self, stop_at: int = -1) -> None:
        self.stop_at, self.reports, self.seen = stop_at, 0, []

    def __call__(self, what: str, done: int, total: int, unit: str = "items") -> None:
        self.seen.append((what, done, total))
        self.reports += 1
        if self.reports == self.stop_at:
            raise KeyboardInterrupt
