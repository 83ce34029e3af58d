"""The whole protocol: cut, build a data set of the halves, train plain BPR on it, and ask everybody for their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pairing import stage
from pairing.foldin import fold_in
from pairing.nearest import nearest_users
from pairing.progress import Progress, silent
from trainer.bpr.baselines import OverlapScorer, PopularityScorer, RandomScorer
from trainer.bpr.drawn import open_source
from trainer.bpr.evaluate import Evaluation, compare
from trainer.bpr.metrics import FactorScorer, Scorer
from trainer.bpr.model import Model, Validation
from trainer.bpr.train import train, training_key
from trainer.dataset.build import build_dataset
from trainer.dataset.sources import Sources
from trainer.dataset.table import COLD, WARM, Dataset, open_dataset
from trainer.organic.halves import Halves, cut, write_raw
from trainer.organic.questions import ask
from trainer.organic.taste import taste_factors
from trainer.settings import DataSettings, TrainSettings

Array = npt.NDArray[Any]

LEAST_SONGS = 20
NEGATIVES = 50
NEAREST = 100


class OrganicError(Exception):
    """The data set is too small for the protocol; the message says what is missing."""


def organic(
    dataset: Path, work: Path, data: DataSettings, settings: TrainSettings, *, progress: Progress = silent
) -> Evaluation:
    """Rank every listener's own half among NEGATIVES others: batches "organic-warm" and "organic-cold".

    dataset: a finished data set, whose playlists of LEAST_SONGS or more songs are cut. Everything is written under
    `work` and reused when nothing changed. Scorers: "bpr" (plain BPR on the likes of the halves; cold listeners get
    the factor folded in from their nearest warm ones), "taste" (tf-idf and SVD of the halves and of the data set's
    libraries), popularity, overlap, chance. OrganicError: not more than NEGATIVES such playlists.
    """
    whole = open_dataset(dataset)
    cuts = cut(whole.playlist_songs, least=LEAST_SONGS, seed=data.seed)
    if cuts.rows.size <= NEGATIVES:
        raise OrganicError(
            f"{dataset}: {cuts.rows.size} playlists of {LEAST_SONGS} or more songs, the organic protocol needs more "
            f"than {NEGATIVES}; build a larger data set"
        )
    halves = _build(whole, cuts, work, data, progress)
    scorers: dict[str, Scorer] = {
        "bpr": FactorScorer(_bpr(halves, settings, work / "checkpoints", progress)),
        "taste": FactorScorer(_taste(whole, cuts, halves, settings)),
        "popularity": PopularityScorer(halves.count_train_likes()),
        "overlap": OverlapScorer(halves.user_songs, halves.playlist_songs),
        "chance": RandomScorer(0),
    }
    kinds = np.asarray(halves.user_kind)
    batches = {}
    for name, kind in {"organic-warm": WARM, "organic-cold": COLD}.items():
        rows = ask(_own(halves), np.flatnonzero(kinds == kind), negatives=NEGATIVES, seed=data.seed)
        if len(rows):
            batches[name] = compare(rows, scorers)
    return Evaluation(batches, {})


def _build(whole: Dataset, cuts: Halves, work: Path, data: DataSettings, progress: Progress) -> Dataset:
    """The data set of the halves, through the same nine parts as any other."""

    def write(directory: Path) -> dict[str, Any]:
        return write_raw(cuts, whole.playlist_table["playlist_id"], whole.song_table, directory)

    inputs = {"dataset": whole.fingerprint}
    raw = stage.run(work, "raw", inputs=inputs, settings={"least": LEAST_SONGS, "seed": data.seed}, build=write)
    sources = Sources(listens=raw.directory / "listens.parquet", playlists=raw.directory / "playlists.parquet")
    build_dataset(sources, work / "dataset", data, progress=progress)
    return open_dataset(work / "dataset")


def _bpr(halves: Dataset, settings: TrainSettings, directory: Path, progress: Progress) -> Model:
    """Plain BPR; listeners that it did not learn from get the weighted mean of their nearest learned ones."""
    validation = Validation(halves.validation, halves.hard_validation)
    key = training_key(halves.fingerprint, settings)
    sizes = halves.users, halves.playlists
    source = open_source(halves, settings)
    model = train(source, validation, *sizes, settings, directory, key=key, progress=progress)
    learned, _ = source.seen()
    rest = np.flatnonzero(~learned)
    postings = halves.user_songs.only(learned).transpose()
    near = nearest_users(halves.user_songs, NEAREST, block_users=4_096, rows=rest, postings=postings)
    users = np.array(model.user_factors)
    users[rest] = fold_in(near, model.user_factors)
    return Model(users, model.playlist_factors)


def _taste(whole: Dataset, cuts: Halves, halves: Dataset, settings: TrainSettings) -> Model:
    """Taste factors in the rows of the data set of the halves, which has its own order."""
    found = taste_factors(
        cuts.library, cuts.playlist, others=(whole.user_songs,), dimension=settings.dimension, seed=settings.seed
    )
    names = whole.playlist_table["playlist_id"].gather(cuts.rows).to_list()
    place = {name: at for at, name in enumerate(names)}
    users = [place[name] for name in halves.user_table["user_id"]]
    playlists = [place[name] for name in halves.playlist_table["playlist_id"]]
    return Model(found.user_factors[users], found.playlist_factors[playlists])


def _own(halves: Dataset) -> Array:
    """The listener of each playlist, named or not kept: int32 (playlists,)."""
    rows = {name: at for at, name in enumerate(halves.user_table["user_id"])}
    return np.array([rows.get(name, -1) for name in halves.playlist_table["playlist_id"]], np.int32)
