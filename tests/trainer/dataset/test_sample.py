"""The real sample, where it lies beside the checkout, against an independent reading of the same rules."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spotify_buddies.trainer.dataset.build import build_dataset
from spotify_buddies.trainer.dataset.reading.sources import find_sources
from spotify_buddies.trainer.dataset.table import open_dataset
from spotify_buddies.trainer.settings import DataSettings

DATA = Path(__file__).parents[4] / "shared" / "data"
pytestmark = [
    pytest.mark.sample,
    pytest.mark.skipif(not DATA.is_dir(), reason="the real data sample is not beside the checkout"),
]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory):
    to = tmp_path_factory.mktemp("sample")
    # The reference figures are those of plain matching, and of owners among those who like a playlist.
    settings = DataSettings(matching="plain", ownership="reference")
    return build_dataset(find_sources(DATA / "sample"), to, settings).statistics


def test_what_is_counted_and_not_drawn_agrees_exactly(found):
    matrix = found["3-matrix"]
    assert (matrix["users"], matrix["songs"], matrix["playlists"]) == (3532, 152242, 3632)
    assert found["2-songs"]["shared_songs"] == 32241
    assert found["4-score"]["pairs"] == 1304059


def test_what_is_drawn_agrees_within_a_few_per_cent(found):
    near = pytest.approx
    assert found["6-split"]["liked_per_warm_user"]["mean"] == near(6.191, rel=0.02)
    assert found["7-own"]["owners"] == near(1374, rel=0.03)
    assert found["7-own"]["owned_per_owner"]["mean"] == near(1.3646, rel=0.03)
    assert found["8-triplets"]["triplets"] == near(57624, rel=0.02)
    assert found["9-validation"]["random_positives"] == near(3489, rel=0.02)
    assert found["9-validation"]["hard_positives"] == near(2315, rel=0.05)


def test_nearly_every_playlist_has_an_owner_however_long_it_is(tmp_path):
    build_dataset(find_sources(DATA / "sample"), tmp_path, DataSettings())
    by_length = open_dataset(tmp_path).owner[np.argsort(open_dataset(tmp_path).playlist_songs.counts, kind="stable")]
    shares = [float((quarter >= 0).mean()) for quarter in np.array_split(by_length, 4)]
    assert min(shares) > 0.95
    assert max(shares) - min(shares) < 0.05


def test_radio_presenters_and_their_shows_are_enough(tmp_path):
    build_dataset(find_sources(DATA / "wfmu"), tmp_path, DataSettings())
    dataset = open_dataset(tmp_path)
    assert (dataset.users, dataset.playlists) == (75, 3723)
    assert (dataset.owner >= 0).all()
    assert len(dataset.triplets) > 0


def test_a_prefix_of_the_original_listening_data_is_read(tmp_path):
    sources = find_sources(DATA / "sample")
    prefix = DATA / "taste_profile_prefix"
    names, triplets = prefix / "song_data.csv", prefix / "train_triplets.txt"
    original = type(sources)(mpd=sources.mpd, triplets=triplets, song_names=names)
    statistics = build_dataset(original, tmp_path, DataSettings()).statistics
    assert statistics["3-matrix"]["users"] == 1000
    assert statistics["2-songs"]["songs_heard_without_a_name"] > 0
    matched = statistics["2-songs"]
    assert matched["listens_with_a_playlist_full_matching"] > matched["listens_with_a_playlist_plain_matching"]
