"""What a training of the hybrid model begins with: the parts of a factor, and the sums that they are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.trainer.models.hybrid.hubs import hub_dimension
from spotify_buddies.trainer.models.hybrid.songs import Feature
from spotify_buddies.trainer.models.hybrid.taste import TasteBasis, unit
from spotify_buddies.trainer.settings import TrainSettings

Array = npt.NDArray[Any]

USERS, PLAYLISTS = 0, 1
LEARNED = ("songs", "artists", "user_own", "playlist_own")


def first_state(
    rows: Feature,
    of_taste: Feature,
    settings: TrainSettings,
    taste: TasteBasis,
    likes: TasteBasis,
    playlists: tuple[Array, Array] | None = None,
) -> dict[str, Array]:
    """The state before the first step, as HybridBackend.state gives it.

    rows, of_taste: the song sets, weighed for likes and for the taste. taste, likes: what songs and artists add to the
    two parts of a factor; the taste stays as it is. playlists: rows int64 (n,) and their likes float32 (n, d likes) to
    begin with, which their own factors add to what their songs sum up to; None: all begin as their songs put them.
    """
    width, end = taste_dimensions(settings), likes_end(settings)
    weight = np.float32(np.sqrt(settings.taste_weight))
    vectors = of_taste.vectors(taste.songs, taste.artists)
    values = {"songs": likes.songs, "artists": likes.artists}
    # Kept for those who come later: their tastes are sums of the same songs.
    values |= {"taste_songs": taste.songs, "taste_artists": taste.artists}
    for part, name in ((USERS, "user"), (PLAYLISTS, "playlist")):
        factors = np.zeros((rows.sets.parts[part].rows, settings.dimension), np.float32)
        factors[:, :width] = weight * unit(of_taste.rows(part, vectors))
        values[f"{name}_factors"] = factors
        # Zeros, not random: rows differ by their songs already, and one without likes stays where its songs put it.
        values[f"{name}_own"] = np.zeros((len(factors), end - width), np.float32)
    if end < settings.dimension:
        of_users, of_playlists = values["user_factors"], values["playlist_factors"]
        of_users[:, -1], of_playlists[:, -1] = hub_dimension(
            of_users[:, :width], of_playlists[:, :width], settings.seed
        )
    if playlists is not None:
        known, wanted = playlists
        summed = rows.rows(PLAYLISTS, rows.vectors(likes.songs, likes.artists))
        values["playlist_own"][known] = wanted - summed[known]
    for name in LEARNED:
        values[f"{name}.mean"] = np.zeros_like(values[name])
        values[f"{name}.square"] = np.zeros_like(values[name])
    materialise(rows, values, width, end)
    return values


def materialise(rows: Feature, values: Mapping[str, Array], first: int, last: int) -> None:
    """Write the likes of every user and playlist, songs and artists and own factor, into the dimensions first..last."""
    vectors = rows.vectors(values["songs"], values["artists"])
    for part, name in ((USERS, "user"), (PLAYLISTS, "playlist")):
        likes = rows.rows(part, vectors)
        likes += values[f"{name}_own"]
        values[f"{name}_factors"][:, first:last] = likes


def taste_dimensions(settings: TrainSettings) -> int:
    """The number of a factor's dimensions that hold the taste; at least one is left to the likes."""
    return min(round(settings.taste_share * settings.dimension), settings.dimension - 1)


def likes_end(settings: TrainSettings) -> int:
    """The first dimension behind those of the likes: the last one, which lowers hubs, where there is one."""
    taste = taste_dimensions(settings)
    return settings.dimension - int(settings.lower_hubs and 0 < taste < settings.dimension - 1)
