"""A blend for a data set: what is chosen, and that nothing changes where nothing is known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.dataset.table import IN_TRAIN, IN_VALIDATION, WARM, open_dataset, train_likes
from spotify_buddies.trainer.models.blend.fit import fit_blend
from spotify_buddies.trainer.models.items.als import fit_als
from spotify_buddies.trainer.models.items.choose import fit_item_models
from spotify_buddies.trainer.models.items.ease import fit_ease
from spotify_buddies.trainer.models.model import Model, initial_model
from spotify_buddies.trainer.settings import TrainSettings

USERS, PLAYLISTS, GROUP = 240, 40, 10


def dataset(labels: str = "follows", held_out: int = 1) -> Any:
    """Four groups of ten playlists; a user likes six of one group, of which the last `held_out` are for validation."""
    chance = np.random.default_rng(2)
    rows = [chance.choice(GROUP, 6, replace=False) + GROUP * (user % 4) for user in range(USERS)]
    use = np.full((USERS, 6), IN_TRAIN, np.uint8)
    use[:, 6 - held_out :] = IN_VALIDATION
    split = use.ravel()
    liked = Csr.from_rows(rows, PLAYLISTS)
    data = SimpleNamespace(
        users=USERS,
        playlists=PLAYLISTS,
        labels=labels,
        feedback_alone=False,
        liked=liked,
        split=split,
        user_kind=np.full(USERS, WARM, np.uint8),
        owner=np.full(PLAYLISTS, -1, np.int32),
        playlist_songs=Csr.from_rows([[p] for p in range(PLAYLISTS)], PLAYLISTS),
    )
    data.count_train_likes = lambda: liked.column_counts(lambda span: split[span] == IN_TRAIN)
    return data


def candidates(data: Any) -> Csr:
    """All that a user does not like in training, in an order of no meaning."""
    likes = train_likes(data)
    chance = np.random.default_rng(6)
    return Csr.from_rows(
        [chance.permutation(np.setdiff1d(np.arange(PLAYLISTS), likes.row(user))) for user in range(USERS)], PLAYLISTS
    )


def blind(dimension: int = 4) -> Model:
    """Factors that know nothing of the likes."""
    chance = np.random.default_rng(9)
    return Model(*(chance.standard_normal((n, dimension)).astype(np.float32) for n in (USERS, PLAYLISTS)))


def test_an_item_model_that_knows_more_is_blended_in_and_the_scores_are_product_plus_offset() -> None:
    data = dataset()
    rows = candidates(data)
    ease = fit_ease(train_likes(data), regularisation=5)
    blend = fit_blend(data, blind(), rows, item_model={"ease": ease}, taste_dims=2, seed=1)
    assert blend.report.chosen == "blend"
    assert blend.report.ndcg["blend"] > blend.report.ndcg["model"] + 0.2
    assert blend.offsets is not None
    assert (blend.offsets.shape, blend.offsets.dtype) == ((rows.nnz,), np.float32)
    user = 7
    span = slice(int(rows.indptr[user]), int(rows.indptr[user + 1]))
    scores = blend.model.playlist_factors[rows.row(user)] @ blend.model.user_factors[user] + blend.offsets[span]
    best = rows.row(user)[np.argsort(-scores)[:5]]
    assert set(best // GROUP) == {user % 4}


def test_the_taste_stays_in_the_first_dimensions() -> None:
    data = dataset()
    ease = fit_ease(train_likes(data), regularisation=5)
    blend = fit_blend(data, blind(), candidates(data), item_model=ease, taste_dims=2, seed=1)
    assert blend.blocks["taste"] == slice(0, 2)
    np.testing.assert_array_equal(blend.model.playlist_factors[:, :2], blind().playlist_factors[:, :2])


def test_factors_alone_need_no_offsets() -> None:
    data = dataset()
    als = fit_als(train_likes(data), dimension=4, regularisation=1, seed=1)
    blend = fit_blend(data, blind(), candidates(data), item_model={"als": als}, taste_dims=2, seed=1)
    assert (blend.report.chosen, blend.offsets) == ("blend", None)
    assert blend.blocks["als"].stop - blend.blocks["als"].start == 4


def test_where_nothing_is_better_the_model_stays_as_it_was() -> None:
    data = dataset()
    likes = fit_als(train_likes(data), dimension=8, regularisation=1, seed=1).factors()
    blend = fit_blend(data, likes, candidates(data), seed=1)
    assert (blend.report.chosen, blend.offsets, dict(blend.weights)) == ("model", None, {})
    assert blend.model is likes
    assert "not clearly better" in blend.report.why


def test_too_few_held_out_likes_leave_the_model_alone() -> None:
    data = dataset(held_out=0)
    blend = fit_blend(data, blind(), candidates(data), seed=1)
    assert blend.report.chosen == "model"
    assert "0 held-out likes" in blend.report.why


def test_the_report_says_what_each_part_is_worth() -> None:
    data = dataset()
    ease = fit_ease(train_likes(data), regularisation=5)
    blend = fit_blend(data, blind(), candidates(data), item_model={"ease": ease}, taste_dims=2, seed=1)
    gains = {part.name: part.gain for part in blend.report.parts}
    assert max(gains, key=lambda name: gains[name]) == "ease"
    assert any("ease: weight" in line for line in blend.report.lines())
    assert blend.report.calibration is not None
    assert blend.report.calibration.slope > 0


def test_the_same_seed_gives_the_same_blend() -> None:
    data = dataset()
    ease = fit_ease(train_likes(data), regularisation=5)
    first, second = (
        fit_blend(data, blind(), candidates(data), item_model={"ease": ease}, taste_dims=2, seed=1) for _ in range(2)
    )
    assert first.report == second.report
    assert first.model.user_factors.tobytes() == second.model.user_factors.tobytes()


def test_simulated_likes_get_no_item_model_and_follows_do() -> None:
    settings = TrainSettings()
    assert fit_item_models(dataset("simulated"), settings) == {}
    assert list(fit_item_models(dataset(), settings)) == ["ease", "balanced", "walks", "als"]
    assert list(fit_item_models(dataset(), settings.model_copy(update={"item_model": "elsa"}))) == ["elsa", "als"]
    assert fit_item_models(dataset(), settings.model_copy(update={"item_model": "none"})) == {}


def test_a_finished_data_set_with_owners_and_cold_users_is_blended(planted: Any) -> None:
    data = open_dataset(planted.dataset)
    rows = Csr.from_rows(
        [np.setdiff1d(np.arange(data.playlists), train_likes(data).row(u)) for u in range(data.users)], data.playlists
    )
    items = {"ease": fit_ease(train_likes(data), songs=data.playlist_songs)}
    unlearned = initial_model(data.users, data.playlists, 6, seed=1)
    blend = fit_blend(data, unlearned, rows, item_model=items, taste_dims=3, seed=1)
    assert blend.report.chosen == "blend"
    assert {"owner", "ease", "popularity"} <= {part.name for part in blend.report.parts}
    assert blend.model.user_factors.shape[0] == data.users
    assert np.isfinite(blend.model.user_factors).all()
    assert blend.offsets is not None
    assert np.isfinite(blend.offsets).all()
