"""How often the gates are wrong about a canary that is equal, and how soon they are right about one that is not.

    nice -n 10 python -m tests.benchmarks.aa_canaries                        1,000 equal canaries
    nice -n 10 python -m tests.benchmarks.aa_canaries --power --plot docs/rollout-gates-power.svg

Each canary is a simulated ramp of 1, 5, 25, 50 and 100 % with default settings, judged by the product's code at every
look (tests/benchmarks/aa_world.py). Prints tables, then JSON. Nothing here is a test.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import betaincinv

from spotify_buddies.serve_app.rollout.gates.listeners import log_evidence
from spotify_buddies.trainer.reports.plots import INK, new_figure, to_svg
from tests.benchmarks.aa_world import SETTINGS, Canary, Ended, World

WORLDS = {
    "like rate, relative drop": ("like rate", [(x, World(likes=1 - x / 100)) for x in (5, 10, 20, 30, 40, 50)]),
    "failed calls, points more": ("errors", [(x, World(errors_rise=x / 100)) for x in (1, 2, 5, 10, 20)]),
    "empty lists, points more": ("empty", [(x, World(empties_rise=x / 100)) for x in (1, 2, 3, 5, 10, 20)]),
}
LOSSES, SHARES, MOST_LISTENERS, EVERY = (1, 2, 5, 10, 20), (0.05, 0.5), 400_000, 500


@dataclass(frozen=True)
class Power:
    """One effect of one size. found: share of the runs; median_answers: of both arms until then, NaN where not found
    in half of the runs. For a split they are listeners.
    """

    effect: str
    size: float
    runs: int
    found: float
    median_answers: float


def ended(world: World, seed: int) -> Ended:
    """One canary."""
    return Canary(world, seed).run()


def equal(pool: ProcessPoolExecutor, runs: int) -> dict[str, Any]:
    """The ends of equal canaries, with upper bounds (95 %, one-sided) of the wrong ones."""
    ends = []
    for one in pool.map(partial(ended, World()), range(runs), chunksize=5):
        ends.append(one)
        if len(ends) % 50 == 0:
            print(len(ends), Counter((end.kind, end.gates) for end in ends), file=sys.stderr, flush=True)
    kinds = Counter(one.kind for one in ends)
    # Without a broken gate it was the end of its time.
    false = [one for one in ends if one.kind == "roll_back" and one.gates]
    alarms = sum(one.was_blocked for one in ends)
    return {
        "runs": runs, "looks": sum(one.looks for one in ends),
        "median_looks": float(np.median([one.looks for one in ends])),
        "ends": dict(kinds), "false_rollbacks": len(false), "false_rollbacks_at_most": _upper(len(false), runs),
        "by_gate": dict(Counter(gate for one in false for gate in one.gates)),
        "timeouts": kinds["roll_back"] - len(false), "split_alarms": alarms,
        "split_alarms_at_most": _upper(alarms, runs),
    }  # fmt: skip


def powers(pool: ProcessPoolExecutor, runs: int) -> list[Power]:
    """Every effect of WORLDS: whether its own gate rolled the canary back."""
    found: list[Power] = []
    for effect, (gate, sizes) in WORLDS.items():
        for size, world in sizes:
            ends = list(pool.map(partial(ended, world), range(10_000, 10_000 + runs), chunksize=2))
            hits = [one.answers for one in ends if any(gate in broken for broken in one.gates)]
            found.append(_power(effect, size, runs, hits))
    return found


def split_powers(runs: int) -> list[Power]:
    """Canaries that lose a share of their listeners, looked at after every 500 new ones; size 0: none is lost."""
    found = []
    for share in SHARES:
        for loss in (0, *LOSSES):
            kept = share * (1 - loss / 100)
            looks = MOST_LISTENERS // EVERY
            rng = np.random.default_rng(loss)
            canary = rng.binomial(EVERY, kept / (kept + 1 - share), (runs, looks)).cumsum(axis=1)
            listeners = EVERY * np.arange(1, looks + 1)
            over = log_evidence(canary, listeners[None, :], share) >= -math.log(SETTINGS.split_alpha)
            hits = (listeners[over.argmax(axis=1)][over.any(axis=1)]).tolist()
            found.append(_power(f"split at {share:.0%}, lost listeners", loss, runs, hits))
    return found


def _power(effect: str, size: float, runs: int, hits: Sequence[float]) -> Power:
    waits = [*hits, *[math.inf] * (runs - len(hits))]
    median = float(np.median(waits)) if 2 * len(hits) > runs else math.nan
    return Power(effect, size, runs, len(hits) / runs, median)


def _upper(part: int, whole: int) -> float:
    """Clopper and Pearson 1934."""
    return round(float(betaincinv(part + 1, whole - part, 0.95)), 5)


def plot(found: Sequence[Power]) -> str:
    """Left: share found by the size of the effect. Right: answers until half of the canaries are found. An SVG text."""
    figure, left = new_figure("Found, share of the canaries", (9.0, 3.8))
    grid = figure.add_gridspec(1, 2)
    left.set_subplotspec(grid[0])
    right = figure.add_subplot(grid[1])
    right.set_title("Median answers until found", fontsize=10, color=INK)
    right.tick_params(colors=INK, which="both", labelsize=8)
    right.spines[["top", "right"]].set_visible(False)
    right.spines[["left", "bottom"]].set_color(INK)
    for effect in dict.fromkeys(one.effect for one in found):
        line = [one for one in found if one.effect == effect and one.size]
        left.plot([one.size for one in line], [one.found for one in line], marker="o", markersize=4, label=effect)
        right.plot([one.size for one in line], [one.median_answers for one in line], marker="o", markersize=4)
    for axes in (left, right):
        axes.set_xscale("log")
        ticks = [1, 2, 5, 10, 20, 50]
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.minorticks_off()
        axes.set_xlabel("size of the effect, %", color=INK)
    right.set_yscale("log")
    left.legend(fontsize=7, labelcolor=INK, frameon=False)
    return (
        to_svg(figure).replace("currentColor", "#555555").replace("<svg", '<svg style="background:#ffffff"', 1) + "\n"
    )


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--canaries", type=int, default=1_000, help="equal ones; 0: none")
    parser.add_argument("--power", action="store_true", help="effects of several sizes too")
    parser.add_argument("--power-runs", type=int, default=40, help="canaries of each size")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--plot", type=Path, help="write the plot of --power to this SVG")
    given = parser.parse_args()
    began = time.monotonic()
    said: dict[str, Any] = {}
    with ProcessPoolExecutor(given.processes) as pool:
        if given.canaries:
            said["equal"] = found = equal(pool, given.canaries)
            print("| equal canaries | looks | rolled back by a gate | by the time | promoted | split alarms |")
            print("| --: | --: | --: | --: | --: | --: |")
            print(
                f"| {found['runs']:,} | {found['looks']:,} | {found['false_rollbacks']} (at most "
                f"{found['false_rollbacks_at_most']:.1%}) | {found['timeouts']} | {found['ends'].get('promote', 0)} | "
                f"{found['split_alarms']} (at most {found['split_alarms_at_most']:.1%}) |", flush=True,
            )  # fmt: skip
        if given.power:
            effects = [*powers(pool, given.power_runs), *split_powers(500)]
            said["power"] = [asdict(one) for one in effects]
            print("\n| effect | size, % | found | median answers until found |\n| -- | --: | --: | --: |")
            for one in effects:
                median = "-" if math.isnan(one.median_answers) else f"{one.median_answers:,.0f}"
                print(f"| {one.effect} | {one.size:g} | {one.found:.1%} | {median} |")
            if given.plot:
                given.plot.write_text(plot(effects), encoding="utf-8")
    said["seconds"] = round(time.monotonic() - began, 1)
    print(json.dumps(said).replace("NaN", "null"))


if __name__ == "__main__":
    main()
