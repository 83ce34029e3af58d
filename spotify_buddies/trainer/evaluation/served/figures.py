"""The figures of one set of questions: lists of the service and of popularity, candidates, and groups of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.bundle.sources import CandidateSource
from spotify_buddies.trainer.dataset.table import Dataset
from spotify_buddies.trainer.evaluation.evaluate import Estimate, estimate
from spotify_buddies.trainer.evaluation.served.groups import groups_of
from spotify_buddies.trainer.evaluation.served.questions import Questions
from spotify_buddies.trainer.evaluation.served.ranker import Lists, MostLiked, Ranker
from spotify_buddies.trainer.metrics.lists import (
    coverage,
    depths,
    hits,
    inequality,
    ndcg,
    near_duplicates,
    places,
    rows_of,
    same_owner,
    shown,
)

Array = npt.NDArray[Any]

# The length of a list that names none, and the longest that is judged.
SHORT, LONG = 5, 20
DEPTHS = (75, 200, 500)
NDCG = 10
# Of two playlists of which one is nearly the other, at least so many of all their songs are in both.
NEAR = 0.5
SERVED, POPULARITY = "served", "popularity"
ALL = "all"


@dataclass(frozen=True)
class Catalogue:
    """What the lists of SHORT show of all playlists: coverage and Gini; shares of places that repeat a better one."""

    coverage: float
    gini: float
    same_owner: Estimate
    near_duplicate: Estimate


@dataclass(frozen=True)
class Group:
    """Wanted playlists of one kind. pairs: how many; found: share in the list of SHORT; offered: share of candidates.

    The intervals are over users, as everywhere.
    """

    name: str
    pairs: int
    found: Estimate
    offered: Estimate


@dataclass(frozen=True)
class Figures:
    """One set of questions.

    people, pairs: who asked, and playlists wanted. lists: ranker -> hit@1, hit@5, hit@20, ndcg@10. catalogue: by
    ranker. candidates: mean number of each person. recall: source, or "all" -> depth -> share of the wanted playlists
    among the first so many candidates of it. groups: dimension -> groups. owner_of_wanted: share of the places of the
    service's lists whose owner is that of the wanted playlist; None where none has one, or where people want several.
    """

    people: int
    pairs: int
    lists: Mapping[str, Mapping[str, Estimate]]
    catalogue: Mapping[str, Catalogue]
    candidates: float
    recall: Mapping[str, Mapping[int, Estimate]]
    groups: Mapping[str, tuple[Group, ...]] = field(default_factory=dict)
    owner_of_wanted: Estimate | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON values, by field; an estimate is {value, low, high}."""
        return asdict(self)


def judge(questions: Questions, data: Dataset, ranker: Ranker) -> Figures:
    """Ask the service, and popularity beside it. At least one question.

    Hit@1 and Hit@5 are of lists of SHORT, the others of lists of LONG: candidates of strangers depend on the length of
    the list that is asked for. data: the data set of the bundle that the ranker answers with.
    """
    likes = data.count_train_likes()
    rankers: dict[str, Lists] = {SERVED: ranker, POPULARITY: MostLiked(likes, data.owned)}
    short = {name: _rank(one, questions, SHORT) for name, one in rankers.items()}
    long = {name: _rank(one, questions, LONG) for name, one in rankers.items()}
    offered, bits = _offer(ranker, questions)
    person = rows_of(questions.wanted)
    everything = depths(offered, questions.wanted)
    return Figures(
        people=len(questions),
        pairs=questions.wanted.nnz,
        lists={name: _lists(questions.wanted, short[name], long[name]) for name in rankers},
        catalogue={name: _catalogue(lists, data) for name, lists in short.items()},
        candidates=round(float(offered.counts.mean()), 3),
        recall=_recall(offered, bits, questions.wanted),
        groups={
            dimension: _grouped(labels, places(short[SERVED], questions.wanted) > 0, everything > 0, person)
            for dimension, labels in groups_of(questions, data, likes).items()
        },
        owner_of_wanted=_owner_of_wanted(short[SERVED], questions.wanted, np.asarray(data.owner)),
    )


def _rank(ranker: Lists, questions: Questions, limit: int) -> Array:
    if questions.users is None:
        return ranker.rank_strangers(questions.songs, questions.seen, limit)
    return ranker.rank_known(questions.users, questions.seen, limit)


def _offer(ranker: Ranker, questions: Questions) -> tuple[Csr, Array]:
    if questions.users is None:
        return ranker.offer_strangers(questions.songs, max(DEPTHS))
    return ranker.offer_known(questions.users, max(DEPTHS))


def _lists(wanted: Csr, short: Array, long: Array) -> dict[str, Estimate]:
    near, far = places(short, wanted), places(long, wanted)
    values = {f"hit@{k}": hits(near, wanted, k) for k in (1, SHORT)}
    values[f"hit@{LONG}"] = hits(far, wanted, LONG)
    values[f"ndcg@{NDCG}"] = ndcg(far, wanted, NDCG)
    return estimate(values, np.arange(wanted.rows))


def _catalogue(lists: Array, data: Dataset) -> Catalogue:
    exposure = shown(lists, data.playlists)
    shares = {
        "same": same_owner(lists, np.asarray(data.owner)),
        "near": near_duplicates(lists, data.playlist_songs, NEAR),
    }
    estimates = estimate(shares, np.arange(len(lists)))
    return Catalogue(round(coverage(exposure), 6), round(inequality(exposure), 6), estimates["same"], estimates["near"])


def _recall(offered: Csr, bits: Array, wanted: Csr) -> dict[str, dict[int, Estimate]]:
    person = rows_of(wanted)
    parts = {ALL: offered}
    for source in CandidateSource:
        chosen = (bits & source) > 0
        if chosen.any() and source.name:
            parts[source.name.lower()] = _only(offered, chosen)
    recall = {}
    for name, part in parts.items():
        found = depths(part, wanted)
        values = {str(most): ((found > 0) & (found <= most)).astype(np.float64) for most in DEPTHS}
        recall[name] = {int(most): one for most, one in estimate(values, person).items()}
    return recall


def _only(rows: Csr, chosen: Array) -> Csr:
    """The chosen entries, in their order."""
    kept = np.concatenate([np.zeros(1, np.int64), np.cumsum(chosen)])
    return Csr(kept[rows.indptr], np.asarray(rows.indices)[chosen], rows.columns)


def _grouped(labels: Array, found: Array, offered: Array, person: Array) -> tuple[Group, ...]:
    groups = []
    for name in sorted(set(labels.tolist())):
        inside = labels == name
        _, owner = np.unique(person[inside], return_inverse=True)
        values = {"found": found[inside].astype(np.float64), "offered": offered[inside].astype(np.float64)}
        both = estimate(values, owner)
        groups.append(Group(name.partition(" ")[2], int(inside.sum()), both["found"], both["offered"]))
    return tuple(groups)


def _owner_of_wanted(lists: Array, wanted: Csr, owner: Array) -> Estimate | None:
    """Where everybody wants a single playlist: over the lists of those whose playlist has an owner."""
    if not np.all(wanted.counts == 1):
        return None
    makers = owner[wanted.indices]
    asked = np.flatnonzero((makers >= 0) & (lists >= 0).any(axis=1))
    if not asked.size:
        return None
    some = lists[asked]
    theirs = (some >= 0) & (owner[some] == makers[asked][:, None])
    values = {"share": theirs.sum(axis=1) / (some >= 0).sum(axis=1)}
    return estimate(values, np.arange(asked.size))["share"]
