"""The whole protocol: cut, build a data set of the halves, train on it, and ask everybody for their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages import stage
from spotify_buddies.foundation.stages.progress import Progress, silent
from spotify_buddies.foundation.text.song_keys import Matching, row_keys
from spotify_buddies.pairing.settings import PairingSettings
from spotify_buddies.trainer.dataset.build import build_dataset
from spotify_buddies.trainer.dataset.reading.sources import Sources
from spotify_buddies.trainer.dataset.table import COLD, SONGS, WARM, Dataset, open_dataset
from spotify_buddies.trainer.evaluation.baselines import OverlapScorer, PopularityScorer, RandomScorer
from spotify_buddies.trainer.evaluation.evaluate import BatchResult, Evaluation, compare
from spotify_buddies.trainer.evaluation.organic.candidates import CandidateRow, candidate_table
from spotify_buddies.trainer.evaluation.organic.halves import Halves, cut, write_raw
from spotify_buddies.trainer.evaluation.organic.questions import ask
from spotify_buddies.trainer.metrics.ranking import FactorScorer, Scorer
from spotify_buddies.trainer.models.fit import fit
from spotify_buddies.trainer.models.model import Model
from spotify_buddies.trainer.models.peers import Peers, train_peers
from spotify_buddies.trainer.models.train import training_key
from spotify_buddies.trainer.settings import DataSettings, TrainSettings

Array = npt.NDArray[Any]

LEAST_SONGS = 20
NEGATIVES = 50


class OrganicError(Exception):
    """The data set is too small for the protocol; the message says what is missing."""


@dataclass(frozen=True)
class OrganicResult:
    """Ranks of everybody's own half among others, likes of the same model, and the candidates."""

    evaluation: Evaluation
    candidates: tuple[CandidateRow, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """JSON values: those of the evaluation, candidates: a list of rows, left_out: scorer -> what to do."""
        return {
            **self.evaluation.to_json(),
            "candidates": [row.to_json() for row in self.candidates],
            "left_out": dict(self.left_out),
        }


def organic(
    dataset: Path,
    work: Path,
    data: DataSettings,
    settings: TrainSettings,
    pairing: PairingSettings,
    *,
    peers: bool = True,
    progress: Progress = silent,
) -> OrganicResult:
    """Rank every user's own half among NEGATIVES others: batches "organic-warm" and "organic-cold".

    dataset: a finished data set, whose playlists of LEAST_SONGS or more songs are cut. Everything is written under
    `work` and reused when nothing changed. Scorers: "model" (what `settings` ask for, trained on the likes of the
    halves), the peers (without: the untrained ones alone), popularity, overlap, chance. The libraries of the data set's
    users say which songs go together, to the model and to the peer "taste" alike. The batches "random" and
    "hard" are the held-out likes of the halves, so that one model is judged on both. OrganicError: not more than
    NEGATIVES such playlists.
    """
    whole = open_dataset(dataset)
    cuts = cut(whole.playlist_songs, least=LEAST_SONGS, seed=data.seed)
    if cuts.rows.size <= NEGATIVES:
        raise OrganicError(
            f"{dataset}: {cuts.rows.size} playlists of {LEAST_SONGS} or more songs, the organic protocol needs more "
            f"than {NEGATIVES}; build a larger data set"
        )
    # Other matching could give the two halves of a playlist a song in common.
    data = data.model_copy(update={"matching": whole.matching, "joined_artists": False, "near_names": False})
    halves = _build(whole, cuts, work, data, progress)
    others = (_over_songs_of(whole, halves),)
    key = training_key(f"{halves.fingerprint}/{whole.fingerprint}", settings)
    model = fit(halves, settings, work / "checkpoints", key=key, others=others, progress=progress)
    trained = train_peers(halves, settings, work, others=others, progress=progress) if peers else Peers({}, {})
    scorers = _scorers(halves, model, trained.models)
    own = _own(halves)
    table = candidate_table(halves, own, model, pairing, data, progress=progress)
    return OrganicResult(Evaluation(_batches(halves, own, scorers, data.seed), {}), table, trained.left_out)


def _scorers(halves: Dataset, model: Model, peers: Mapping[str, Model]) -> dict[str, Scorer]:
    return {
        "model": FactorScorer(model),
        **{name: FactorScorer(peer) for name, peer in peers.items()},
        "popularity": PopularityScorer(halves.count_train_likes()),
        "overlap": OverlapScorer(halves.user_songs, halves.playlist_songs),
        "chance": RandomScorer(0),
    }


def _batches(halves: Dataset, own: Array, scorers: Mapping[str, Scorer], seed: int) -> dict[str, BatchResult]:
    kinds = np.asarray(halves.user_kind)
    asked = {
        name: ask(own, np.flatnonzero(kinds == kind), negatives=NEGATIVES, seed=seed)
        for name, kind in {"organic-warm": WARM, "organic-cold": COLD}.items()
    }
    asked |= {"random": halves.validation, "hard": halves.hard_validation}
    return {name: compare(rows, scorers) for name, rows in asked.items() if len(rows)}


def _build(whole: Dataset, cuts: Halves, work: Path, data: DataSettings, progress: Progress) -> Dataset:
    """The data set of the halves, through the same nine parts as any other."""

    def write(directory: Path) -> dict[str, Any]:
        return write_raw(cuts, whole.playlist_table["playlist_id"], whole.song_table, directory)

    inputs = {"dataset": whole.fingerprint}
    raw = stage.run(work, "raw", inputs=inputs, settings={"least": LEAST_SONGS, "seed": data.seed}, build=write)
    sources = Sources(listens=raw.directory / "listens.parquet", playlists=raw.directory / "playlists.parquet")
    build_dataset(sources, work / "dataset", data, progress=progress)
    return open_dataset(work / "dataset")


def _over_songs_of(whole: Dataset, halves: Dataset) -> Csr:
    """The libraries of the whole data set over the songs of the halves; songs that are not there are left out.

    So are the libraries of those who own a playlist by name: they would hold both halves of it.
    """
    matching: Matching = "full" if whole.matching == "full" else "plain"

    def keys(songs: pl.DataFrame) -> list[str]:
        return row_keys(songs["title"].fill_null("").to_list(), songs["artist"].fill_null("").to_list(), matching)

    rows = {key: row for row, key in enumerate(keys(halves.song_table))}
    place = np.array([rows.get(key, -1) for key in keys(whole.song_table)], np.int32)
    owners = np.zeros(whole.users, np.bool_)
    named = np.load(whole.directory / SONGS / "named_owner.npy")
    owners[named[named >= 0]] = True
    columns = place[whole.user_songs.indices]
    kept = (columns >= 0) & ~np.repeat(owners, whole.user_songs.counts)
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept, dtype=np.int64)])
    return Csr(before[whole.user_songs.indptr], columns[kept], halves.songs)


def _own(halves: Dataset) -> Array:
    """The user of each playlist, named or not kept: int32 (playlists,)."""
    rows = {name: row for row, name in enumerate(halves.user_table["user_id"])}
    return np.array([rows.get(name, -1) for name in halves.playlist_table["playlist_id"]], np.int32)
