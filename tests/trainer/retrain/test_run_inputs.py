"""What a retraining takes from its extract, and what its outcome is remembered by."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from spotify_buddies.trainer.dataset.table import Dataset, open_dataset
from spotify_buddies.trainer.registry.versions import VersionInfo
from spotify_buddies.trainer.retrain.extract import BLOCKS, FEEDBACK, LOOKS, Extract, write
from spotify_buddies.trainer.retrain.rules import SEEN
from spotify_buddies.trainer.retrain.run import Sections, _key, _looks
from tests.trainer.planted import PLAYLISTS, USERS, Planted
from tests.trainer.retrain.worlds import SECTIONS

SERVING = VersionInfo("3", ("production",), datetime(2026, 11, 20, tzinfo=UTC), "run", "d" * 64, "b" * 64)
NOTHING = pl.DataFrame({"user_id": ["ann"]})


@pytest.fixture(scope="module")
def data(planted: Planted) -> Dataset:
    return open_dataset(planted.dataset)


def extract(directory: Path, looks: pl.DataFrame, blocks: pl.DataFrame = NOTHING) -> Extract:
    return write(directory, (blocks, NOTHING, looks), {})


def seen(rows: list[tuple[str, str, str, float, float]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SEEN, orient="row")


def test_looks_stand_at_their_rows_with_their_likes_and_those_of_strangers_are_left_out(
    data: Dataset, tmp_path: Path
) -> None:
    rng = np.random.default_rng(1)
    wanted = np.zeros((2, USERS, PLAYLISTS))
    rows = [("nobody", "playlist-1", "train", 1.0, 1.0), ("user-1", "gone", "train", 1.0, 0.0)]
    for place in rng.permutation(USERS * PLAYLISTS)[:500].tolist():
        user, playlist = divmod(place, PLAYLISTS)
        looks, likes = rng.uniform(0.1, 2, 2)
        wanted[:, user, playlist] = looks, likes
        rows.append((f"user-{user}", f"playlist-{playlist}", "train", looks, likes))
        # What came later is what the retraining is judged by.
        rows.append((f"user-{user}", f"playlist-{playlist}", "test", 9.0, 9.0))
    found = _looks(extract(tmp_path / "out", seen(rows).sort("user_id", "playlist_id", "split")), data, "train")
    assert found.looks.nnz == found.likes.size == 500
    assert found.looks.values is not None
    at = np.repeat(np.arange(USERS), found.looks.counts), found.looks.indices
    for values, table in zip((found.looks.values, found.likes), wanted, strict=True):
        assert values.dtype == np.float32
        dense = np.zeros((USERS, PLAYLISTS))
        dense[at] = values
        np.testing.assert_allclose(dense, table, rtol=1e-6)


def test_without_looks_there_are_none(data: Dataset, tmp_path: Path) -> None:
    found = _looks(extract(tmp_path / "out", seen([("user-1", "playlist-1", "test", 1.0, 1.0)])), data, "train")
    assert (found.looks.rows, found.looks.columns, found.looks.nnz, found.likes.size) == (USERS, PLAYLISTS, 0, 0)


def test_looks_of_several_parts_add_up(data: Dataset, tmp_path: Path) -> None:
    rows = [
        ("user-1", "playlist-1", part, looks, 1.0)
        for part, looks in (("test", 9.0), ("train", 0.5), ("validation", 2.0))
    ]
    found = _looks(extract(tmp_path / "out", seen(rows)), data, "train", "validation")
    assert found.looks.values is not None
    assert (found.looks.values.tolist(), found.likes.tolist()) == ([2.5], [2.0])


def test_an_outcome_is_of_all_that_it_was_made_from(data: Dataset, tmp_path: Path) -> None:
    looks = seen([("user-1", "playlist-1", "train", 1.0, 0.0)])
    one, same = (extract(tmp_path / name, looks) for name in ("one", "same"))
    key = _key((data, data), one, SERVING, SECTIONS)
    assert _key((data, data), same, SERVING, SECTIONS) == key
    # The same likes and dislikes, so the same data set, of lists in which people looked at more.
    more = extract(tmp_path / "more", seen([("user-1", "playlist-1", "train", 2.0, 0.0)]))
    judged = extract(tmp_path / "judged", looks, pl.DataFrame({"user_id": ["bob"]}))
    for other, changed in ((more, LOOKS), (judged, BLOCKS)):
        files, before = other.manifest["files"], one.manifest["files"]
        assert files[FEEDBACK] == before[FEEDBACK]
        assert files[changed] != before[changed]
        assert _key((data, data), other, SERVING, SECTIONS) != key
    later = replace(data, fingerprint="e" * 64)
    assert _key((later, data), one, SERVING, SECTIONS) != key
    assert _key((data, later), one, SERVING, SECTIONS) not in (key, _key((later, data), one, SERVING, SECTIONS))
    assert _key((data, data), one, replace(SERVING, bundle_sha256="c" * 64), SECTIONS) != key
    strict = SECTIONS.retrain.model_copy(update={"drop": 0.01})
    assert _key((data, data), one, SERVING, Sections(**{**vars(SECTIONS), "retrain": strict})) != key
    # What a version is called changes nothing.
    assert _key((data, data), one, replace(SERVING, aliases=()), SECTIONS) == key
