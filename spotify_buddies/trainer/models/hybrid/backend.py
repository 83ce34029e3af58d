"""The hybrid model as a backend of the training loop.

A factor has two parts, whose scores add up. Taste: a map of song sets at length 1, learned without likes and then
fixed (trainer.models.hybrid.learned; or their SVD). Likes: the scaled sum of
song and artist factors and a factor of its own, learned by BPR on top of the taste's scores. The taste has dimensions
of its own because likes that were made from song overlap would bend it: learned in the same dimensions, likes gained
what people's own playlists lost.

Learning song factors triplet by triplet would touch some two hundred rows each time. So the gradients of many triplets
are gathered by user and playlist first and passed on to songs and artists at once, followed by one step of Adam: a step
costs two passes over the song sets, however many triplets it has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.stages.blocks import processors
from spotify_buddies.foundation.stages.progress import Progress, silent
from spotify_buddies.trainer.models.hybrid.kernels import (
    Learned,
    adam,
    playlist_gradients,
    push_triplets,
    user_gradients,
)
from spotify_buddies.trainer.models.hybrid.learned import learn_taste
from spotify_buddies.trainer.models.hybrid.songs import Feature, SongSets, feature, in_blocks
from spotify_buddies.trainer.models.hybrid.state import (
    PLAYLISTS,
    USERS,
    first_state,
    likes_end,
    materialise,
    taste_dimensions,
)
from spotify_buddies.trainer.models.hybrid.taste import TasteBasis, artist_gradient, fit_taste, give_back
from spotify_buddies.trainer.models.model import Model
from spotify_buddies.trainer.models.order import TripletSource
from spotify_buddies.trainer.settings import TrainSettings

Array = npt.NDArray[Any]

# The likes start as the taste's singular vectors, at this weight; 30 was no better on a real sample, in the end.
START_WEIGHT = 10.0


class HybridBackend:
    """Factors of songs and artists and those of users and playlists alone, Adam's moments, and the sums of all.

    state: empty to begin with, else what `state` returned. The result does not depend on the number of threads.
    """

    def __init__(
        self,
        settings: TrainSettings,
        rate: float,
        decay: float,
        sets: SongSets,
        state: Mapping[str, Array],
        progress: Progress = silent,
    ) -> None:
        self._rate, self._decay, self._batch = rate, decay, settings.hybrid_batch
        self._feature = feature(sets, settings.artist_weight)
        self._taste, self._end = taste_dimensions(settings), likes_end(settings)
        # The state is the caller's: it is copied, since steps are taken out of it below.
        self._values = dict(state) or start_state(self._feature, settings, progress)
        self._steps = int(self._values.pop("steps", np.zeros(1, np.int64))[0])

    def step(self, triplets: Array) -> float:
        """One step of Adam on the mean loss of the triplets int32 (n, 3); their summed loss. None of them: no step."""
        return self._learn([triplets])

    def epoch(self, source: TripletSource, seed: int, number: int) -> Iterator[tuple[float, int]]:
        """A step for every `hybrid_batch` triplets, and one for what is left."""
        for blocks in batches(source.blocks(seed, number), self._batch):
            yield self._learn(blocks), sum(map(len, blocks))

    def _learn(self, blocks: list[Array]) -> float:
        values = self._values
        count = np.float32(sum(map(len, blocks)))
        if not count:
            return 0.0
        gradients = {name: np.zeros_like(values[name]) for name in ("user_own", "playlist_own")}
        loss = 0.0
        for block in blocks:
            loss += self._gather(block, gradients)
        songs = np.zeros_like(values["songs"])
        for part, name in ((USERS, "user_own"), (PLAYLISTS, "playlist_own")):
            gradients[name] /= count
            give_back(self._feature, part, gradients[name], songs)
        self._steps += 1
        self._move("artists", artist_gradient(self._feature, songs))
        self._move("songs", songs, self._feature.song_weights)
        for name, gradient in gradients.items():
            self._move(name, gradient, decay=self._decay)
        materialise(self._feature, values, self._taste, self._end)
        return loss

    def _gather(self, block: Array, gradients: Mapping[str, Array]) -> float:
        """Add the gradients of a block by user and playlist; its summed loss."""
        users, playlists = self._values["user_factors"], self._values["playlist_factors"]
        pushes = np.empty(len(block), np.float32)
        with ThreadPoolExecutor(processors()) as pool:
            half = len(block) // 2  # on every machine: a sum of losses differs with its parts
            parts = ((block[:half], pushes[:half]), (block[half:], pushes[half:]))
            loss: float = sum(pool.map(lambda part: push_triplets(part[0], users, playlists, part[1]), parts))
            # They write to different arrays, so the two need neither a lock nor an order.
            done = (
                pool.submit(user_gradients, block, pushes, playlists, self._taste, gradients["user_own"]),
                pool.submit(playlist_gradients, block, pushes, users, self._taste, gradients["playlist_own"]),
            )
            for future in done:
                future.result()
        return loss

    def _move(self, name: str, gradient: Array, weights: Array | None = None, decay: float = 0.0) -> None:
        values = self._values
        scale = np.ones(len(gradient), np.float32) if weights is None else weights
        table = Learned(values[name], values[f"{name}.mean"], values[f"{name}.square"])
        in_blocks(len(gradient), lambda a, b: adam(a, b, table, gradient, scale, decay, self._rate, self._steps))

    def model(self) -> Model:
        """The factors, not copied: the taste's dimensions first, then those of the likes, then that of hubs."""
        return Model(self._values["user_factors"], self._values["playlist_factors"])

    def state(self) -> dict[str, Array]:
        """Factors, their summands, the taste's among them, Adam's moments and its number of steps."""
        return {**self._values, "steps": np.array([self._steps], np.int64)}


def batches(blocks: Iterator[Array], least: int) -> Iterator[list[Array]]:
    """Blocks of triplets in lists of `least` triplets or a little more, as blocks stay whole; the last has the rest."""
    waiting: list[Array] = []
    for block in blocks:
        waiting.append(block)
        if sum(map(len, waiting)) >= least:
            yield waiting
            waiting = []
    if waiting:
        yield waiting


def start_state(rows: Feature, settings: TrainSettings, progress: Progress = silent) -> dict[str, Array]:
    """The state before the first step, from song sets as they are weighed for likes."""
    of_taste = feature(rows.sets, settings.taste_artist_weight)
    fixed, leading = first_factors(of_taste, settings, progress)
    root = np.float32(np.sqrt(START_WEIGHT))
    return first_state(rows, of_taste, settings, fixed, TasteBasis(leading.songs * root, leading.artists * root))


def first_factors(rows: Feature, settings: TrainSettings, progress: Progress = silent) -> tuple[TasteBasis, TasteBasis]:
    """What songs and artists add to a taste, for good, and what they add to the likes at first."""
    taste = taste_dimensions(settings)
    likes = likes_end(settings) - taste
    if settings.taste == "learned":
        learned = learn_taste(rows, taste, likes, settings.seed, progress)
        return learned.taste, learned.leading
    basis = fit_taste(rows, max(taste, likes), settings.seed, progress)
    return basis.first(taste), basis.first(likes)
