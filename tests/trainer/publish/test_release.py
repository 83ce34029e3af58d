"""The whole of a training: from a finished data set and pairing to a registered version."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages.stage import StageError
from spotify_buddies.trainer.bundle import open_bundle
from spotify_buddies.trainer.bundle.scores import best_first
from spotify_buddies.trainer.bundle.sources import PAIRING, TASTE
from spotify_buddies.trainer.dataset.table import COLD, IN_TRAIN, open_dataset
from spotify_buddies.trainer.evaluation.evaluate import evaluate_bundle
from spotify_buddies.trainer.evaluation.served.protocol import version_metrics
from spotify_buddies.trainer.evaluation.served.ranker import MostLiked
from spotify_buddies.trainer.models.model import EpochReport, TrainingError
from spotify_buddies.trainer.publish.release import Release, train_and_release
from spotify_buddies.trainer.registry.mlflow_client import connect, default_uri
from spotify_buddies.trainer.registry.registry import Registry
from spotify_buddies.trainer.settings import CandidateSettings, RegistrySettings, TrainSettings

SETTINGS = TrainSettings(dimension=16, epochs=4, seed=7)


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def release(planted, state) -> Release:
    return train_and_release(planted.dataset, planted.pairing, state, SETTINGS)


def test_a_release_is_a_registered_version_behind_its_alias(release, state):
    registry = Registry(default_uri(state), RegistrySettings().model)
    found = registry.resolve("production")
    assert (found.number, found.run_id, found.bundle_sha256) == (release.version, release.run_id, release.bundle_sha256)
    assert found.metrics == release.evaluation.version_metrics()
    assert open_bundle(release.bundle_dir).sha256 == release.bundle_sha256


def test_a_planted_taste_is_learned_far_beyond_popularity(release):
    model, popularity = release.evaluation.metrics("model"), release.evaluation.metrics("popularity")
    assert model["test-random/mrr"] > 0.9
    assert model["test-random/mrr"] > popularity["test-random/mrr"] + 0.4


def test_the_run_holds_parameters_tags_epochs_and_artifacts(release, state):
    client = connect(default_uri(state))
    run = client.get_run(release.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["dimension"] == "16"
    assert run.data.params["backend"] == "hybrid"
    assert {run.data.tags[name] for name in ("mode", "run_type", "version")} == {"train", "full", release.version}
    assert run.data.tags["bundle_sha256"] == release.bundle_sha256
    assert "code_version" in run.data.tags
    losses = client.get_metric_history(release.run_id, "train/loss")
    assert [point.step for point in losses] == [1, 2, 3, 4]
    assert losses[-1].value < losses[0].value
    assert client.get_metric_history(release.run_id, "random/hit_at_5")
    names = {item.path for item in client.list_artifacts(release.run_id)}
    assert {"config.json", "evaluation.json", "manifest.json", f"bundle-{release.bundle_sha256[:12]}"} <= names


def test_nothing_changed_gives_the_same_version_again(release, planted, state):
    again = train_and_release(planted.dataset, planted.pairing, state, SETTINGS)
    assert (again.version, again.bundle_sha256) == (release.version, release.bundle_sha256)
    assert len(Registry(default_uri(state), RegistrySettings().model).list_versions()) == 1
    assert [path.name for path in (state / "train" / "bundle").iterdir()] == [release.bundle_sha256[:12]]


def test_the_same_seed_gives_the_same_bundle_and_another_seed_another(release, planted, mlflow_state):
    uri = default_uri(mlflow_state)
    same = train_and_release(planted.dataset, planted.pairing, mlflow_state / "a", SETTINGS, uri=uri)
    other = train_and_release(
        planted.dataset, planted.pairing, mlflow_state / "b", SETTINGS.model_copy(update={"seed": 8}), uri=uri
    )
    assert same.bundle_sha256 == release.bundle_sha256
    assert other.bundle_sha256 != release.bundle_sha256


def test_an_interrupted_training_goes_on_in_the_same_run_and_ends_with_the_same_bundle(release, planted, mlflow_state):
    def interrupt(report: EpochReport) -> None:
        if report.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_and_release(planted.dataset, planted.pairing, mlflow_state, SETTINGS, on_epoch=interrupt)
    client = connect(default_uri(mlflow_state))
    experiment = client.get_experiment_by_name(RegistrySettings().experiment)
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "KILLED"
    seen: list[int] = []
    resumed = train_and_release(
        planted.dataset, planted.pairing, mlflow_state, SETTINGS, on_epoch=lambda report: seen.append(report.epoch)
    )
    assert seen == [3, 4]
    assert resumed.run_id == run.info.run_id
    assert resumed.bundle_sha256 == release.bundle_sha256
    assert [point.step for point in client.get_metric_history(run.info.run_id, "train/loss")] == [1, 2, 3, 4]


def test_a_failed_training_is_a_failed_run_and_registers_nothing(planted, mlflow_state):
    wild = TrainSettings(dimension=8, epochs=2, learning_rate=1e6)
    with pytest.raises(TrainingError, match="learning_rate"):
        train_and_release(planted.dataset, planted.pairing, mlflow_state, wild)
    client = connect(default_uri(mlflow_state))
    experiment = client.get_experiment_by_name(RegistrySettings().experiment)
    assert [run.info.status for run in client.search_runs([experiment.experiment_id])] == ["FAILED"]
    assert Registry(default_uri(mlflow_state), RegistrySettings().model).list_versions() == []


def test_cold_listeners_take_the_taste_of_their_nearest(release):
    bundle = open_bundle(release.bundle_dir)
    cold = np.arange(19, 240, 20)
    scores = bundle.user_factors[cold] @ bundle.playlist_factors.T
    best = scores.argmax(axis=1)
    assert np.mean(best % 6 == cold % 6) > 0.9


def test_popular_playlists_come_by_training_likes_then_row(release, planted):
    bundle = open_bundle(release.bundle_dir)
    data = open_dataset(planted.dataset)
    likes = np.bincount(data.liked.indices[data.split == IN_TRAIN], minlength=data.playlists)
    expected = sorted(range(data.playlists), key=lambda row: (-likes[row], row))
    assert bundle.popular.tolist() == [row for row in expected if likes[row]]
    assert bundle.popular_scores.tolist() == [float(likes[row]) for row in bundle.popular]


def test_a_missing_title_becomes_empty(release):
    bundle = open_bundle(release.bundle_dir)
    assert [bundle.playlist_titles[row] for row in (2, 3)] == ["Mix №2", ""]


def test_toy_triplets_make_another_run_type(planted, mlflow_state):
    toy = train_and_release(
        planted.dataset, planted.pairing, mlflow_state, SETTINGS, run_type="toy", aliases=("staging",)
    )
    run = connect(default_uri(mlflow_state)).get_run(toy.run_id)
    assert (run.data.tags["run_type"], run.data.params["triplets"]) == ("toy", "600")
    assert Registry(default_uri(mlflow_state), RegistrySettings().model).resolve("staging").number == toy.version


def test_the_pairing_of_another_data_set_is_refused_before_anything_is_trained(planted, planted_anew, tmp_path):
    with pytest.raises(StageError, match=r"nearest: made from another '3-matrix' than that of .*buddies pair build"):
        train_and_release(planted.dataset, planted_anew.pairing, tmp_path, SETTINGS)
    assert not list(tmp_path.iterdir())


def test_the_same_settings_on_another_data_set_are_another_training(release, state, planted_anew, mlflow_state):
    shutil.copytree(state / "train", mlflow_state / "train")
    seen: list[int] = []
    anew = train_and_release(
        planted_anew.dataset,
        planted_anew.pairing,
        mlflow_state,
        SETTINGS,
        on_epoch=lambda report: seen.append(report.epoch),
    )
    assert seen == [1, 2, 3, 4]
    assert anew.bundle_sha256 != release.bundle_sha256


def test_a_bundle_is_evaluated_on_the_data_set_that_it_was_made_from(release, planted):
    again = evaluate_bundle(planted.dataset, open_bundle(release.bundle_dir))
    assert again.to_json() == release.evaluation.to_json()


def test_a_bundle_is_not_evaluated_on_a_data_set_of_the_same_sizes(release, planted_anew):
    with pytest.raises(StageError, match=r"the bundle .* was made from .*--dataset"):
        evaluate_bundle(planted_anew.dataset, open_bundle(release.bundle_dir))


def test_a_listener_without_likes_has_the_factor_of_the_songs(release, planted):
    bundle = open_bundle(release.bundle_dir)
    cold = np.flatnonzero(np.asarray(open_dataset(planted.dataset).user_kind) == COLD)
    assert cold.size > 5
    assert bundle.song_factors is not None
    summed = bundle.song_factors(bundle.user_songs.take(cold))
    np.testing.assert_allclose(summed, bundle.user_factors[cold], atol=0.01)
    assert np.abs(summed).max() > 1


def test_plain_bpr_has_no_song_factors_and_genres_all_the_same(planted, mlflow_state):
    plain = SETTINGS.model_copy(update={"model": "bpr"})
    bundle = open_bundle(train_and_release(planted.dataset, planted.pairing, mlflow_state, plain).bundle_dir)
    assert bundle.song_factors is None
    assert bundle.genre_popular.rows > 1
    assert (bundle.song_genres >= 0).all()


def test_genres_are_of_the_planted_tastes(release, planted):
    """Six tastes: songs of a genre are heard, for the most part, by listeners of one taste."""
    bundle = open_bundle(release.bundle_dir)
    songs = bundle.user_songs
    tastes = np.repeat(np.arange(songs.rows) % 6, songs.counts)
    votes = np.zeros((bundle.genre_popular.rows, 6))
    np.add.at(votes, (bundle.song_genres[songs.indices], tastes), 1)
    assert votes.max(axis=1).sum() > 0.7 * votes.sum()


def test_the_pairing_alone_gives_its_candidates_best_first_and_nothing_else(planted, mlflow_state):
    """As before there were other sources: the same rows and scores, and none of the files that came with them."""
    alone = CandidateSettings(pairing_only=True)
    release = train_and_release(planted.dataset, planted.pairing, mlflow_state, SETTINGS, candidates=alone)
    bundle = open_bundle(release.bundle_dir)
    paired = Csr.load(planted.pairing / "candidates", "candidates")
    wanted = best_first(paired, bundle.user_factors, bundle.playlist_factors).candidates
    for one, other in ((bundle.candidates.indptr, wanted.indptr), (bundle.candidates.indices, wanted.indices)):
        assert one.tolist() == other.tolist()
    assert bundle.candidates.values.tobytes() == wanted.values.tobytes()
    assert bundle.candidate_sources is None
    assert bundle.retrieval_scale is None
    assert bundle.playlist_songs is None


def test_the_pairing_is_a_source_of_a_model_without_a_taste(planted, mlflow_state):
    plain = TrainSettings(dimension=8, epochs=1, model="bpr", backend="numba")
    bundle = open_bundle(train_and_release(planted.dataset, planted.pairing, mlflow_state, plain).bundle_dir)
    assert {TASTE, PAIRING | TASTE} <= set(bundle.candidate_sources.tolist())
    assert bundle.retrieval_scale.tolist() == [1.0] * 8


def test_a_release_says_where_its_candidates_come_from(release, planted):
    bundle, data = open_bundle(release.bundle_dir), open_dataset(planted.dataset)
    assert bundle.candidate_sources is not None
    assert set(bundle.candidate_sources.tolist()) == {TASTE}
    assert bundle.retrieval_scale.tolist() == pytest.approx([1.0] * 8 + [0.1] * 7 + [1.0])
    assert bundle.playlist_songs.indices.tolist() == data.playlist_songs.indices.tolist()
    assert bundle.manifest.training["candidates"]["taste"] == CandidateSettings().taste


class Popular(MostLiked):
    """Stands for the engine, which trainer knows nothing of."""

    def offer_known(self, users, most):
        offered = Csr.from_rows([[0]] * users.size, 120)
        return offered, np.ones(offered.nnz, np.uint8)

    def offer_strangers(self, songs, most):
        raise AssertionError("the likes of a data set are asked for by known users")


def test_a_release_that_is_asked_says_what_it_serves_in_its_manifest_and_its_version(planted, mlflow_state):
    opened = []

    def open_ranker(directory):
        data = open_dataset(planted.dataset)
        opened.append(open_bundle(directory).manifest.playlists)  # complete, with its hashes
        return Popular(data.count_train_likes(), data.owned)

    def released():
        return train_and_release(planted.dataset, planted.pairing, mlflow_state, SETTINGS, open_ranker=open_ranker)

    release = released()
    assert opened == [120]
    bundle = open_bundle(release.bundle_dir)
    assert bundle.sha256 == release.bundle_sha256
    assert bundle.directory.name == bundle.sha256[:12]
    assert set(release.served) == {"likes-validation", "likes-test", "likes-cold"}
    served = {name: value for name, value in bundle.manifest.metrics.items() if name.startswith("served/")}
    assert served == version_metrics(release.served)
    popular = release.served["likes-validation"].lists["popularity"]["hit@5"].value
    assert served["served/hit@5"] == popular
    assert "served/hit@5_popularity" not in served, "simulated likes make nothing popular that people follow"
    assert Registry(default_uri(mlflow_state), "organic-playlists").get("1").metrics == bundle.manifest.metrics
    assert released().version == "1", "the same work and answers are the same version"
