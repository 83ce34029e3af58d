"""The published ranking in a worker process: torch scores a user's candidates and takes the best, without rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch.nn import Embedding

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.process.subreaper import end_with_parent
from spotify_buddies.serve_app.baseline.own_ranking import LIMIT
from spotify_buddies.trainer.bundle import open_bundle


@dataclass(frozen=True)
class Model:
    """Factors as torch holds them, and whose candidates are whose. popular: playlist rows for users without any."""

    users: Embedding
    playlists: Embedding
    candidates: Csr
    rows: Mapping[str, int]
    playlist_ids: Sequence[str]
    popular: list[int]

    @classmethod
    def of(cls, bundle: Path) -> Model:
        """Read a bundle. BundleError: it is refused."""
        opened = open_bundle(bundle, check_hashes=False)
        users, playlists = (torch.tensor(np.asarray(one)) for one in (opened.user_factors, opened.playlist_factors))
        user_ids, playlist_ids = (cast("Sequence[str]", one.table) for one in (opened.user_ids, opened.playlist_ids))
        rows = {user_id: row for row, user_id in enumerate(user_ids)}
        frozen: Any = Embedding.from_pretrained  # without types
        popular = opened.popular[:LIMIT].tolist()
        return cls(frozen(users), frozen(playlists), opened.candidates, rows, playlist_ids, popular)

    def rank(self, user_ids: Sequence[str]) -> list[list[str]]:
        """As `rank` below."""
        known = [(row, self.candidates.row(row).tolist()) for row in (self.rows.get(one, -1) for one in user_ids)
                 if row >= 0]  # fmt: skip
        scores = self._scores(known)
        best: dict[int, list[int]] = {}
        first = 0
        for row, candidates in known:
            own, first = scores[first : first + len(candidates)], first + len(candidates)
            best[row] = [candidates[place] for place in torch.topk(own, min(LIMIT, len(own))).indices.tolist()]
        chosen = (best.get(self.rows.get(one, -1)) or self.popular for one in user_ids)
        return [[self.playlist_ids[playlist] for playlist in playlists] for playlists in chosen]

    def _scores(self, known: Sequence[tuple[int, list[int]]]) -> torch.Tensor:
        """Inner products of all users with their candidates, one after the other, in one go."""
        user_rows = torch.tensor([row for row, candidates in known for _ in candidates], dtype=torch.long)
        playlist_rows = torch.tensor([one for _, candidates in known for one in candidates], dtype=torch.long)
        with torch.inference_mode():
            scores: torch.Tensor = (self.users(user_rows) * self.playlists(playlist_rows)).sum(1)
        return scores


# Of this process: a pool's work is a function, and finds its model here.
_models: list[Model] = []


def open_model(bundle: Path) -> None:
    """Once in each worker, before its first work; it ends with the process that started it."""
    end_with_parent()
    _models[:] = [Model.of(bundle)]


def rank(user_ids: list[str]) -> list[list[str]]:
    """Ids of the best playlists of each user, best first, in the order asked; popular ones for the unknown."""
    return _models[0].rank(user_ids)
