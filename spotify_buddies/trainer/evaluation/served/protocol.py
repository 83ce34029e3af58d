"""The protocol: held-out likes through a bundle's engine, and halves through a bundle that is made from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.stages.progress import Progress, silent
from spotify_buddies.trainer.bundle import open_bundle
from spotify_buddies.trainer.dataset.table import Dataset
from spotify_buddies.trainer.evaluation.baselines import PopularityScorer, RandomScorer
from spotify_buddies.trainer.evaluation.evaluate import BatchResult, Evaluation, compare
from spotify_buddies.trainer.evaluation.organic.questions import ask
from spotify_buddies.trainer.evaluation.served.figures import NDCG, POPULARITY, SERVED, SHORT, Figures, judge
from spotify_buddies.trainer.evaluation.served.halves import HalvesData, build_halves
from spotify_buddies.trainer.evaluation.served.questions import questions_of_likes
from spotify_buddies.trainer.evaluation.served.ranker import OpenRanker, Ranker
from spotify_buddies.trainer.metrics.ranking import FactorScorer, Scorer
from spotify_buddies.trainer.models.model import Model
from spotify_buddies.trainer.settings import DataSettings

Array = npt.NDArray[Any]

NEGATIVES = 50
# Of these a version is judged by; on them it is compared with others and with popularity.
MEASURES = (f"hit@{SHORT}", f"ndcg@{NDCG}")
PREFIX = "served/"


@dataclass(frozen=True)
class ServedResult:
    """asked: figures by question set. among_50: the same model one against 50 others, beside them. left_out: why."""

    asked: Mapping[str, Figures]
    among_50: Mapping[str, BatchResult]
    left_out: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """JSON values. The 51-way figures stand under a name that says what they are not."""
        beside = Evaluation(self.among_50, {}).to_json()["batches"]
        return {
            "served": {name: figures.to_json() for name, figures in self.asked.items()},
            "one_against_50_not_what_people_get": beside,
            "left_out": dict(self.left_out),
        }

    def __or__(self, other: ServedResult) -> ServedResult:
        """Both, in this order."""
        return ServedResult(
            {**self.asked, **other.asked}, {**self.among_50, **other.among_50}, {**self.left_out, **other.left_out}
        )


def ask_likes(data: Dataset, ranker: Ranker, progress: Progress = silent) -> dict[str, Figures]:
    """Figures of the held-out likes, by question set; empty where none are held out. Deterministic."""
    sets = questions_of_likes(data)
    figures = {}
    for done, (name, questions) in enumerate(sets.items(), 1):
        figures[name] = judge(questions, data, ranker)
        progress("served", done, len(sets), "question sets")
    return figures


def ask_halves(
    whole: Dataset,
    work: Path,
    settings: DataSettings,
    make: Callable[[Path], Path],
    open_ranker: OpenRanker,
    progress: Progress = silent,
) -> ServedResult:
    """Build the data set of halves under `work`, let `make` turn it into a bundle, and ask for everybody's other half.

    make: from the directory of a data set to that of its bundle: pairing, training, candidates, as for a release.
    TooFewHalves: nothing to cut.
    """
    halves = build_halves(whole, work, settings, progress)
    bundle = make(work / "dataset")
    ranker = open_ranker(bundle)
    figures = {}
    for name, questions in halves.questions().items():
        figures[name] = judge(questions, halves.data, ranker)
    return ServedResult(figures, _among_50(halves, bundle, settings.seed))


def version_metrics(asked: Mapping[str, Figures]) -> dict[str, float]:
    """What a version is judged by before it serves, flat, for a bundle's manifest; empty without validation likes.

    Of the validation questions: "served/hit@1", .., "served/ndcg@10", "served/coverage", "served/gini",
    "served/same_owner", "served/near_duplicate"; of MEASURES also "_se", the standard error over users, and of real
    follows "_popularity", what popularity reaches. Simulated likes follow short playlists, and so does the popularity
    counted of them, which finds next to none of people's own playlists: it judges nothing.
    """
    names = [name for name in asked if name.endswith("-validation")]
    if not names:
        return {}
    figures = asked[names[0]]
    own, catalogue = figures.lists[SERVED], figures.catalogue[SERVED]
    flat = {f"{PREFIX}{metric}": estimate.value for metric, estimate in own.items()}
    for metric in MEASURES:
        flat[f"{PREFIX}{metric}_se"] = round(own[metric].standard_error, 6)
        if names[0].startswith("follows"):
            flat[f"{PREFIX}{metric}_popularity"] = figures.lists[POPULARITY][metric].value
    shares = {"same_owner": catalogue.same_owner.value, "near_duplicate": catalogue.near_duplicate.value}
    shown = {"coverage": catalogue.coverage, "gini": catalogue.gini, **shares}
    return flat | {f"{PREFIX}{name}": value for name, value in shown.items()}


def _among_50(halves: HalvesData, bundle: Path, seed: int) -> dict[str, BatchResult]:
    """Everybody's own half among NEGATIVES others, by the bundle's factors; empty where there are too few playlists."""
    opened = open_bundle(bundle, check_hashes=False)
    known = halves.users >= 0
    own = np.full(halves.data.playlists, -1, np.int32)
    own[halves.playlists[known]] = halves.users[known]
    rows = ask(own, np.sort(halves.users[known]), negatives=NEGATIVES, seed=seed)
    scorers: dict[str, Scorer] = {
        "model": FactorScorer(Model(opened.user_factors, opened.playlist_factors)),
        POPULARITY: PopularityScorer(halves.data.count_train_likes()),
        "chance": RandomScorer(0),
    }
    return {"halves-warm": compare(rows, scorers)} if len(rows) else {}
