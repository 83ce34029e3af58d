"""The comparison for people, as a table and sentences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spotify_buddies.trainer.bench.quality.contenders import TITLES
from spotify_buddies.trainer.bench.quality.run import QualityReport, ordered

HEADER = ("ranked by", "NDCG@10, users with rows", "NDCG@10, all users", "seeds")


def table(report: QualityReport) -> list[list[str]]:
    """A line for each contender: mean and, of several seeds, the standard deviation over them."""
    lines = [
        [TITLES.get(f.name, f.name), _spread(f.with_rows), _spread(f.all_users), str(len(f.with_rows))]
        for f in ordered(report)
    ]
    return [list(HEADER), *lines]


def sentences(report: QualityReport) -> list[str]:
    """What was measured on, what each part of the blend is worth, and what a list costs."""
    shown = [
        f"measured on the {report.part} rows: {report.users_with_rows:,} of {report.users:,} users have some; "
        "every playlist that is not in the user's train rows is ranked"
    ]
    if report.part == "validation":
        shown.append(
            "without test.txt nothing is tuned on validation: weights and epochs are from inner splits of train.txt"
        )
    shown += [
        f"{TITLES.get(name, name)}: weight {weight:.2f}, removing it costs {report.costs[name]:+.4f}"
        for name, weight in report.weights.items()
    ]
    shown.append(f"the blend ranks 100 candidates of a user in {report.microseconds:.1f} us of processor time")
    return shown


def _spread(values: Sequence[float]) -> str:
    mean = f"{np.mean(values):.4f}"
    return mean if len(values) == 1 else f"{mean} +- {np.std(values, ddof=1):.4f}"
