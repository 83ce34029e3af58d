"""A small world for retrainings: raw files, what was made of them, a version that serves, and what people said."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages.stage import swap
from spotify_buddies.pairing.build import build_pairing
from spotify_buddies.pairing.settings import PairingSettings
from spotify_buddies.serve_app.offline.cli import open_ranker
from spotify_buddies.trainer.dataset.build import build_dataset
from spotify_buddies.trainer.dataset.reading.sources import Sources, find_sources
from spotify_buddies.trainer.publish.release import train_and_release
from spotify_buddies.trainer.registry.mlflow_client import default_uri
from spotify_buddies.trainer.registry.registry import Registry
from spotify_buddies.trainer.retrain.extract import Extract, follows, open_extract, write
from spotify_buddies.trainer.retrain.rules import choose, seen
from spotify_buddies.trainer.retrain.run import Place, Sections
from spotify_buddies.trainer.retrain.store import _SCHEMA
from spotify_buddies.trainer.settings import (
    CandidateSettings,
    DataSettings,
    RegistrySettings,
    RetrainSettings,
    TrainSettings,
)
from spotify_buddies.trainer.synth.write import synthesise

BEGAN = datetime(2026, 11, 1, tzinfo=UTC)
SECTIONS = Sections(
    DataSettings(),
    TrainSettings(dimension=16, epochs=4, taste="svd", seed=7),
    CandidateSettings(),
    RegistrySettings(),
    PairingSettings(),
    # Of a world of 200 people the figures are noise: what each limit does is tested on its own.
    RetrainSettings(
        weights=(4.0,), least_people=5, bot_like_share=1.0, drop=0.5, standing_drop=1.0, kept=0.0, same_for_all=1.0
    ),
)


@dataclass(frozen=True)
class SmallWorld:
    """state: holds raw, dataset, pairing, train and MLflow's database; version 1 is behind production."""

    state: Path

    @property
    def sources(self) -> Sources:
        return find_sources(self.state / "raw")

    @property
    def registry(self) -> Registry:
        return Registry(default_uri(self.state), SECTIONS.registry.model)

    def place(self, name: str = "run") -> Place:
        return Place(self.state, self.state / "retrain-runs" / name, self.state / "dataset")


def small_world(state: Path, database: Path) -> SmallWorld:
    """Trained under `state`; database: an empty one of MLflow."""
    (state / "mlflow").mkdir(parents=True)
    shutil.copy(database, state / "mlflow" / "mlflow.db")
    synthesise(state / "raw", users=200, playlists=300, songs=1_500, seed=3)
    build_dataset(find_sources(state / "raw"), state / "dataset", SECTIONS.data)
    build_pairing(state / "dataset", state / "pairing", SECTIONS.pairing)
    train_and_release(
        state / "dataset", state / "pairing", state, SECTIONS.train, SECTIONS.registry, SECTIONS.candidates
    )
    return SmallWorld(state)


def said(world: SmallWorld, directory: Path, *, visits: int = 3, shuffled: bool = False) -> Extract:
    """An extract of what users said to lists of version 1.

    Everybody likes playlists with an even number, sees them with a probability of rank ** -0.5, and reacts to `visits`
    lists, whose playlists do not come back. shuffled: what was said belongs to others.
    """
    users = pl.read_parquet(world.state / "dataset" / "2-songs" / "users.parquet")["user_id"].to_list()
    names = pl.read_parquet(world.state / "dataset" / "2-songs" / "playlists.parquet")["playlist_id"].to_list()
    bundle = next((world.state / "train" / "bundle").iterdir())
    nothing = Csr(np.zeros(len(users) + 1, np.int64), np.empty(0, np.int32), len(names))
    lists = open_ranker(bundle).rank_known(np.arange(len(users), dtype=np.int32), nothing, 5 * visits)
    rng = np.random.default_rng(5)
    rows = []
    for visit in range(visits):
        for user in rng.permutation(len(users)).tolist():
            shown = [row for row in lists[user, 5 * visit : 5 * visit + 5].tolist() if row >= 0]
            looked = [row for rank, row in enumerate(shown, 1) if rng.random() < rank**-0.5]
            liked = [names[row] for row in looked if row % 2 == 0][:1]
            ignored = sorted(names[row] for row in shown if names[row] not in liked)
            number = len(rows)
            at, whole = BEGAN + timedelta(minutes=number), [names[row] for row in shown]
            rows.append((at, number, f"r{number}", users[user], "1", "production", liked, ignored, [], whole))
    blocks = pl.DataFrame(rows, schema=_SCHEMA, orient="row")
    if shuffled:
        others = dict(zip(users, rng.permutation(np.array(users)).tolist(), strict=True))
        blocks = blocks.with_columns(pl.col("user_id").replace(others))
    chosen = choose(blocks, pl.Series(names), SECTIONS.retrain)
    lineage = {"from": BEGAN.isoformat(), "until": rows[-1][0].isoformat(), "blocks": chosen.blocks.height}
    swap(
        write(directory, (chosen.blocks, follows(chosen), seen(chosen, 0.5, 7 * 86_400)), lineage).directory, directory
    )
    return open_extract(directory)
