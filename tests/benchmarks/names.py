"""How well names of songs are matched: precision and recall on the labelled pairs, by kind, plain and full.

    python tests/benchmarks/names.py ../shared/data/sample          # a table
    python tests/benchmarks/names.py ../shared/data/sample --json

What the labels mean is told in tests/trainer/dataset/labelled_names.py.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from spotify_buddies.foundation.text.song_keys import Matching
from tests.trainer.dataset.labelled_names import BEYOND_RULES, Counts, judge, read_pairs, sample_rows, total

KINDS: tuple[Matching, Matching] = ("plain", "full")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sample", type=Path, help="the folder of the real sample")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    pairs = read_pairs("labelled_pairs.csv")
    tables = {}
    for matching in KINDS:
        counts = judge(pairs, sample_rows(asked.sample, matching))
        tables[matching] = counts | {
            "what rules can tell": total(counts, without=BEYOND_RULES),
            "all": total(counts),
        }
    if asked.json:
        print(json.dumps({matching: {kind: _fields(n) for kind, n in t.items()} for matching, t in tables.items()}))
        return
    for matching, table in tables.items():
        head = f"{matching} matching"
        print(f"{head:22}{'same':>6}{'found':>7}{'different':>11}{'merged':>8}{'precision':>11}{'recall':>8}")
        for kind, n in table.items():
            print(
                f"{kind:22}{n.right + n.missed:6}{n.right:7}{n.apart + n.merged_wrongly:11}{n.merged_wrongly:8}"
                f"{n.precision:11.3f}{n.recall:8.3f}"
            )
        merged, untold = table["all"].untold
        print(f"not told by names: {untold} pairs, {merged} of them merged\n")


def _fields(counts: Counts) -> dict[str, object]:
    return {**vars(counts), "precision": counts.precision, "recall": counts.recall}


if __name__ == "__main__":
    main()
