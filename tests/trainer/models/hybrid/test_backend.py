"""The hybrid model: one step worked out densely, resume, threads, and factors for those without triplets."""

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.dataset.table import open_dataset
from spotify_buddies.trainer.metrics.ranking import FactorScorer, ranks, summarise
from spotify_buddies.trainer.models.backends import recipe
from spotify_buddies.trainer.models.fit import fit
from spotify_buddies.trainer.models.hybrid.backend import HybridBackend
from spotify_buddies.trainer.models.hybrid.songs import SongSets
from spotify_buddies.trainer.models.hybrid.state import likes_end, taste_dimensions
from spotify_buddies.trainer.models.model import TrainingError, Validation
from spotify_buddies.trainer.models.order import part_of
from spotify_buddies.trainer.models.train import patience_of, train, training_key
from spotify_buddies.trainer.settings import TrainSettings

SETTINGS = TrainSettings(dimension=6, taste_share=0.5, seed=3, lower_hubs=False)
TRIPLETS = np.array([[0, 0, 1], [1, 1, 2], [0, 0, 2], [2, 2, 0]], np.int32)
SETS = SongSets(
    Csr.from_rows([[0, 1, 4], [1, 2], [3, 4, 5], [0, 5]], 6),
    Csr.from_rows([[0, 1, 2], [2, 3], [3, 4, 5]], 6),
    np.array([0, 0, 1, 1, 2, -1], np.int32),
)


class _Blocks:
    """Three blocks of two triplets."""

    def __len__(self):
        return 6

    def blocks(self, seed, epoch):
        yield from (TRIPLETS[:2], TRIPLETS[2:], TRIPLETS[:2])

    def seen(self):
        raise AssertionError("not asked for")


def _open(settings=SETTINGS, rate=0.01):
    return HybridBackend(settings, rate, 0.0, SETS, {})


def _dense(backend, part):
    """The songs and artists of every row of a part, and the weights of their factors, as matrices."""
    rows = backend._feature
    binary = SETS.parts[part].to_scipy().toarray().astype(np.float64)
    artists = np.zeros((6, 3))
    artists[np.arange(5), SETS.artist[:5]] = 1
    scaled = rows.scales[part][:, None] * binary
    return scaled * rows.song_weights, (scaled @ artists) * rows.artist_weights


def test_a_step_is_adam_on_the_gradient_of_the_mean_loss():
    backend = _open()
    before = {name: array.copy() for name, array in backend.state().items()}
    loss = backend.step(TRIPLETS)
    users, playlists = before["user_factors"].astype(np.float64), before["playlist_factors"].astype(np.float64)
    u, p, n = TRIPLETS.T
    margin = np.einsum("ij,ij->i", users[u], playlists[p] - playlists[n])
    assert loss == pytest.approx(np.log1p(np.exp(-margin)).sum(), rel=1e-5)
    push = 1 / (1 + np.exp(margin)) / len(TRIPLETS)
    by_user, by_playlist = np.zeros((4, 3)), np.zeros((3, 3))
    np.add.at(by_user, u, -push[:, None] * (playlists[p] - playlists[n])[:, 3:])
    np.add.at(by_playlist, p, -push[:, None] * users[u][:, 3:])
    np.add.at(by_playlist, n, push[:, None] * users[u][:, 3:])
    expected = {"user_own": by_user, "playlist_own": by_playlist}
    songs, artists = zip(*(_dense(backend, part) for part in (0, 1)), strict=True)
    expected["songs"] = songs[0].T @ by_user + songs[1].T @ by_playlist
    expected["artists"] = artists[0].T @ by_user + artists[1].T @ by_playlist
    after = backend.state()
    for name, gradient in expected.items():
        # Adam's means after one step are a tenth of the gradient and a thousandth of its square.
        assert after[f"{name}.mean"] == pytest.approx(0.1 * gradient, rel=1e-3, abs=1e-7), name
        # So the first step moves every number by the learning rate, against its gradient.
        clear = np.abs(gradient) > 1e-4
        moved = (after[name] - before[name])[clear]
        assert moved == pytest.approx(-0.01 * np.sign(gradient[clear]), rel=1e-2), name
    assert (after["user_factors"][:, :3] == before["user_factors"][:, :3]).all()


def test_decay_pulls_own_factors_of_trained_rows_towards_zero():
    free, held = _open(rate=0.05), HybridBackend(SETTINGS, 0.05, 0.05, SETS, {})
    for _ in range(30):
        free.step(TRIPLETS)
        held.step(TRIPLETS)
    for name in ("user_own", "playlist_own"):
        assert 0 < np.linalg.norm(held.state()[name]) < np.linalg.norm(free.state()[name])
    assert not held.state()["user_own"][3].any()


def test_factors_are_taste_at_its_weight_then_songs_artists_and_the_own_part():
    backend = _open()
    backend.step(TRIPLETS)
    state, model = backend.state(), backend.model()
    assert np.linalg.norm(model.user_factors[:, :3], axis=1) == pytest.approx([np.sqrt(40)] * 4, rel=1e-5)
    for part, name in ((0, "user"), (1, "playlist")):
        songs, artists = _dense(backend, part)
        likes = songs @ state["songs"] + artists @ state["artists"] + state[f"{name}_own"]
        assert getattr(model, f"{name}_factors")[:, 3:] == pytest.approx(likes, abs=1e-5)


def test_artists_count_in_the_taste_by_a_weight_of_its_own():
    plain, taste, likes = (
        _open(SETTINGS.model_copy(update=change))
        for change in ({}, {"taste_artist_weight": 2.0}, {"artist_weight": 2.0})
    )
    own = {"songs": np.eye(6, 3, dtype=np.float32), "artists": np.ones((3, 3), np.float32)}
    assert plain._feature.vectors(**own) == pytest.approx(taste._feature.vectors(**own))
    assert plain._feature.vectors(**own) != pytest.approx(likes._feature.vectors(**own))
    of_taste = [one.model().user_factors[:, :3] for one in (plain, taste, likes)]
    # Of the taste only cosines mean anything: a basis may be turned.
    cosines = [rows @ rows.T for rows in of_taste]
    assert cosines[0] == pytest.approx(cosines[2], abs=1e-3)
    assert np.abs(cosines[0] - cosines[1]).max() > 0.5


def test_the_last_dimension_lowers_hubs_and_likes_leave_it_alone():
    settings = SETTINGS.model_copy(update={"lower_hubs": True})
    assert (likes_end(settings), likes_end(SETTINGS)) == (5, 6)
    assert likes_end(settings.model_copy(update={"taste_share": 0.0})) == 6
    backend = _open(settings)
    before = backend.model()
    taste = before.user_factors[:, :3] @ before.playlist_factors[:, :3].T
    loss = before.playlist_factors[:, 5].copy()
    assert loss == pytest.approx(-taste.mean(axis=0) / 2, abs=1e-4)  # of four people all are among the nearest
    backend.step(TRIPLETS)
    after = backend.model()
    assert after.user_factors[:, 5].tolist() == [1] * 4
    assert after.playlist_factors[:, 5].tobytes() == loss.tobytes()
    assert after.user_factors[:, 3:5].any()
    assert backend.state()["songs"].shape == (6, 2)


def test_steps_lower_the_loss():
    backend = _open(rate=0.05)
    losses = [backend.step(TRIPLETS) for _ in range(40)]
    assert losses[-1] < 0.5 * losses[0]


def test_who_is_in_no_triplet_has_a_factor_of_songs_alone():
    backend = _open()
    backend.step(TRIPLETS)
    assert not backend.state()["user_own"][3].any()
    assert backend.model().user_factors[3, 3:].any()


def test_the_number_of_threads_changes_nothing(monkeypatch):
    found = []
    for threads in (1, 3):
        monkeypatch.setattr("spotify_buddies.trainer.models.hybrid.backend.processors", lambda threads=threads: threads)
        backend = _open()
        backend.step(TRIPLETS)
        found.append({name: array.tobytes() for name, array in backend.state().items()})
    assert found[0] == found[1]


@pytest.mark.parametrize(("share", "dimension", "expected"), [(0.0, 6, 0), (0.5, 6, 3), (0.99, 6, 5), (0.5, 1, 0)])
def test_taste_leaves_the_likes_a_dimension(share, dimension, expected):
    settings = TrainSettings(taste_share=share, dimension=dimension)
    assert taste_dimensions(settings) == expected
    assert np.isfinite(_open(settings).step(TRIPLETS))


def test_an_epoch_steps_every_so_many_triplets_and_once_for_the_rest():
    backend = _open(SETTINGS.model_copy(update={"hybrid_batch": 3}))
    assert [count for _, count in backend.epoch(_Blocks(), 1, 1)] == [4, 2]
    assert backend.state()["steps"].tolist() == [2]


def test_without_song_sets_the_hybrid_model_is_refused(tmp_path):
    empty = Validation(np.empty((0, 4), np.int32), np.empty((0, 4), np.int32))
    with pytest.raises(ValueError, match="needs song sets"):
        train(TRIPLETS, empty, 4, 3, SETTINGS, tmp_path, key="k")


def test_an_interrupted_training_ends_with_the_same_factors(planted, tmp_path):
    data = open_dataset(planted.dataset)
    settings = TrainSettings(dimension=8, epochs=5, hybrid_batch=2_000, seed=2, triplets="file")
    key = training_key(data.fingerprint, settings)
    whole = fit(data, settings, tmp_path / "whole", key=key)

    def stop(report):
        if report.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(data, settings, tmp_path / "cut", key=key, on_epoch=stop)
    again = fit(data, settings, tmp_path / "cut", key=key)
    assert again.user_factors.tobytes() == whole.user_factors.tobytes()
    assert again.playlist_factors.tobytes() == whole.playlist_factors.tobytes()


def test_it_learns_the_planted_taste_and_knows_cold_users(planted, tmp_path):
    data = open_dataset(planted.dataset)
    settings = TrainSettings(dimension=16, epochs=10)
    model = fit(data, settings, tmp_path, key=training_key(data.fingerprint, settings))
    assert summarise(ranks(np.asarray(data.test), FactorScorer(model)))["mrr"] > 0.9
    cold = np.flatnonzero(np.asarray(data.user_kind) == 2)
    scores = model.user_factors[cold] @ model.playlist_factors.T
    own_genre = cold[:, None] % 6 == np.arange(data.playlists) % 6
    assert scores[own_genre].mean() - scores[~own_genre].mean() > 1


def test_a_step_that_is_too_long_stops_with_advice(planted, tmp_path):
    data = open_dataset(planted.dataset)
    settings = TrainSettings(dimension=8, epochs=5, hybrid_batch=500, learning_rate=1e5)
    with pytest.raises(TrainingError, match=r"lower \[train\] learning_rate"):
        fit(data, settings, tmp_path, key=training_key(data.fingerprint, settings))


@pytest.mark.parametrize(
    ("triplets", "most", "patience", "expected"),
    [
        (300, 64_000_000, 5, 5),  # one step an epoch
        (8_000_000, 64_000_000, 5, 5),
        (8_000_001, 64_000_000, 5, 30),  # two steps
        (24_000_000, 64_000_000, 5, 20),  # three steps
        (885_000_000, 64_000_000, 5, 8),  # eight steps: seven epochs are 56
        (885_000_000, 64_000_000, 9, 9),
        (885_000_000, 885_000_000, 5, 5),
    ],
)
def test_the_hybrid_model_stops_after_sixty_steps_without_a_better_mrr_where_an_epoch_has_several(
    triplets, most, patience, expected
):
    settings = TrainSettings(patience=patience, epoch_triplets=most)
    source = _Sized(triplets, most)
    assert patience_of(settings, source) == expected
    assert patience_of(settings.model_copy(update={"model": "bpr"}), source) == patience


class _Sized:
    """So many triplets, of which nothing else is asked."""

    def __init__(self, triplets, most):
        self._sizes = triplets, most

    def part(self, epoch):
        return part_of(*self._sizes, epoch)


def test_the_recipe_of_the_hybrid_model():
    chosen = recipe(TrainSettings())
    assert (chosen.backend, chosen.learning_rate, chosen.regularisation) == ("hybrid", 0.005, 0.0)
