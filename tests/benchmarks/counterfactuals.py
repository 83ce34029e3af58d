"""What counterfactuals cost, and how often one is found: `python -m tests.benchmarks.counterfactuals BUNDLE`.

Asks the answers of one process as a service would, one call after another, for listeners drawn at random; prints JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.api.codec import decode_query
from spotify_buddies.serve_app.build import local
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.telemetry.metrics import Silent
from spotify_buddies.serve_app.versions.answers import Answers, Budgets
from spotify_buddies.serve_app.versions.counterfactual.answer import Limits
from spotify_buddies.trainer.bundle import open_bundle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--listeners", type=int, default=200)
    parser.add_argument("--max-songs", type=int, nargs="+", default=[1, 10, 50])
    parser.add_argument("--rankings", type=int, default=600)
    parser.add_argument("--budget-ms", type=float, default=500.0)
    given = parser.parse_args()
    engine = Engine(open_bundle(given.bundle, check_hashes=False), "1")
    limits = Limits(given.rankings, given.budget_ms / 1000)
    answers = Answers(engine, budgets=Budgets(0.05, 0.02, 50_000, limits), daily=None, history=None, telemetry=Silent())
    answers.use_neighbours(local(engine))
    answers.warm_up()
    users = np.random.default_rng(1).choice(engine.bundle.manifest.users, given.listeners, replace=False)
    ids = [engine.bundle.user_ids.table[row] for row in users.tolist()]
    ask(answers, ids[:20], None)
    print(json.dumps({"without": ask(answers, ids, None)}), flush=True)
    for max_songs in given.max_songs:
        options = pb.CounterfactualOptions(max_songs=max_songs)
        print(json.dumps({"max_songs": max_songs, **ask(answers, ids, options)}), flush=True)


def ask(answers: Answers, ids: list[str], options: pb.CounterfactualOptions | None) -> dict[str, Any]:
    """One call for each listener; milliseconds of a call and rankings in it, outcomes, and sizes of what was found."""
    took, rankings, outcomes, sizes = [], [], Counter[str](), Counter[int]()
    for user_id in ids:
        query = decode_query(pb.RecommendRequest(user_ids=[user_id], counterfactual=options))
        started = time.perf_counter()
        answered = asyncio.run(answers.rank_and_encode(query, answers.exclude(query)))
        took.append(1000 * (time.perf_counter() - started))
        (answer,) = pb.RecommendResponse.FromString(answered.data).recommendations
        found = [p.counterfactual for p in answer.playlists if p.HasField("counterfactual")]
        rankings.append(sum(one.rankings for one in found))
        outcomes.update(pb.CounterfactualOutcome.Name(one.outcome)[len("COUNTERFACTUAL_OUTCOME_") :] for one in found)
        sizes.update(len(one.songs) for one in found if one.songs)
    total = sum(outcomes.values())
    return {
        "ms": dict(zip(("p50", "p90", "p99"), np.round(np.percentile(took, [50, 90, 99]), 2).tolist(), strict=True)),
        "rankings": dict(zip(("mean", "most"), (round(float(np.mean(rankings)), 1), max(rankings)), strict=True)),
        "ms_a_ranking": round(sum(took) / max(1, sum(rankings)), 3),
        "outcomes": {name: round(count / total, 3) for name, count in outcomes.most_common()},
        "songs": {size: sizes[size] for size in sorted(sizes)},
    }


if __name__ == "__main__":
    main()
