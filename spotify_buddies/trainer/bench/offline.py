"""The run of a benchmark: its stages one after the other, each in a process of its own, and their figures."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spotify_buddies.trainer.bench.figure import Figure
from spotify_buddies.trainer.bench.plan import PLAN, STAGES, Bench, BenchError, Stage
from spotify_buddies.trainer.bench.worker import figures_of


@dataclass(frozen=True)
class Measured:
    """The figures of one stage. load: of the machine before and after, running processes beside idle."""

    stage: str
    figures: tuple[Figure, ...]
    load: tuple[float, float]


@dataclass(frozen=True)
class BenchReport:
    """What a benchmark found so far, in the order of the stages. skipped: peers not installed, with what to install."""

    bench: Bench
    measured: tuple[Measured, ...]
    skipped: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            **self.bench.settings(),
            "users": self.bench.size.users,
            "playlists": self.bench.size.playlists,
            "songs": self.bench.size.songs,
            "stages": {
                part.stage: {"load": list(part.load), "figures": [figure.to_json() for figure in part.figures]}
                for part in self.measured
            },
            "skipped": list(self.skipped),
        }


def offline(bench: Bench, only: Sequence[str] = (), *, say: Callable[[str], None] = lambda _: None) -> BenchReport:
    """Measure what is not measured yet; `only` names stages that are measured again, and leaves the others out.

    A stage that is done with the same settings is kept, so an interrupted benchmark resumes where it stopped. Peers
    that are not installed are skipped. BenchError: an unknown stage, or one that failed.
    """
    chosen = [_stage(name) for name in only] or list(STAGES.values())
    bench.save()
    for stage in chosen:
        if stage.missing():
            say(f"{stage.name}: skipped, {_install(stage)}")
        elif only or _read(bench, stage.name) is None:
            say(f"{stage.name}: measuring")
            _run(bench, stage)
        else:
            say(f"{stage.name}: measured already")
    return gather(bench)


def gather(bench: Bench) -> BenchReport:
    """Everything that is measured with these settings."""
    measured = [_read(bench, name) for name in STAGES]
    skipped = [f"{stage.name}: {_install(stage)}" for stage in STAGES.values() if stage.missing()]
    return BenchReport(bench, tuple(part for part in measured if part is not None), tuple(skipped))


def _stage(name: str) -> Stage:
    if name not in STAGES:
        raise BenchError(f"{name!r} is none of the stages {', '.join(STAGES)}")
    return STAGES[name]


def _install(stage: Stage) -> str:
    return f"{stage.package} is not installed; install 'spotify-buddies[bench]'"


def _run(bench: Bench, stage: Stage) -> None:
    command = [sys.executable, "-m", "spotify_buddies.trainer.bench.worker", str(bench.home), stage.name]
    done = subprocess.run(command, check=False)
    if done.returncode == 0:
        return
    if done.returncode < 0:
        raise BenchError(
            f"stage {stage.name}: killed by signal {-done.returncode}; unless you sent it, memory ran out: "
            "rerun on a machine with more"
        )
    raise BenchError(f"stage {stage.name} failed with exit code {done.returncode}; its messages are above")


def _read(bench: Bench, name: str) -> Measured | None:
    path = figures_of(bench.home, name)
    if not path.exists():
        return None
    try:
        body = json.loads(path.read_bytes())
        if body["settings"] != bench.settings():
            return None
        figures = tuple(Figure(**figure) for figure in body["figures"])
        return Measured(name, figures, (body["load_before"], body["load_after"]))
    except (ValueError, KeyError, TypeError) as error:
        raise BenchError(f"{path}: not the figures of a stage ({error}); remove it and run again") from error


def presets_under(directory: Path) -> list[Bench]:
    """The benchmarks that were begun under a folder, smallest first; those of another release are passed over."""
    benches = []
    for path in directory.glob(f"*/{PLAN}"):
        with suppress(BenchError):
            benches.append(Bench.load(path.parent))
    return sorted(benches, key=lambda bench: bench.size.users)
