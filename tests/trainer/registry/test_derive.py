"""Versions for game days: whole bundles, in a real registry, with what is wrong with them in their data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from spotify_buddies.clients.main import build_app
from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.bundle import Bundle, BundleParts, open_bundle, write_bundle
from spotify_buddies.trainer.bundle.golden_lists import find_golden
from spotify_buddies.trainer.bundle.reasons import find_reasons
from spotify_buddies.trainer.registry.derive import DerivedKind, derive_bundle, derive_version
from spotify_buddies.trainer.registry.mlflow_client import artifact_location, connect
from spotify_buddies.trainer.registry.registry import Registry, RegistryError
from tests.trainer.registry.conftest import MODEL

USERS, PLAYLISTS = 12, 9


@pytest.fixture
def source(bundle_parts: BundleParts, tmp_path: Path) -> Bundle:
    """Twelve users with five of nine playlists each, whose scores differ."""
    rng = np.random.default_rng(3)
    parts = replace(
        bundle_parts,
        user_factors=rng.normal(size=(USERS, 2)).astype(np.float32),
        playlist_factors=rng.normal(size=(PLAYLISTS, 2)).astype(np.float32),
        candidates=Csr.from_rows([np.sort(rng.choice(PLAYLISTS, 5, replace=False)) for _ in range(USERS)], PLAYLISTS),
        user_songs=Csr.from_rows([[user % 4] for user in range(USERS)], 4),
        playlist_songs=Csr.from_rows([[playlist % 4] for playlist in range(PLAYLISTS)], 4),
        owned=Csr.from_rows([[] for _ in range(USERS)], PLAYLISTS),
        owner=np.full(PLAYLISTS, -1, np.int32),
        popular=np.arange(PLAYLISTS, dtype=np.int32),
        popular_scores=np.arange(PLAYLISTS, 0, -1).astype(np.float32),
        sketches=np.zeros((PLAYLISTS, 64), np.uint8),
        genre_popular=Csr(np.array([0, 0, 2]), np.array([1, 0], np.int32), PLAYLISTS, np.array([5, 2], np.float32)),
        user_ids=[f"user-{user}" for user in range(USERS)],
        playlist_ids=[f"list-{playlist}" for playlist in range(PLAYLISTS)],
        playlist_titles=[""] * PLAYLISTS,
    )
    return write_bundle(tmp_path / "source", parts)


@pytest.fixture
def registered(registry: Registry, source: Bundle, tmp_path: Path) -> Registry:
    """A registry with the source as version 1 and production."""
    client = connect(registry.uri)
    experiment = client.create_experiment("buddies", artifact_location(registry.uri, tmp_path))
    registry.register(source.directory, str(client.create_run(experiment).info.run_id))
    return registry


def test_the_same_ranking_is_another_version_with_everything_of_its_source(
    registered: Registry, source: Bundle, tmp_path: Path
) -> None:
    made = derive_version(registered, "1", DerivedKind.SAME, "buddies", aliases=("staging",))
    assert (made.version, made.source_version, made.kind, made.new) == ("2", "1", "same", True)
    derived, original = registered.get("2"), registered.get("1")
    assert derived.aliases == ("staging",)
    assert registered.get("1").aliases == ("production",)
    assert (derived.metrics, derived.dataset_fingerprint) == (original.metrics, original.dataset_fingerprint)
    assert derived.bundle_sha256 != original.bundle_sha256
    bundle = open_bundle(registered.fetch("2", tmp_path / "cache"))
    assert (bundle.golden, bundle.golden != ()) == (source.golden, True)
    assert bundle.candidates.indices.tolist() == source.candidates.indices.tolist()
    assert bundle.manifest.training == {"seed": 1, "derived": {"version": "1", "kind": "same", "seed": 1}}
    tags = connect(registered.uri).get_model_version(MODEL, "2").tags
    assert (tags["derived_from_version"], tags["derived_kind"], tags["derived_from_run"]) == (
        "1",
        "same",
        original.run_id,
    )


def test_the_same_wish_gives_the_same_version_and_another_seed_another_one(registered: Registry) -> None:
    assert derive_version(registered, "1", DerivedKind.SAME, "buddies").version == "2"
    again = derive_version(registered, "1", DerivedKind.SAME, "buddies", aliases=("canary",))
    assert (again.version, again.new, registered.get("2").aliases) == ("2", False, ("canary",))
    assert derive_version(registered, "1", DerivedKind.SAME, "buddies", seed=2).version == "3"


def test_shuffled_playlists_have_each_others_factors_and_scores_that_follow_from_them(
    source: Bundle, tmp_path: Path
) -> None:
    made = derive_bundle(source, tmp_path / "made", DerivedKind.SHUFFLED, "1")
    assert sorted(made.playlist_factors.tolist()) == sorted(source.playlist_factors.tolist())
    assert made.playlist_factors.tolist() != source.playlist_factors.tolist()
    assert [made.playlist_ids.table[row] for row in range(PLAYLISTS)] == [f"list-{row}" for row in range(PLAYLISTS)]
    for user in range(USERS):
        rows = made.candidates.row(user)
        assert sorted(rows) == sorted(source.candidates.row(user))
        scores = made.playlist_factors[rows] @ made.user_factors[user]
        assert np.all(np.diff(scores) <= 1e-6)
        first, last = made.candidates.indptr[user : user + 2]
        assert made.candidates.values[first:last] == pytest.approx(scores)
    assert made.golden == find_golden(made)
    assert made.golden != source.golden
    assert made.candidate_reasons.tolist() == find_reasons(made).tolist()
    assert made.candidate_reasons.tolist() != source.candidate_reasons.tolist()


def test_an_erring_bundle_opens_and_its_golden_listeners_are_among_those_who_are_answered(
    source: Bundle, tmp_path: Path
) -> None:
    made = derive_bundle(source, tmp_path / "made", DerivedKind.ERRING, "1")
    assert np.isfinite(made.user_factors).all(axis=1).tolist() == [True, False] * (USERS // 2)
    assert made.candidates.indices.tolist() == source.candidates.indices.tolist()
    scores = np.asarray(made.candidates.values).reshape(USERS, 5)
    assert np.isnan(scores[1::2]).all()
    assert scores[::2].tolist() == np.asarray(source.candidates.values).reshape(USERS, 5)[::2].tolist()
    rows = made.user_ids.find([golden.user_id for golden in made.golden])
    assert (rows % 2).tolist() == [0] * len(rows)
    assert len(rows) > 0


def test_the_source_stays_as_it_was(source: Bundle, tmp_path: Path) -> None:
    for kind in DerivedKind:
        derive_bundle(source, tmp_path / kind.value, kind, "1")
    assert open_bundle(source.directory).sha256 == source.sha256


def test_a_version_without_a_bundle_is_refused(registered: Registry) -> None:
    connect(registered.uri).create_model_version(MODEL, "file:///nowhere")
    with pytest.raises(RegistryError, match="nothing can be derived"):
        derive_version(registered, "2", DerivedKind.SAME, "buddies")
    with pytest.raises(RegistryError, match="no version '9'"):
        derive_version(registered, "9", DerivedKind.SAME, "buddies")


def test_the_command_says_what_was_made(
    registered: Registry, mlflow_state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUDDIES_STATE_DIR", str(mlflow_state))
    words = ["registry", "derive", "1", "--kind", "shuffled"]
    first = CliRunner().invoke(build_app(), [*words, "--alias", "staging"])
    assert (first.exit_code, first.output) == (0, "version 2 is shuffled as made from version 1 (new), staging -> 2\n")
    assert CliRunner().invoke(build_app(), words).output == (
        "version 2 is shuffled as made from version 1 (there already)\n"
    )
    missing = CliRunner().invoke(build_app(), ["registry", "derive", "7", "--kind", "same"])
    assert (missing.exit_code, "no version '7'" in missing.output) == (1, True)
