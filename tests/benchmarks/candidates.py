"""What each source of candidates is worth: recall of every source, and Hit@20 of the union without it.

Halves: playlists of 20 or more songs are cut into two halves without a common song; one is a user's library, the other
a playlist among all, and the question is whether it is answered. Likes: the same model and its held-out likes, which
were made from shared songs. Follows, where a folder of AttList is given: whether
held-out follows are answered. Intervals are of the paired difference, 95 %, from 2,000 resamples of the users.

    python tests/benchmarks/candidates.py DATASET WORK [--attlist FOLDER]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages.progress import silent
from spotify_buddies.pairing.neighbours.nearest import nearest_users
from spotify_buddies.pairing.selection.select import select
from spotify_buddies.pairing.settings import PairingSettings
from spotify_buddies.trainer.candidates.find import Budgets, Found, unite_sources
from spotify_buddies.trainer.candidates.follows import find_together
from spotify_buddies.trainer.candidates.nearest import Nearest, retrieval_scale
from spotify_buddies.trainer.candidates.popular import most_popular, newcomers
from spotify_buddies.trainer.dataset.labels.nearest import nearest_listeners
from spotify_buddies.trainer.dataset.labels.ownership import match, owned_by
from spotify_buddies.trainer.dataset.table import IN_VALIDATION, Dataset, open_dataset, train_likes
from spotify_buddies.trainer.evaluation.organic import protocol
from spotify_buddies.trainer.evaluation.organic.halves import cut
from spotify_buddies.trainer.models.fit import fit
from spotify_buddies.trainer.models.model import Model
from spotify_buddies.trainer.models.train import training_key
from spotify_buddies.trainer.settings import CandidateSettings, DataSettings, TrainSettings

Array = npt.NDArray[Any]
Scorer = Callable[[int, Array], Array]

SOURCES = ("pairing", "taste", "follows", "popular", "new")
MOST = 500
NONE = Budgets(0, 0, 0, 0, 0)


@dataclass(frozen=True)
class Case:
    """Questions int64 (n, 2): user and playlist. refused (U, P): never answered."""

    name: str
    found: Found
    factors: Array
    refused: Csr
    questions: Array
    scorer: Scorer


def hits(case: Case, budgets: Budgets, top: int = 20) -> tuple[Array, Array, float]:
    """Per question whether it is a candidate, and whether it is answered in the top; and candidates a user."""
    rows = unite_sources(case.found, case.factors, case.refused, budgets, 4_096).rows
    held, answered = np.zeros(len(case.questions), np.bool_), np.zeros(len(case.questions), np.bool_)
    for i, (user, playlist) in enumerate(case.questions.tolist()):
        row = rows.row(user)
        held[i] = playlist in row
        if held[i]:
            scores = case.scorer(user, row)
            answered[i] = (scores > scores[row == playlist][0]).sum() < top
    return held, answered, float(rows.counts[np.unique(case.questions[:, 0])].mean())


def interval(case: Case, values: Array) -> list[float]:
    """95 % of the mean over users, each with all their questions."""
    users, place = np.unique(case.questions[:, 0], return_inverse=True)
    sums, counts = np.bincount(place, values), np.bincount(place)
    rng = np.random.default_rng(0)
    picked = rng.integers(0, users.size, (2_000, users.size))
    means = sums[picked].sum(axis=1) / counts[picked].sum(axis=1)
    return [round(float(q), 4) for q in np.quantile(means, [0.025, 0.975])]


def report(case: Case, budgets: Budgets) -> dict[str, Any]:
    alone = {}
    for source in SOURCES:
        recalls = {}
        for size in (75, 200, MOST):
            held, _, _ = hits(case, replace(NONE, **{source: size}))
            recalls[f"recall_at_{size}"] = round(float(held.mean()), 4)
        alone[source] = recalls
    held, answered, size = hits(case, budgets)
    _, top5, _ = hits(case, budgets, 5)
    without = {}
    for source in SOURCES:
        if getattr(budgets, source):
            fewer_held, fewer, fewer_size = hits(case, replace(budgets, **{source: 0}))
            loss = answered.astype(float) - fewer
            without[source] = {
                "recall": round(float(fewer_held.mean()), 4),
                "hit_at_20": round(float(fewer.mean()), 4),
                "lost": round(float(loss.mean()), 4),
                "interval": interval(case, loss),
                "candidates": round(size - fewer_size, 1),
            }
    return {
        "questions": len(case.questions),
        "alone": alone,
        "budgets": budgets.__dict__,
        "candidates": round(size, 1),
        "recall": round(float(held.mean()), 4),
        "hit_at_20": round(float(answered.mean()), 4),
        "hit_at_20_interval": interval(case, answered.astype(float)),
        "hit_at_5": round(float(top5.mean()), 4),
        "without": without,
    }


def paired(songs: Csr, owned: Csr) -> Csr:
    settings = PairingSettings(candidates=MOST)
    return select(nearest_users(songs, settings.nearest, block_users=4_096), owned, settings).candidates


def owners(songs: Csr, playlists: Csr, never: Array) -> Csr:
    """Owners by songs; never int64: user * P + playlist that are not each other's."""
    near = nearest_listeners(songs, playlists, np.ones(songs.rows, np.bool_), silent)
    pairs = np.repeat(np.arange(near.rows, dtype=np.int64), near.counts) * near.columns + near.indices
    owner, _, _ = match(near, ~np.isin(pairs, never), np.ones(near.rows), DataSettings(), silent)
    return owned_by(owner, songs.rows)


def prepared(name: str, data: Dataset, model: Model, questions: Array, never: Array, likes_weight: float) -> Case:
    """The sources of a data set. questions and never int64 (n, 2): user, playlist; never: not each other's owner."""
    train = TrainSettings()
    owned = owners(data.user_songs, data.playlist_songs, never[:, 0] * data.playlists + never[:, 1])
    likes = train_likes(data)
    counts = likes.column_counts()
    new = newcomers(counts, data.playlist_songs.counts, 0)
    near, weights = (retrieval_scale(train, CandidateSettings(likes_scale=scale)) for scale in (0.1, likes_weight))
    users, playlists = model.user_factors, model.playlist_factors
    found = Found(
        paired(data.user_songs, owned),
        Nearest.of(playlists, near, users, exact_cells=10**12),
        find_together(likes),
        most_popular(counts),
        Nearest.of(playlists, near, users, rows=new, exact_cells=10**12),
    )

    def score(user: int, rows: Array) -> Array:
        return (users[user] * weights) @ playlists[rows].T

    return Case(f"{name}, likes in the score at {likes_weight}", found, users, owned, questions, score)


def halves(dataset: Path, work: Path) -> tuple[Dataset, Model, Array]:
    """The data set of the halves, its model, and the questions."""
    whole = open_dataset(dataset)
    data, train = DataSettings(matching=whole.matching), TrainSettings()  # type: ignore[arg-type]
    work.mkdir(parents=True, exist_ok=True)
    cuts = cut(whole.playlist_songs, least=protocol.LEAST_SONGS, seed=data.seed)
    made = protocol._build(whole, cuts, work, data, silent)
    others = (protocol._over_songs_of(whole, made),)
    model = fit(made, train, work / "checkpoints", key=training_key(made.fingerprint, train), others=others)
    own = protocol._own(made)
    return made, model, np.column_stack([own[own >= 0], np.flatnonzero(own >= 0)]).astype(np.int64)


def likes(dataset: Path, work: Path) -> Case:
    """The held-out likes of the data set itself."""
    data, train = open_dataset(dataset), TrainSettings()
    model = fit(data, train, work / "whole", key=training_key(data.fingerprint, train))
    pairs = np.column_stack([np.repeat(np.arange(data.users), data.liked.counts), np.asarray(data.liked.indices)])
    held = pairs[np.asarray(data.split) == IN_VALIDATION].astype(np.int64)
    return prepared("held-out likes", data, model, held, held, 1.0)


def grid_of(case: Case, model: Model) -> dict[str, Any]:
    """Recall of the nearest by the weight of the likes and how many are taken."""
    grid = {}
    for weight in (0.0, 0.05, 0.1, 0.2, 0.5, 1.0):
        scale = retrieval_scale(TrainSettings(), CandidateSettings(likes_scale=weight))
        near = Nearest.of(model.playlist_factors, scale, model.user_factors, exact_cells=10**12)
        at = replace(case, found=replace(case.found, taste=near))
        sizes = (5, 20, 75, 200, 500)
        grid[str(weight)] = {k: round(float(hits(at, replace(NONE, taste=k))[0].mean()), 4) for k in sizes}
    return grid


def follows(folder: Path) -> Case:
    """Libraries are the songs of what somebody follows; the score is EASE (Steck, WWW 2019) and some of the taste."""

    def pairs(name: str) -> Array:
        return np.loadtxt(folder / name, usecols=(0, 1), dtype=np.int64)

    train, held = pairs("train.txt"), pairs("validation.txt")
    lists: Mapping[int, list[int]] = {
        int(line.split("\t")[0]): json.loads(line.split("\t")[1])
        for line in (folder / "listItem_spotify.txt").read_text().splitlines()
    }
    users = int(max(train[:, 0].max(), held[:, 0].max())) + 1
    playlists = int(max(train[:, 1].max(), held[:, 1].max(), *lists)) + 1
    songs = max(map(max, filter(None, lists.values()))) + 1
    listed = Csr.from_rows([sorted(set(lists.get(row, []))) for row in range(playlists)], songs)
    liked = sp.csr_array((np.ones(len(train), np.float32), (train[:, 0], train[:, 1])), shape=(users, playlists))
    liked.sum_duplicates()
    library = (liked @ listed.to_scipy()).tocsr()
    library.sort_indices()
    heard = Csr(library.indptr.astype(np.int64), library.indices.astype(np.int32), songs)
    likes = Csr(liked.indptr.astype(np.int64), liked.indices.astype(np.int32), playlists)
    taste, of_users = _tastes(listed, heard)
    ease = _ease(liked)
    counts = likes.column_counts()
    owned = owners(heard, listed, held[:, 0] * playlists + held[:, 1])
    scale = np.ones(taste.shape[1], np.float32)
    new = newcomers(counts, listed.counts, 2)
    found = Found(
        paired(heard, owned),
        Nearest.of(taste, scale, of_users, exact_cells=10**12),
        find_together(likes),
        most_popular(counts),
        Nearest.of(taste, scale, of_users, rows=new, exact_cells=10**12),
    )
    both = [np.concatenate([owned.row(user), likes.row(user)]) for user in range(users)]

    def score(user: int, rows: Array) -> Array:
        return ease[likes.row(user)][:, rows].sum(axis=0) + 0.02 * (taste[rows] @ of_users[user])

    return Case("follows", found, of_users, Csr.from_rows(both, playlists), held, score)


def _tastes(listed: Csr, heard: Csr) -> tuple[Array, Array]:
    from sklearn.utils.extmath import randomized_svd

    weights = np.log((1 + listed.rows) / (1 + listed.column_counts())) + 1
    rows = [sp.csr_matrix(part.to_scipy() @ sp.diags_array(weights)) for part in (listed, heard)]
    _, _, basis = randomized_svd(rows[0], 64, random_state=0)
    vectors = [np.asarray(part @ basis.T) for part in rows]
    listed_, heard_ = (
        (v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-9)).astype(np.float32) for v in vectors
    )
    return listed_, heard_


def _ease(liked: Any, weight: float = 50.0) -> Array:
    inverse = np.linalg.inv((liked.T @ liked).toarray().astype(np.float64) + weight * np.eye(liked.shape[1]))
    model = -inverse / np.diag(inverse)
    np.fill_diagonal(model, 0)
    return model.astype(np.float32)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("dataset", type=Path)
    asked.add_argument("work", type=Path)
    asked.add_argument("--attlist", type=Path)
    asked.add_argument("--budgets", type=int, nargs=5, default=[75, 150, 100, 50, 50], metavar=SOURCES)
    given = asked.parse_args()
    budgets = Budgets(*given.budgets)
    data, model, questions = halves(given.dataset, given.work)
    cases = [prepared("halves", data, model, questions, questions, weight) for weight in (1.0, 0.1)]
    print(json.dumps({"recall of the nearest by the weight of likes": grid_of(cases[0], model)}), flush=True)
    for case in (*cases, likes(given.dataset, given.work)):
        print(json.dumps({case.name: report(case, budgets)}, indent=1), flush=True)
    if given.attlist:
        case = follows(given.attlist)
        print(json.dumps({case.name: report(case, budgets)}, indent=1), flush=True)


if __name__ == "__main__":
    main()
