"""The model beside its baselines, on the held-out playlists of users."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.arrays.seeds import generator
from spotify_buddies.foundation.stages import stage
from spotify_buddies.foundation.stages.progress import Progress, silent
from spotify_buddies.trainer.bundle import Bundle
from spotify_buddies.trainer.dataset.table import BUILD, COLD, VALIDATION, Dataset, open_dataset
from spotify_buddies.trainer.evaluation.baselines import OverlapScorer, PopularityScorer, RandomScorer
from spotify_buddies.trainer.metrics.ranking import FactorScorer, Scorer, coverage, per_row, ranks
from spotify_buddies.trainer.models.model import Model

Array = npt.NDArray[Any]

# More rows move a metric by less than its interval; the full data holds tens of millions.
ROWS = 1_000_000
COLD_ROWS = 5_000
RESAMPLES = 200
_DIGITS = 6


@dataclass(frozen=True)
class Estimate:
    """A mean over rows and its 95 % interval from a bootstrap over users, who answer for several rows each."""

    value: float
    low: float
    high: float

    @property
    def standard_error(self) -> float:
        """As of a normal distribution with this interval."""
        return (self.high - self.low) / (2 * 1.96)


@dataclass(frozen=True)
class BatchResult:
    """One set of batches: rows scored, users they belong to, and scorer -> metric -> estimate."""

    rows: int
    users: int
    scorers: Mapping[str, Mapping[str, Estimate]]


@dataclass(frozen=True)
class Evaluation:
    """batches: "random", "hard" (validation), "test-random", "test-hard", "cold", each with at least one row.

    coverage: scorer -> share of the candidate playlists that are in anybody's top 5; empty without candidates.
    """

    batches: Mapping[str, BatchResult]
    coverage: Mapping[str, float]

    def metrics(self, scorer: str = "model") -> dict[str, float]:
        """One scorer's numbers, flat: "random/mrr", .., "coverage"."""
        flat = {
            f"{batch}/{metric}": estimate.value
            for batch, result in self.batches.items()
            for metric, estimate in result.scorers[scorer].items()
        }
        return flat | ({"coverage": self.coverage[scorer]} if self.coverage else {})

    def version_metrics(self) -> dict[str, float]:
        """The model's numbers with what a version is checked by before it serves: flat, for a bundle's manifest.

        Of each MRR its standard error over users and the MRRs of two baselines: "random/mrr_se",
        "random/mrr_popularity", "random/mrr_overlap".
        """
        flat = self.metrics()
        for batch, result in self.batches.items():
            flat[f"{batch}/mrr_se"] = _round(result.scorers["model"]["mrr"].standard_error)
            for baseline in ("popularity", "overlap"):
                flat[f"{batch}/mrr_{baseline}"] = result.scorers[baseline]["mrr"].value
        return flat

    def to_json(self) -> dict[str, Any]:
        """JSON values: batches -> {rows, users, scorers -> metric -> [value, low, high]}, coverage."""
        return {
            "batches": {name: _batch_json(result) for name, result in self.batches.items()},
            "coverage": dict(self.coverage),
        }

    def table(self, metrics: tuple[str, ...] = ("mrr", "hit@1", "hit@5", "hit@10", "ndcg@5")) -> list[list[str]]:
        """For people: a header, then a line per batch set and scorer; the interval of the first metric and coverage.

        The interval follows the metrics in a separate column.
        """
        lines = [["negatives", "scorer", *metrics, f"95 % of {metrics[0]}", "coverage"]]
        for name, result in self.batches.items():
            for scorer, estimates in result.scorers.items():
                shown = f"{self.coverage[scorer]:.3f}" if scorer in self.coverage else "-"
                first = estimates[metrics[0]]
                interval = f"{first.low:.3f}-{first.high:.3f}"
                lines.append([name, scorer, *(f"{estimates[metric].value:.3f}" for metric in metrics), interval, shown])
        return lines


def evaluate(
    dataset: Path,
    model: Model,
    candidates: Csr | None,
    progress: Progress = silent,
    *,
    peers: Mapping[str, Model] | None = None,
) -> Evaluation:
    """Score held-out likes by the model, its peers, popularity, shared songs and chance.

    dataset: the directory of a finished data set. candidates: users x playlists of the pairing, for coverage. peers:
    further models by name. "cold" are likes of users whom training did not see, among random negatives; the other sets
    are of warm users. At most ROWS rows of a set are scored, evenly spread. Deterministic. StageError: the data set is
    not finished, or has other numbers of users and playlists than the model.
    """
    data = open_dataset(dataset)
    _check_sizes(data, model, candidates)
    scorers = _scorers(data, model, peers or {})
    sets = {
        "random": data.validation,
        "hard": data.hard_validation,
        "test-random": data.test,
        "test-hard": data.hard_test,
        "cold": cold_batch(data),
    }
    steps = len(sets) * len(scorers)
    batches = {}
    for done, (name, rows) in enumerate(sets.items(), 1):
        if len(rows):
            batches[name] = compare(rows, scorers)
        progress("evaluation", done * len(scorers), steps, "passes")
    shown = {} if candidates is None else {name: _round(coverage(candidates, s)) for name, s in scorers.items()}
    return Evaluation(batches, shown)


def evaluate_bundle(
    dataset: Path, bundle: Bundle, progress: Progress = silent, *, peers: Mapping[str, Model] | None = None
) -> Evaluation:
    """Evaluate a bundle on the data set that it was made from; as `evaluate`.

    StageError: it was made from another one, where a row number is another user or playlist, or another split, where
    the held-out playlists may have been trained on.
    """
    check_made_from(dataset, bundle)
    model = Model(bundle.user_factors, bundle.playlist_factors)
    # Best first in the bundle, which would give ties of the other scorers to the model's favourites.
    candidates = bundle.candidates.to_scipy().sorted_indices()
    ascending = Csr(candidates.indptr.astype(np.int64), candidates.indices, bundle.candidates.columns)
    return evaluate(dataset, model, ascending, progress, peers=peers)


def check_made_from(dataset: Path, bundle: Bundle) -> None:
    """StageError where the bundle was made from another data set than this one."""
    made_from, here = bundle.manifest.dataset_fingerprint, stage.load(dataset, VALIDATION, BUILD).fingerprint
    if made_from != here:
        raise stage.StageError(
            f"{dataset}: is data set {here[:12]}, the bundle {bundle.directory} was made from {made_from[:12]}; "
            "name that one with --dataset, or train on this one"
        )


def cold_batch(data: Dataset, rows: int = COLD_ROWS) -> Array:
    """Likes of cold users among random negatives, int32 (n, 2 + negatives), n at most `rows`, evenly spread.

    As the random batches of part 9: negatives are distinct kept playlists that the user neither likes nor owns, as many
    as in the validation batches. Likes that nobody warm shares, and those that the user owns, are left out. Empty
    without cold users or where there are too few playlists.
    """
    liked, kept, owner = data.liked, np.asarray(data.playlist_kept), np.asarray(data.owner)
    negatives = data.validation.shape[1] - 2
    offered = np.flatnonzero(kept)
    users = np.repeat(np.arange(data.users, dtype=np.int32), liked.counts)
    playlists = np.asarray(liked.indices)
    asked = np.flatnonzero((np.asarray(data.user_kind)[users] == COLD) & kept[playlists] & (owner[playlists] != users))
    asked = asked[:: max(1, -(-asked.size // rows))]
    rng = generator(0, "cold batch")
    out = []
    for like in asked.tolist():
        user = int(users[like])
        excluded = np.union1d(liked.row(user), data.owned.row(user))
        if offered.size - int(kept[excluded].sum()) >= negatives:
            others = _draw_others(offered, excluded, negatives, rng)
            out.append(np.concatenate([[user, playlists[like]], others]))
    return np.array(out, np.int32).reshape(len(out), 2 + negatives)


def _draw_others(offered: Array, excluded: Array, count: int, rng: np.random.Generator) -> Array:
    """`count` distinct rows of `offered` that are not in `excluded`; there are as many. Cheap where most are not."""
    others = np.empty(0, offered.dtype)
    while others.size < count:
        drawn = offered[rng.integers(offered.size, size=2 * count)]
        others = np.concatenate([others, drawn[~np.isin(drawn, excluded)]])
        others = others[np.sort(np.unique(others, return_index=True)[1])]  # once each, in the order of the draws
    return others[:count]


def compare(batch: Array, scorers: Mapping[str, Scorer]) -> BatchResult:
    """Every scorer on the same rows. batch: int32 (rows, 2 + negatives), at least one row."""
    rows = np.asarray(batch[:: -(-len(batch) // ROWS)])
    _, owner = np.unique(rows[:, 0], return_inverse=True)
    judged = {name: estimate(per_row(ranks(rows, scorer)), owner) for name, scorer in scorers.items()}
    return BatchResult(len(rows), int(owner.max()) + 1, judged)


def estimate(values: Mapping[str, Array], owner: Array, resamples: int = RESAMPLES) -> dict[str, Estimate]:
    """Mean and 95 % interval of each metric. values: float64 (rows,); owner: the user of each row, from 0 without gaps.

    Users are drawn with replacement `resamples` times (cluster bootstrap, Efron and Tibshirani 1993); the interval is
    the 2.5 % and 97.5 % quantile of the resampled means.
    """
    users = int(owner.max()) + 1
    sums = np.stack([np.bincount(owner, weights=v, minlength=users) for v in values.values()], axis=1)
    rows = np.bincount(owner, minlength=users)
    rng = generator(0, "bootstrap")
    means = np.empty((resamples, len(values)))
    for resample in range(resamples):
        weights = np.bincount(rng.integers(users, size=users), minlength=users)
        means[resample] = (weights @ sums) / (weights @ rows)
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    return {
        name: Estimate(_round(value.mean()), _round(low[i]), _round(high[i]))
        for i, (name, value) in enumerate(values.items())
    }


def _check_sizes(data: Dataset, model: Model, candidates: Csr | None) -> None:
    wanted = (data.users, data.playlists)
    sizes = {"factors": (len(model.user_factors), len(model.playlist_factors))}
    if candidates is not None:
        sizes["candidates"] = (candidates.rows, candidates.columns)
    for what, size in sizes.items():
        if size != wanted:
            raise stage.StageError(
                f"{data.directory}: {wanted[0]:,} users and {wanted[1]:,} playlists, but {what} of {size[0]:,} users "
                f"and {size[1]:,} playlists; they are of another data set"
            )


def _scorers(data: Dataset, model: Model, peers: Mapping[str, Model]) -> dict[str, Scorer]:
    return {
        "model": FactorScorer(model),
        **{name: FactorScorer(peer) for name, peer in peers.items()},
        "popularity": PopularityScorer(data.count_train_likes()),
        "overlap": OverlapScorer(data.user_songs, data.playlist_songs),
        "chance": RandomScorer(0),
    }


def _batch_json(result: BatchResult) -> dict[str, Any]:
    scorers = {
        scorer: {metric: [e.value, e.low, e.high] for metric, e in estimates.items()}
        for scorer, estimates in result.scorers.items()
    }
    return {"rows": result.rows, "users": result.users, "scorers": scorers}


def _round(value: float) -> float:
    return round(float(value), _DIGITS)
