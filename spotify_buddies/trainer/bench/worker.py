"""The process of one stage: run as a module with HOME and STAGE, it measures the stage and writes its figures.

A process of its own, so that the peak memory is the stage's and not that of what ran before.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from spotify_buddies.foundation.stages.stage import StageError
from spotify_buddies.pairing.neighbours.index_files import SearchError
from spotify_buddies.trainer.bench.plan import STAGES, Bench, BenchError
from spotify_buddies.trainer.bundle import BundleError
from spotify_buddies.trainer.dataset.errors import DataError
from spotify_buddies.trainer.models.model import TrainingError
from spotify_buddies.trainer.synth.write import SynthError

EXPECTED = (BenchError, StageError, SearchError, DataError, TrainingError, BundleError, SynthError, OSError)
_INTERRUPTED = 130


def figures_of(home: Path, stage: str) -> Path:
    """Where the figures of a stage lie."""
    return home / "figures" / f"{stage}.json"


def main(home: Path, name: str) -> int:
    """Measure and write; the exit code."""
    bench = Bench.load(home)
    before = os.getloadavg()[0]
    try:
        figures = STAGES[name].measure()(bench)
    except EXPECTED as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED
    target = figures_of(home, name)
    target.parent.mkdir(parents=True, exist_ok=True)
    body = {
        "settings": bench.settings(),
        "load_before": round(before, 2),
        "load_after": round(os.getloadavg()[0], 2),
        "figures": [figure.to_json() for figure in figures],
    }
    scratch = target.with_suffix(".partial")
    scratch.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
    scratch.replace(target)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
