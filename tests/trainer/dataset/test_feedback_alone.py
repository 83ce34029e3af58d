"""Feedback of a service as the only follows: playlists keep the nearest owners, and a liked one may come back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.dataset.build import build_dataset
from spotify_buddies.trainer.dataset.errors import DataError
from spotify_buddies.trainer.dataset.reading.sources import find_sources, with_feedback
from spotify_buddies.trainer.dataset.table import FOLLOWS, IN_TEST, IN_TRAIN, IN_VALIDATION, Dataset, open_dataset
from spotify_buddies.trainer.settings import DataSettings
from tests.trainer.dataset.follow_data import PLAYLISTS, write_follow_data

SETTINGS = DataSettings(validation_negatives=5, cold_users=0.1, hard_pool=0.5)


@dataclass(frozen=True)
class Raw:
    """alone: listens and playlists. both: follows beside them. said: what the same people told a service."""

    alone: Path
    both: Path
    said: Path


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Raw:
    root = tmp_path_factory.mktemp("feedback")
    both = write_follow_data(root / "both", dislikes=False)
    alone, said = root / "alone", root / "said"
    alone.mkdir()
    said.mkdir()
    for name in ("listens.csv", "playlists.csv"):
        (alone / name).write_bytes((both / name).read_bytes())
    follows = pl.read_parquet(both / "follows.parquet").filter(pl.col("user_id").str.starts_with("listener"))
    follows.with_columns(weight=pl.lit(1.0, pl.Float32), kind=pl.lit("like")).write_parquet(said / "feedback.parquet")
    return Raw(alone, both, said)


@pytest.fixture(scope="module")
def built(raw: Raw, tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Dataset]:
    """Of feedback alone, and of follows beside it."""
    root = tmp_path_factory.mktemp("built")
    for name, folder in (("alone", raw.alone), ("both", raw.both)):
        build_dataset(with_feedback(find_sources(folder), raw.said), root / name, SETTINGS)
    return open_dataset(root / "alone"), open_dataset(root / "both")


def named(data: Dataset) -> np.ndarray:
    """Which playlists name their owner."""
    return data.playlist_table["owner_id"].fill_null("").to_numpy() != ""


def test_sources_tell_follows_from_feedback(raw: Raw, tmp_path: Path) -> None:
    assert not find_sources(raw.alone).follows
    assert not with_feedback(find_sources(raw.alone), raw.said).follows
    assert with_feedback(find_sources(raw.both), raw.said).follows
    # A dislike in the raw files is what people say, too.
    (tmp_path / "raw").mkdir()
    for path in raw.alone.iterdir():
        (tmp_path / "raw" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "raw" / "dislikes.csv").write_text("user_id,playlist_id\nlistener-1,list-1\n", encoding="utf-8")
    assert with_feedback(find_sources(tmp_path / "raw"), raw.said).follows


def test_feedback_twice_or_nowhere_is_refused(raw: Raw, tmp_path: Path) -> None:
    sources = with_feedback(find_sources(raw.alone), raw.said)
    with pytest.raises(DataError, match="feedback beside"):
        with_feedback(sources, raw.said)
    with pytest.raises(DataError, match=r"no feedback\.parquet or feedback\.csv"):
        with_feedback(find_sources(raw.alone), tmp_path)


def test_feedback_alone_keeps_the_nearest_owners(built: tuple[Dataset, Dataset]) -> None:
    data, _ = built
    assert (data.labels, data.feedback_alone) == (FOLLOWS, True)
    owner, names = np.asarray(data.owner), named(data)
    assert (owner[names] >= 0).all()
    assert (owner[~names] >= 0).mean() > 0.9
    for playlist in np.flatnonzero(~names & (owner >= 0)):
        assert np.intersect1d(data.user_songs.row(owner[playlist]), data.playlist_songs.row(playlist)).size
    # What is held out stays one to be found: nobody is recommended what they own.
    rows = np.repeat(np.arange(data.users), data.liked.counts)
    held = np.isin(data.split, (IN_VALIDATION, IN_TEST)) & ~names[np.asarray(data.liked.indices)]
    assert held.any()
    assert not (owner[np.asarray(data.liked.indices)[held]] == rows[held]).any()


def test_follows_beside_feedback_leave_owners_to_those_who_are_named(built: tuple[Dataset, Dataset]) -> None:
    _, data = built
    assert (data.labels, data.feedback_alone) == (FOLLOWS, False)
    owner, names = np.asarray(data.owner), named(data)
    assert (owner[names] >= 0).all()
    assert (owner[~names] < 0).all()
    assert 0 < names.sum() < PLAYLISTS


def test_what_feedback_alone_liked_may_come_back_and_what_people_follow_may_not(
    built: tuple[Dataset, Dataset],
) -> None:
    for data in built:
        everything = Csr.from_rows([np.arange(data.playlists)] * data.users, data.playlists)
        servable = data.servable(everything)
        trained = np.asarray(data.split) == IN_TRAIN
        rows = np.repeat(np.arange(data.users), data.liked.counts)[trained]
        liked = np.asarray(data.liked.indices)[trained]
        back = [playlist in servable.row(user) for user, playlist in zip(rows, liked, strict=True)]
        assert len(back) > 50
        assert all(back) if data.feedback_alone else not any(back)
