"""BPR by torch: the published recipe, for a CUDA device and for comparison. Imported only when it is used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from spotify_buddies.foundation.arrays.seeds import generator
from spotify_buddies.trainer.models.model import Model
from spotify_buddies.trainer.models.order import TripletSource, visit
from spotify_buddies.trainer.settings import TrainSettings

Array = npt.NDArray[Any]

_TABLES = ("user_factors", "playlist_factors")


class TorchBackend:
    """Sparse embeddings and SparseAdam, `batch` triplets at a time, `accumulate` batches per optimiser step.

    On a CUDA device the products run in bfloat16 where the device has it; the factors stay float32. A block's batches
    are complete steps: nothing is left over between blocks.
    """

    def __init__(self, settings: TrainSettings, rate: float, decay: float, state: Mapping[str, Array]) -> None:
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._batch, self._accumulate, self._decay = settings.batch, settings.accumulate, decay
        self._tables = [torch.nn.Parameter(torch.tensor(state[name], device=self._device)) for name in _TABLES]
        self._optimiser = torch.optim.SparseAdam(self._tables, lr=rate)
        self._mixed = self._device.type == "cuda" and torch.cuda.is_bf16_supported()
        if "steps" in state:
            self._restore(state)

    def epoch(self, source: TripletSource, seed: int, number: int) -> Iterator[tuple[float, int]]:
        """Block by block, each in a random order: a run is sorted by user, which would give batches of few users."""
        rng = generator(seed, f"batches of epoch {number}")
        return visit(lambda block: self.step(rng.permutation(block)), source.blocks(seed, number))

    def step(self, triplets: Array) -> float:
        """Learn from the block in its order."""
        total = torch.zeros((), dtype=torch.float64, device=self._device)
        block = torch.from_numpy(triplets).to(self._device)
        parts = [block[begin : begin + self._batch] for begin in range(0, len(block), self._batch)]
        for i, part in enumerate(parts):
            # The last step of a block may have fewer batches, whose mean it then is.
            together = min(self._accumulate, len(parts) - i + i % self._accumulate)
            loss, penalty = self._loss(part.long())
            torch.autograd.backward((loss.mean() + penalty) / together)
            total += loss.detach().double().sum()
            if (i + 1) % self._accumulate == 0 or i + 1 == len(parts):
                self._optimiser.step()  # type: ignore[no-untyped-call]
                self._optimiser.zero_grad()
        return float(total)

    def _loss(self, part: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        users, playlists = self._tables
        lookup = torch.nn.functional.embedding
        user = lookup(part[:, 0], users, sparse=True)
        positive = lookup(part[:, 1], playlists, sparse=True)
        negative = lookup(part[:, 2], playlists, sparse=True)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._mixed):
            margin = torch.bmm(user.unsqueeze(1), (positive - negative).unsqueeze(2)).flatten()
        loss = torch.nn.functional.softplus(-margin.float())
        squares = user.square().sum() + positive.square().sum() + negative.square().sum()
        return loss, self._decay / 2 * squares / len(part)

    def model(self) -> Model:
        """The factors, copied from the device."""
        users, playlists = (table.detach().cpu().numpy() for table in self._tables)
        return Model(users, playlists)

    def state(self) -> dict[str, Array]:
        """Factors, both moments of Adam and its number of steps."""
        arrays = {name: table.detach().cpu().numpy() for name, table in zip(_TABLES, self._tables, strict=True)}
        steps = np.zeros(len(_TABLES), np.int64)
        for i, (name, table) in enumerate(zip(_TABLES, self._tables, strict=True)):
            moments = self._optimiser.state[table]
            if moments:
                steps[i] = int(moments["step"])
                arrays[f"{name}.mean"] = moments["exp_avg"].cpu().numpy()
                arrays[f"{name}.square"] = moments["exp_avg_sq"].cpu().numpy()
        return {**arrays, "steps": steps}

    def _restore(self, state: Mapping[str, Array]) -> None:
        for i, (name, table) in enumerate(zip(_TABLES, self._tables, strict=True)):
            if state["steps"][i]:
                self._optimiser.state[table] = {
                    "step": int(state["steps"][i]),
                    "exp_avg": torch.tensor(state[f"{name}.mean"], device=self._device),
                    "exp_avg_sq": torch.tensor(state[f"{name}.square"], device=self._device),
                }
