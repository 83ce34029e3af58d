"""What a learned taste is worth: the same model with the SVD and with the learned map, on people's own playlists.

    python tests/benchmarks/taste_learning.py <state>/dataset /tmp/work           # a finished data set
    python tests/benchmarks/taste_learning.py <state>/dataset /tmp/work --json

Playlists of 20 or more songs are cut in two without a common song, as `buddies train evaluate --protocol organic` does.
For each kind of taste: the taste alone and the whole model at some weights of the taste, by the rank of a user's own
half among all playlists (Hit@1, 5, 20, NDCG@10; how many playlists are in somebody's top 5, and the Gini index of how
often), the own half among 50 others, and the likes of the same model. `served`: the 200 nearest as [candidates] finds
them, ranked with likes trusted as far as `choose_trust` says. `trust`: all playlists, by every trust of its grid.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from spotify_buddies.pairing.settings import PairingSettings
from spotify_buddies.trainer.candidates.nearest import retrieval_scale
from spotify_buddies.trainer.dataset.table import Dataset, open_dataset
from spotify_buddies.trainer.evaluation.organic import protocol
from spotify_buddies.trainer.evaluation.organic.questions import ask
from spotify_buddies.trainer.metrics.ranking import FactorScorer, ranks, summarise
from spotify_buddies.trainer.models.fit import fit
from spotify_buddies.trainer.models.hybrid.state import likes_end, taste_dimensions
from spotify_buddies.trainer.models.hybrid.trust import GRID, Trust, choose_trust, count_likes, fold
from spotify_buddies.trainer.models.model import Model
from spotify_buddies.trainer.models.train import training_key
from spotify_buddies.trainer.settings import CandidateSettings, DataSettings, TrainSettings

NEAREST = 200
WEIGHTS = (1.0, 1.4, 2.0, 4.0, 8.0)


def main() -> None:
    """Read the command line, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("work", type=Path, help="directory for the data set of the halves and the checkpoints")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    rows = run(asked.dataset, asked.work)
    for row in rows:
        line = json.dumps(row) if asked.json else "  ".join(f"{name} {value}" for name, value in row.items())
        print(line)


def run(dataset: Path, work: Path) -> list[dict[str, Any]]:
    """A row for each kind of taste and weight."""
    settings = TrainSettings()
    # Builds the data set of the halves, and keeps it.
    protocol.organic(
        dataset, work, DataSettings(), settings.model_copy(update={"taste": "svd"}), PairingSettings(), peers=False
    )
    whole, halves = open_dataset(dataset), open_dataset(work / "dataset")
    others = (protocol._over_songs_of(whole, halves),)
    found = []
    for taste in ("svd", "learned"):
        chosen = settings.model_copy(update={"taste": taste})
        directory, key = work / taste, training_key(halves.fingerprint, chosen)
        began = time.monotonic()
        model = fit(halves, chosen, directory, key=key, others=others)
        seconds = round(time.monotonic() - began)
        found += _rows(halves, model, chosen, {"taste": taste, "fit_s": seconds})
    return found


def _rows(halves: Dataset, model: Model, settings: TrainSettings, named: dict[str, Any]) -> list[dict[str, Any]]:
    width = taste_dimensions(settings)
    own = protocol._own(halves)
    place = np.full(halves.users, -1, np.int64)
    place[own[own >= 0]] = np.flatnonzero(own >= 0)
    users = np.flatnonzero(place >= 0)
    dimensions = np.arange(settings.dimension)
    of_taste = (dimensions < width) | (dimensions >= likes_end(settings))
    alone = Model(model.user_factors[:, of_taste], model.playlist_factors[:, of_taste])
    out = [{**named, "weight": "taste alone", **_judge(halves, alone, own, users, place)}]
    for weight in WEIGHTS:
        scale = np.where(of_taste, weight, 1).astype(np.float32)
        scaled = Model(model.user_factors * scale, model.playlist_factors)
        out.append({**named, "weight": weight, **_judge(halves, scaled, own, users, place)})
    began = time.monotonic()
    trust = choose_trust(halves, model, slice(width, likes_end(settings)))
    seconds = round(time.monotonic() - began, 1)
    counts, likes = count_likes(halves), slice(width, likes_end(settings))
    for number in GRID:
        trusted = fold(model, likes, Trust(number, {}).of(counts))
        out.append({**named, "weight": f"trust {number:g}", **_judge(halves, trusted, own, users, place)})
    folded = fold(model, likes, trust.of(counts))
    near = retrieval_scale(settings, CandidateSettings())
    served = _judge(halves, folded, own, users, place, near)
    return [*out, {**named, "weight": "served", **served, "trust": trust.likes, "choice_s": seconds}]


def _judge(halves: Dataset, model: Model, own: Any, users: Any, place: Any, near: Any = None) -> dict[str, float]:
    scores = model.user_factors[users] @ model.playlist_factors.T
    if near is not None:
        distant = (model.user_factors[users] * near) @ model.playlist_factors.T
        edge = np.partition(distant, -NEAREST, axis=1)[:, [-NEAREST]]
        scores[distant < edge] = -np.inf
    answer = scores[np.arange(users.size), place[users]]
    rank = np.where(np.isinf(answer), np.inf, 1 + (scores > answer[:, None]).sum(axis=1))
    top = np.argpartition(-scores, 5, axis=1)[:, :5]
    times = np.sort(np.bincount(top.ravel(), minlength=len(model.playlist_factors)))
    gini = (2 * np.arange(1, times.size + 1) - times.size - 1) @ times / (times.size * times.sum())
    scorer = FactorScorer(model)
    among = summarise(ranks(ask(own, users, negatives=50, seed=42), scorer))
    likes = {name: summarise(ranks(np.asarray(rows), scorer)) for name, rows in _likes(halves).items()}
    values = {
        **{f"hit@{k}": np.mean(rank <= k) for k in (1, 5, 20)},
        "ndcg@10": np.mean(np.where(rank <= 10, 1 / np.log2(1 + rank), 0)),
        "coverage": np.mean(times > 0),
        "gini": gini,
        "51-way mrr": among["mrr"],
        "51-way hit@5": among["hit@5"],
        **{f"{name} mrr": value["mrr"] for name, value in likes.items()},
    }
    return {name: round(float(value), 4) for name, value in values.items()}


def _likes(halves: Dataset) -> dict[str, Any]:
    return {"likes random": halves.validation, "likes test": halves.test, "likes hard": halves.hard_validation}


if __name__ == "__main__":
    main()
