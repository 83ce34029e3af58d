"""The stages of a benchmark in their order, and the folders and settings that they work on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from spotify_buddies.pairing.settings import PairingSettings
from spotify_buddies.trainer.bench.figure import Figure
from spotify_buddies.trainer.settings import DataSettings, TrainSettings
from spotify_buddies.trainer.synth.write import PRESETS, Preset

PLAN = "plan.json"


class BenchError(Exception):
    """The benchmark cannot continue; the message names the stage and what to do."""


@dataclass(frozen=True)
class Bench:
    """One size under its own folder: raw files, data set, pairing and what else the stages leave to later ones.

    The bounds keep slow peers short; a rate is that of the part which was done.
    """

    home: Path
    preset: str
    data: DataSettings
    pairing: PairingSettings
    train: TrainSettings
    row_loop_users: int = 200
    product_users: int = 150_000
    scored_users: int = 1_000
    slices: int = 40
    bpr_triplets: int = 10_000_000
    torch_triplets: int = 400_000
    tastes: int = 300

    @property
    def size(self) -> Preset:
        """Users, playlists and songs of the preset."""
        return PRESETS[self.preset]

    @property
    def raw(self) -> Path:
        """Raw files."""
        return self.home / "raw"

    @property
    def dataset(self) -> Path:
        """The finished data set."""
        return self.home / "dataset"

    @property
    def paired(self) -> Path:
        """The finished pairing."""
        return self.home / "pairing"

    def save(self) -> None:
        """Write it where the process of a stage reads it."""
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / PLAN).write_text(json.dumps(self.settings(), indent=1) + "\n", encoding="utf-8")

    def settings(self) -> dict[str, Any]:
        """Preset and settings as JSON values: what a stored figure was measured with."""
        sections = {name: getattr(self, name).model_dump(mode="json") for name in ("data", "pairing", "train")}
        return {"preset": self.preset, **sections}

    @classmethod
    def load(cls, home: Path) -> Self:
        """What save wrote. BenchError: it is not one of this release's, whose settings may be others."""
        try:
            body = json.loads((home / PLAN).read_bytes())
            data, pairing = DataSettings(**body["data"]), PairingSettings(**body["pairing"])
            return cls(home, body["preset"], data, pairing, TrainSettings(**body["train"]))
        except (ValueError, KeyError, TypeError) as error:
            raise BenchError(f"{home / PLAN}: not of this release; run the benchmark again ({error})") from error


Measure = Callable[[Bench], list[Figure]]


@dataclass(frozen=True)
class Stage:
    """One process of the benchmark. needs: modules of a peer, `package` installs them. where: module:function."""

    name: str
    where: str
    needs: str = ""
    package: str = ""

    def missing(self) -> bool:
        """Whether the peer is not installed."""
        return bool(self.needs) and find_spec(self.needs) is None

    def measure(self) -> Measure:
        """The function that does it."""
        module, _, function = self.where.partition(":")
        measure: Measure = getattr(import_module(f"spotify_buddies.trainer.bench.stages.{module}"), function)
        return measure


_STAGES = (
    Stage("synth", "data:synth"),
    Stage("data", "data:parts"),
    Stage("slices", "loaders:slices"),
    Stage("slices-orjson", "loaders:slices_by_orjson"),
    Stage("listens", "loaders:listens"),
    Stage("listens-polars", "loaders:listens_by_polars"),
    Stage("scores", "scores:ours"),
    Stage("scores-scipy", "scores:by_scipy"),
    Stage("pairing", "neighbours:stages"),
    Stage("nearest", "neighbours:ours"),
    Stage("nearest-scikit-learn", "neighbours:by_scikit_learn", "sklearn", "scikit-learn"),
    Stage("nearest-sparse-dot-topn", "neighbours:by_sparse_dot_topn", "sparse_dot_topn", "sparse_dot_topn"),
    Stage("tastes", "tastes:ours"),
    Stage("bpr", "fitting:ours"),
    Stage("bpr-implicit", "fitting:by_implicit", "implicit", "implicit"),
    Stage("bpr-torch", "fitting:by_torch", "torch", "torch"),
    Stage("bundle", "bundles:write"),
    Stage("bundle-open", "bundles:opened"),
)
STAGES: Mapping[str, Stage] = {stage.name: stage for stage in _STAGES}
