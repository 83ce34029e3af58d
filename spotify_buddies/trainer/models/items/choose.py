"""Which item models a data set gets."""

from __future__ import annotations

from collections.abc import Mapping

from spotify_buddies.foundation.stages.progress import Progress, silent
from spotify_buddies.trainer.dataset.table import SIMULATED, Dataset, train_likes
from spotify_buddies.trainer.models.items.als import fit_als
from spotify_buddies.trainer.models.items.ease import BALANCED, MOST_PLAYLISTS, fit_ease
from spotify_buddies.trainer.models.items.elsa import fit_elsa
from spotify_buddies.trainer.models.items.item_model import ItemModel
from spotify_buddies.trainer.models.items.walks import fit_walks
from spotify_buddies.trainer.settings import TrainSettings


def fit_item_models(data: Dataset, settings: TrainSettings, progress: Progress = silent) -> Mapping[str, ItemModel]:
    """The item models of a data set by name, fitted on its training likes; none where the settings say so.

    auto: none of simulated likes, which are a formula of shared songs that no follower stands behind; of follows EASE
    with songs, twice, and walks where the playlists are few enough (MOST_PLAYLISTS), else ELSA; beside them ALS.
    """
    kind = settings.item_model
    if kind == "none" or (kind == "auto" and data.labels == SIMULATED):
        return {}
    likes = train_likes(data)
    if not likes.nnz:
        return {}
    exact = kind == "ease" or (kind == "auto" and data.playlists <= MOST_PLAYLISTS)
    found: dict[str, ItemModel] = {}
    if exact:
        found["ease"] = fit_ease(likes, songs=data.playlist_songs)
        progress("item models", 1, 3, "models")
        found["balanced"] = fit_ease(likes, songs=data.playlist_songs, **BALANCED)
        found["walks"] = fit_walks(likes)
    else:
        found["elsa"] = fit_elsa(likes, seed=settings.seed, progress=progress)
    progress("item models", 2, 3, "models")
    found["als"] = fit_als(likes, seed=settings.seed, progress=progress)
    return found
