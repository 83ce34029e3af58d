"""One training: its inputs, settings and directory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from spotify_buddies.foundation.stages.stage import Stamp
from spotify_buddies.trainer.dataset.table import Dataset
from spotify_buddies.trainer.models.backends import recipe
from spotify_buddies.trainer.models.train import reports, training_key
from spotify_buddies.trainer.models.warm.warm import Warm
from spotify_buddies.trainer.settings import CandidateSettings, TrainSettings

RunType = Literal["full", "toy"]


@dataclass(frozen=True)
class Work:
    """One training: what it works on and where it keeps what an interruption must not lose."""

    data: Dataset
    pairing: Path
    paired: Mapping[str, Stamp]
    home: Path
    settings: TrainSettings
    run_type: RunType
    candidates: CandidateSettings
    warm: Warm | None = None

    @cached_property
    def key(self) -> str:
        """Computed once. The data set's fingerprint is of its last stage, whose stamp covers all before it."""
        data = f"{self.data.fingerprint}/{self.run_type}"
        return training_key(data if self.warm is None else f"{data}/{self.warm.key}", self.settings)

    @property
    def checkpoints(self) -> Path:
        """Where the training keeps its epochs; trainings of other weights lie side by side."""
        kept = self.home / "checkpoints"
        return kept if self.warm is None else kept / f"weight-{self.warm.named_weight}"

    def facts(self) -> dict[str, Any]:
        """What the manifest says of the training: values that are the same on every run of the same work."""
        epochs = reports(self.checkpoints, self.key)
        best = [report for report in epochs if report.best][-1]
        return {
            "settings": self.settings.model_dump(mode="json"),
            "recipe": asdict(recipe(self.settings)),
            "run_type": self.run_type,
            "candidates": self.candidates.model_dump(mode="json"),
            "epochs": len(epochs),
            "best_epoch": best.epoch,
            "best_loss": round(best.loss, 6),
            **({} if self.warm is None else {"warm": self.warm.facts()}),
            "pairing": {name: stamp.fingerprint for name, stamp in self.paired.items()},
        }
