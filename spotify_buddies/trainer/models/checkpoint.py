"""The state of a training after each epoch, from which it resumes."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.trainer.bundle.tensors import map_tensors
from spotify_buddies.trainer.models.model import EpochReport, TrainingError

Array = npt.NDArray[Any]

_RECORD = "checkpoint.json"


@dataclass(frozen=True)
class Checkpoint:
    """The epochs so far, as they are on disk. finished: no further epoch is wanted."""

    key: str
    reports: tuple[EpochReport, ...]
    finished: bool

    @property
    def best(self) -> EpochReport:
        """The best epoch so far."""
        return [report for report in self.reports if report.best][-1]

    @property
    def last(self) -> EpochReport:
        """The last epoch."""
        return self.reports[-1]


def read(directory: Path, key: str) -> Checkpoint | None:
    """The checkpoint of the training that `key` names; None where there is none or it belongs to another training."""
    path = directory / _RECORD
    if not path.exists():
        return None
    try:
        body = json.loads(path.read_bytes())
        reports = tuple(EpochReport(**report) for report in body["reports"])
        stored = Checkpoint(body["key"], reports, body["finished"])
    except (ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{path}: not a checkpoint ({error}); remove {directory} and train again") from error
    # Another key is other settings or data: no error, the training begins anew and replaces it.
    return stored if stored.key == key and stored.reports else None


def write(directory: Path, checkpoint: Checkpoint, tensors: Mapping[str, Array]) -> None:
    """Store the last epoch's tensors, then the record that makes them count; drop what is neither last nor best."""
    from safetensors.numpy import save_file

    directory.mkdir(parents=True, exist_ok=True)
    path = tensor_file(directory, checkpoint.key, checkpoint.last.epoch)
    partial = path.with_suffix(".partial")
    save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, partial)
    # On disk before it has its name: after a power failure a file with that name is whole.
    _sync(partial)
    partial.replace(path)
    finish(directory, checkpoint)


def finish(directory: Path, checkpoint: Checkpoint) -> None:
    """Store the record alone; a finished training keeps its best epoch only."""
    record = directory / _RECORD
    body = {"key": checkpoint.key, "finished": checkpoint.finished, "reports": [asdict(r) for r in checkpoint.reports]}
    partial = record.with_suffix(".partial")
    partial.write_text(json.dumps(body, indent=1), encoding="utf-8")
    _sync(partial)
    partial.replace(record)
    wanted = {checkpoint.best.epoch} if checkpoint.finished else {checkpoint.best.epoch, checkpoint.last.epoch}
    keep = {tensor_file(directory, checkpoint.key, epoch) for epoch in wanted}
    # After the record: a crash in between leaves a file too many, never a record without its tensors.
    for path in directory.glob("epoch-*.safetensors"):
        if path not in keep:
            path.unlink()


def load(directory: Path, key: str, epoch: int, names: Collection[str] | None = None) -> dict[str, Array]:
    """The tensors of an epoch of the training that `key` names, copied into memory; of these names, or all.

    TrainingError when the file is missing or broken.
    """
    path = tensor_file(directory, key, epoch)
    try:
        tensors = map_tensors(path)
        return {name: np.array(tensor) for name, tensor in tensors.items() if names is None or name in names}
    except (OSError, ValueError, KeyError) as error:
        raise TrainingError(
            f"{path}: cannot read the checkpoint ({error}); remove {directory} and train again"
        ) from error


def tensor_file(directory: Path, key: str, epoch: int) -> Path:
    """Where the tensors of an epoch lie. The key keeps another training's record from being read with these tensors."""
    return directory / f"epoch-{epoch:04d}-{key[:8]}.safetensors"


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
