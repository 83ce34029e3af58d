"""What it costs a replica to prepare a version beside its calls, step by step, in processor time.

    python -m tests.benchmarks.version_load BUNDLE [BUNDLE ..] --rounds 8

Of several bundles each takes its turn in every round, as one of this release and one of an earlier. The columns are
medians in milliseconds. The last step closes the version: its pages are unmapped. Nothing here is a test.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spotify_buddies.foundation.terminal.tables import table
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.telemetry.metrics import Silent
from spotify_buddies.serve_app.versions.answers import Answers, Budgets
from spotify_buddies.serve_app.versions.parity import check_parity
from spotify_buddies.trainer.bundle import open_bundle

Step = Callable[[str, Callable[[], Any]], Any]


def prepare(directory: Path, step: Step) -> None:
    """As versions.ranker.Loader, hashes aside; and the end of the version."""
    made: dict[str, Any] = {}
    made["bundle"] = step("open and check", lambda: open_bundle(directory, check_hashes=False))
    made["engine"] = step("engine", lambda: Engine(made["bundle"], "1"))
    step("compare with golden lists", lambda: check_parity(made["engine"]))
    named: dict[str, Any] = {"budgets": Budgets(0.1, 0.1), "daily": None, "history": None, "telemetry": Silent()}
    made["answers"] = step("encoder", lambda: Answers(made["engine"], **named))
    step("warm up", made["answers"].warm_up)
    step("close", made.clear)


def main() -> None:
    """Prepare each bundle in turn and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", type=Path, nargs="+", metavar="BUNDLE")
    parser.add_argument("--rounds", type=int, default=8)
    options = parser.parse_args()
    spent: dict[str, dict[Path, list[float]]] = defaultdict(lambda: defaultdict(list))
    for round_number in range(options.rounds + 1):
        for directory in options.bundles:

            def step(name: str, work: Callable[[], Any], of: Path = directory, warm: bool = round_number > 0) -> Any:
                began = time.thread_time()
                made = work()
                if warm:  # the first round compiles
                    spent[name][of].append((time.thread_time() - began) * 1e3)
                return made

            prepare(directory, step)
    rows = [(name, *(f"{statistics.median(of[d]):.1f}" for d in options.bundles)) for name, of in spent.items()]
    sums = (sum(statistics.median(of[d]) for of in spent.values()) for d in options.bundles)
    rows.append(("together", *(f"{total:.1f}" for total in sums)))
    head = ("step", *(str(directory) for directory in options.bundles))
    print(table(head, rows, right=range(1, len(head))))


if __name__ == "__main__":
    main()
