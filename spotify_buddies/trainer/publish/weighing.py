"""What a trained model ranks and finds with: weights of taste and likes, then the blend with what else is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages.progress import Progress, silent
from spotify_buddies.trainer.bundle import SongFactors
from spotify_buddies.trainer.bundle.nearest_index import NearestIndex
from spotify_buddies.trainer.candidates.find import Candidates
from spotify_buddies.trainer.candidates.nearest import Nearest, retrieval_scale
from spotify_buddies.trainer.dataset.table import SIMULATED, Dataset
from spotify_buddies.trainer.models.blend.fit import Blend, fit_blend
from spotify_buddies.trainer.models.blend.fold import BIAS
from spotify_buddies.trainer.models.hybrid.state import likes_end
from spotify_buddies.trainer.models.hybrid.trust import choose_trust, count_likes, fold, fold_songs
from spotify_buddies.trainer.models.items.choose import fit_item_models
from spotify_buddies.trainer.models.items.item_model import ItemModel
from spotify_buddies.trainer.models.model import Model
from spotify_buddies.trainer.models.warm.warm import Warm
from spotify_buddies.trainer.settings import CandidateSettings, TrainSettings

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Ranking:
    """A model as it ranks. taste: how many of its first dimensions hold the taste.

    songs: factors of songs that add up to its users; None where it has none. scale float32 (d,): as
    Bundle.retrieval_scale. facts: for the manifest. notes: for people.
    """

    model: Model
    songs: SongFactors | None
    scale: Array
    taste: int
    facts: Mapping[str, Any]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Blended:
    """A ranking with its candidates. rows (U, P): values are the offsets, None without any. index: of the scale."""

    ranking: Ranking
    rows: Csr
    index: NearestIndex | None


def weigh(
    data: Dataset,
    model: Model,
    songs: SongFactors | None,
    taste: int,
    settings: TrainSettings,
    candidates: CandidateSettings,
) -> Ranking:
    """Weigh likes against the taste for ranking, where the likes are simulated and the model has both.

    Of real follows the blend weighs them, and with pairing_only the model ranks as it was trained. Finding is weighed
    by [candidates] likes_scale, whatever ranking does.
    """
    scale = retrieval_scale(settings, candidates)
    if not taste or songs is None or data.labels != SIMULATED or candidates.pairing_only:
        return Ranking(model, songs, scale, taste, {})
    likes = slice(taste, likes_end(settings))
    trust = choose_trust(data, model, likes)
    note = f"likes: those of a user with n of them count n^2 / (n^2 + {trust.likes:g}^2) beside the taste"
    facts = {"trust": {"likes": trust.likes, "mrr": {f"{k:g}": list(v) for k, v in trust.by_likes.items()}}}
    folded = fold(model, likes, trust.of(count_likes(data)))
    return Ranking(folded, fold_songs(songs, trust), scale, taste, facts, (note,))


def blend(
    data: Dataset,
    ranking: Ranking,
    found: Candidates,
    settings: TrainSettings,
    candidates: CandidateSettings,
    progress: Progress = silent,
    warm: Warm | None = None,
) -> Blended:
    """Blend the model with item models, popularity, owners and freshness, where held-out follows rank better by it.

    Simulated likes blend nothing: they follow short playlists, and so does the popularity that is counted of them. On
    the real sample it more than doubled the likes that are found, and showed a fifth of the catalogue (docs/adr/0020).
    warm: what a retraining adds.
    """
    if settings.blend == "none" or candidates.pairing_only:
        return Blended(ranking, found.rows, found.index)
    if data.labels == SIMULATED:
        notes = (*ranking.notes, "ranking: the model alone, since simulated likes say nothing of popularity or owners")
        return Blended(replace(ranking, notes=notes), found.rows, found.index)
    items, later = dict(fit_item_models(data, settings, progress)), dict[str, ItemModel]()
    if warm is not None and ranking.taste:
        taste = np.asarray(ranking.model.user_factors)[:, : ranking.taste]
        items |= warm.item_models(taste)
        later = warm.later_models(taste)
    made = fit_blend(
        data, ranking.model, found.rows,
        item_model=items, later=later, taste_dims=ranking.taste, seed=settings.seed, progress=progress,
    )  # fmt: skip
    facts, notes = {**ranking.facts, "blend": made.report.to_json()}, (*ranking.notes, *made.report.lines())
    if not made.weights:
        return Blended(replace(ranking, facts=facts, notes=notes), found.rows, found.index)
    rows = found.rows if made.offsets is None else replace(found.rows, values=made.offsets)
    times = _times(ranking.model.user_factors, made.model.user_factors, ranking.taste)
    scale = _wider(ranking.scale, times, ranking.taste, made.model.user_factors.shape[1])
    folded = replace(
        ranking, model=made.model, scale=scale, facts=facts, notes=notes,
        songs=None if ranking.songs is None else _with_tail(ranking.songs, times, made),
    )  # fmt: skip
    return Blended(folded, rows, _index(folded, found, candidates))


def _times(before: Array, after: Array, taste: int) -> tuple[float, float]:
    """How much longer the taste and the likes of users have become, at the median.

    1 where a blend leaves a part out: users have zeros there, and tastes given at run time are ranked and found by it.
    """
    own = before.shape[1]
    return _longer(before[:, :taste], after[:, :taste]), _longer(before[:, taste:], after[:, taste:own])


def _longer(before: Array, after: Array) -> float:
    lengths = np.linalg.norm(before, axis=1)
    some = lengths > 0
    longer = float(np.median(np.linalg.norm(after[some], axis=1) / lengths[some])) if some.any() else 1.0
    return longer or 1.0


def _wider(scale: Array, times: tuple[float, float], taste: int, dimension: int) -> Array:
    """The same weights of finding for factors that have become longer and wider; what was added finds nothing."""
    wider = np.zeros(dimension, np.float32)
    for part, longer in zip((slice(0, taste), slice(taste, scale.size)), times, strict=True):
        wider[part] = scale[part] / longer
    return wider


def _with_tail(songs: SongFactors, times: tuple[float, float], made: Blend) -> SongFactors:
    """Songs that add up to a factor as long and as wide as the users': nothing of item models, all of the biases."""
    tail = np.zeros(made.model.user_factors.shape[1] - songs.dimension, np.float32)
    if (bias := made.blocks.get(BIAS)) is not None:
        tail[bias.start - songs.dimension : bias.stop - songs.dimension] = 1.0
    return replace(
        songs,
        taste_length=(songs.taste_length * times[0]).astype(np.float32),
        likes_scale=np.array([times[1]], np.float32),
        tail=tail,
    )


def _index(ranking: Ranking, found: Candidates, settings: CandidateSettings) -> NearestIndex | None:
    """The index once more where there is one: owners' tastes may have been added to the playlists'."""
    if found.index is None:
        return None
    users, playlists = ranking.model.user_factors, ranking.model.playlist_factors
    return Nearest.of(playlists, ranking.scale, users, exact_cells=settings.exact_cells).index
