"""The reactions of a user to a list: likes for what is to the user's taste, and now and then for something else.

The position-based model (Richardson and others 2007, Craswell and others 2008): liked = looked at and to the taste,
where looking depends on the rank alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spotify_buddies.clients.simulate.audience import SimulatedUser


@dataclass(frozen=True)
class Clicks:
    """Probabilities. p_true: of liking a looked at playlist of the test likes; p_noise: any other.

    A playlist of rank r, from 1, is looked at with r ** -falling.
    """

    p_true: float = 0.8
    p_noise: float = 0.02
    falling: float = 0.5

    def like(self, user: SimulatedUser, playlist_ids: Sequence[str], rng: np.random.Generator) -> list[str]:
        """The playlists of a list that the user likes, best first; the same draws for lists of the same length."""
        ranks = np.arange(1, len(playlist_ids) + 1)
        looked = rng.random(len(playlist_ids)) < ranks**-self.falling
        wanted = np.array([self.p_true if name in user.likes else self.p_noise for name in playlist_ids])
        liked = looked & (rng.random(len(playlist_ids)) < wanted)
        return [name for name, yes in zip(playlist_ids, liked, strict=True) if yes]
