"""The model of a data set: trained as the settings say, with factors for those whom training did not see."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages.progress import Progress, silent
from spotify_buddies.pairing.neighbours.foldin import fold_in
from spotify_buddies.pairing.neighbours.nearest import nearest_users
from spotify_buddies.trainer.dataset.table import FOLLOWS, WARM, Dataset
from spotify_buddies.trainer.models.drawn import open_source
from spotify_buddies.trainer.models.hybrid.songs import SongSets, artist_rows
from spotify_buddies.trainer.models.model import EpochReport, Model, Validation
from spotify_buddies.trainer.models.pace import paced, suited
from spotify_buddies.trainer.models.train import train
from spotify_buddies.trainer.models.training_progress import WHAT
from spotify_buddies.trainer.models.warm.start import warm_start
from spotify_buddies.trainer.models.warm.warm import Warm
from spotify_buddies.trainer.settings import TrainSettings

Array = npt.NDArray[Any]

NEAREST = 100
_BLOCK_USERS = 4_096


def fit(
    data: Dataset,
    settings: TrainSettings,
    directory: Path,
    *,
    key: str,
    toy: bool = False,
    others: tuple[Csr, ...] = (),
    warm: Warm | None = None,
    on_epoch: Callable[[EpochReport], None] = lambda _: None,
    progress: Progress = silent,
    what: str = WHAT,
) -> Model:
    """Train on a data set, all or the toy triplets; as `train`, whose checkpoints go to `directory` under `key`.

    others: more song sets over the data set's songs for the hybrid model's taste. warm: goes on from a version that
    serves, and learns implicit likes beside the data set's; `key` must name it too. Of the hybrid model everybody with
    a song that others have too, or whose artist is known, has a factor. Plain BPR gives users without triplets
    (cold ones above all) the mean of their nearest trained users, weighted by cosine, and playlists without
    triplets zeros, so that they score 0 for everyone.
    """
    source = open_source(data, settings, toy=toy)
    if warm is not None:
        source = warm.beside(source, data)
    if data.labels == FOLLOWS:
        source, settings = paced(source, suited(settings, data.labels))
    hybrid = settings.model == "hybrid"
    sets = song_sets(data, others) if hybrid else None
    model = train(
        source,
        Validation(data.validation, data.hard_validation),
        data.users,
        data.playlists,
        settings,
        directory,
        key=key,
        sets=sets,
        start=None if warm is None else warm_start(warm.bundle, data, sets, settings),
        on_epoch=on_epoch,
        progress=progress,
        what=what,
    )
    if hybrid:
        return model
    users, playlists = source.seen()
    return fill_in(model, data.user_songs, users & (np.asarray(data.user_kind) == WARM), playlists)


def song_sets(data: Dataset, others: tuple[Csr, ...] = ()) -> SongSets:
    """Users, playlists and artists of a data set."""
    artist = artist_rows(data.song_table, data.matching)
    return SongSets(data.user_songs, data.playlist_songs, artist, others)


def fill_in(model: Model, user_songs: Csr, learned: Array, seen: Array) -> Model:
    """Factors for users who were not `learned`, bool (U), folded in from the nearest who were; zeros for the rest.

    seen bool (P): playlists whose factor was trained; the others get zeros.
    """
    rest = np.flatnonzero(~learned)
    # Postings of learned users alone, so that nobody is folded in from a factor that was never trained.
    near = nearest_users(user_songs, NEAREST, block_users=_BLOCK_USERS, rows=rest, listed=learned)
    users = np.array(model.user_factors)
    users[rest] = fold_in(near, model.user_factors)
    return Model(users, np.where(seen[:, None], model.playlist_factors, np.float32(0)))
