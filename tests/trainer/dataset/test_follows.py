"""Data sets whose labels are real follows: their split, what may leak, libraries, negatives, and AttList's files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.dataset.report import statistics
from spotify_buddies.trainer.dataset.table import (
    COLD,
    FOLLOWS,
    IN_TEST,
    IN_TRAIN,
    IN_VALIDATION,
    NOT_SAMPLED,
    SIMULATED,
    UNUSED,
    WARM,
    Dataset,
    open_dataset,
)
from spotify_buddies.trainer.dataset.verdict import judge
from spotify_buddies.trainer.settings import DataSettings
from tests.trainer.dataset.builds import build, contents
from tests.trainer.dataset.follow_data import FOLLOWERS, LISTENERS, START, write_follow_data

SETTINGS = DataSettings(validation_negatives=5, cold_users=0.1, hard_pool=0.5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("follows")
    write_follow_data(root / "raw")
    build(root / "raw", root / "dataset", SETTINGS)
    return root


@pytest.fixture(scope="module")
def data(folder) -> Dataset:
    return open_dataset(folder / "dataset")


def said(folder: Path, name: str = "follows.parquet") -> dict[tuple[str, str], int]:
    path = folder / "raw" / name
    table = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path)
    return {(user, playlist): at for user, playlist, at in table.select("user_id", "playlist_id", "at").rows()}


def pairs(data: Dataset, *parts: int) -> set[tuple[str, str]]:
    users, lists = data.user_table["user_id"].to_list(), data.playlist_table["playlist_id"].to_list()
    rows = np.repeat(np.arange(data.users), data.liked.counts)
    kept = np.isin(data.split, parts)
    return {(users[u], lists[p]) for u, p in zip(rows[kept], np.asarray(data.liked.indices)[kept], strict=True)}


def test_follows_are_the_likes_and_no_user_without_follows_has_one(folder, data):
    assert data.labels == FOLLOWS
    assert pairs(data, IN_TRAIN, IN_VALIDATION, IN_TEST, UNUSED) == set(said(folder))
    assert data.users == LISTENERS + FOLLOWERS


def test_times_split_all_users_at_the_same_two_moments(folder, data):
    times = said(folder)
    train, validation, test = ([times[pair] for pair in pairs(data, part)] for part in (0, 1, 2))
    assert max(train) < min(validation) < max(validation) < min(test)
    shares = np.array([len(train), len(validation), len(test)]) / (len(train) + len(validation) + len(test))
    assert shares == pytest.approx([0.7, 0.2, 0.1], abs=0.02)


def test_a_library_of_follows_alone_holds_training_and_nothing_that_is_held_out(data):
    alone = [row for row, name in enumerate(data.user_table["user_id"]) if name.startswith("follower")]
    hidden = 0
    for row in alone:
        span = slice(int(data.liked.indptr[row]), int(data.liked.indptr[row + 1]))
        lists, split = np.asarray(data.liked.indices[span]), np.asarray(data.split[span])
        songs = [data.playlist_songs.row(p) for p in lists[split == IN_TRAIN]]
        assert data.user_songs.row(row).tolist() == np.unique(np.concatenate(songs)).tolist()
        for playlist in lists[(split == IN_VALIDATION) | (split == IN_TEST)]:
            hidden += bool(np.setdiff1d(data.playlist_songs.row(playlist), data.user_songs.row(row)).size)
    assert hidden > 0


def test_listens_stay_the_library_of_who_has_them(folder, data):
    table = pl.read_csv(folder / "raw" / "listens.csv")
    for row, name in enumerate(data.user_table["user_id"]):
        if name.startswith("listener"):
            heard = table.filter(user_id=name).select("title", "artist").unique()
            assert data.user_songs.row(row).size == heard.height


def test_only_users_with_a_library_beside_their_follows_are_cold(data):
    names = data.user_table["user_id"]
    cold = names.filter(pl.Series(np.asarray(data.user_kind) == COLD)).to_list()
    assert cold
    assert all(name.startswith("listener") for name in cold)
    follows_alone = np.array([name.startswith("follower") for name in names])
    assert set(np.asarray(data.user_kind)[follows_alone].tolist()) == {WARM}


def test_a_playlist_that_names_no_owner_has_none_and_is_kept(folder, data):
    raw = pl.read_csv(folder / "raw" / "playlists.csv").group_by("playlist_id", maintain_order=True).first()
    users = data.user_table["user_id"].to_list()
    named = [None if owner < 0 else users[owner] for owner in np.asarray(data.owner)]
    assert named == [owner or None for owner in raw["owner_id"]]
    assert None in named
    assert np.asarray(data.playlist_kept).all()


def test_a_disliked_playlist_is_a_hard_negative_and_never_a_positive_or_a_candidate(folder, data):
    refused = set(said(folder, "dislikes.csv"))
    users, lists = data.user_table["user_id"].to_list(), data.playlist_table["playlist_id"].to_list()
    rows = np.repeat(np.arange(data.users), data.disliked.counts)
    assert {(users[u], lists[p]) for u, p in zip(rows, data.disliked.indices, strict=True)} == refused
    assert not refused & pairs(data, IN_TRAIN, IN_VALIDATION, IN_TEST, UNUSED)
    trained = np.flatnonzero(data.pools.positives.counts)
    assert all(data.pools.hard.row(u).tolist() == data.disliked.row(u).tolist() for u in trained)
    everything = Csr.from_rows([np.arange(data.playlists)] * data.users, data.playlists)
    served = data.servable(everything)
    known = pairs(data, IN_TRAIN)
    for u in range(data.users):
        left = {(users[u], lists[p]) for p in served.row(u)}
        assert not left & (refused | known)
        assert len(left) == data.playlists - sum(pair[0] == users[u] for pair in refused | known)


def test_a_dislike_after_the_time_of_training_trains_nothing_and_is_still_no_candidate(tmp_path):
    raw = write_follow_data(tmp_path / "raw")
    table = pl.read_csv(raw / "dislikes.csv").with_columns(pl.lit(START + 20_000_000).alias("at"))
    table.write_csv(raw / "dislikes.csv")
    build(raw, tmp_path / "dataset", SETTINGS)
    late = open_dataset(tmp_path / "dataset")
    assert late.pools.hard.nnz == 0
    assert late.disliked.nnz == table.height


def test_uniform_negatives_leave_out_training_dislikes_and_own_and_nothing_that_is_held_out(data):
    held_out = 0
    for user in np.flatnonzero(data.pools.positives.counts):
        easy = set(data.pools.easy.row(user).tolist())
        span = slice(int(data.liked.indptr[user]), int(data.liked.indptr[user + 1]))
        lists, split = np.asarray(data.liked.indices[span]), np.asarray(data.split[span])
        never = {*lists[split == IN_TRAIN].tolist(), *data.disliked.row(user), *data.owned.row(user)}
        assert easy == set(range(data.playlists)) - never
        held_out += len(easy & set(lists[split != IN_TRAIN].tolist()))
    assert held_out > 0
    users, positives, negatives = np.asarray(data.triplets).T
    for user, positive, negative in zip(users, positives, negatives, strict=True):
        assert positive in data.pools.positives.row(user)
        assert negative in data.pools.easy.row(user) or negative in data.pools.hard.row(user)


@pytest.mark.parametrize("sample", [1, 8, 33, 200])
def test_a_sample_of_uniform_negatives_holds_each_playlist_once(tmp_path, sample, monkeypatch):
    monkeypatch.setattr("spotify_buddies.trainer.dataset.negatives.uniform.drawing._A_USER", 1)
    raw = write_follow_data(tmp_path / "raw")
    build(raw, tmp_path / "dataset", SETTINGS.model_copy(update={"pool_sample": sample}))
    drawn = open_dataset(tmp_path / "dataset")
    for user in np.flatnonzero(drawn.pools.positives.counts):
        row = drawn.pools.easy.row(user)
        assert np.all(np.diff(row) > 0)
        never = np.concatenate([drawn.pools.positives.row(user), drawn.disliked.row(user), drawn.owned.row(user)])
        assert not np.isin(row, never).any()
        assert row.size == min(sample, drawn.playlists - np.unique(never).size)


def test_batches_hold_held_out_follows_among_what_the_user_does_not_follow(data):
    for rows, part in ((data.validation, IN_VALIDATION), (data.test, IN_TEST), (data.hard_validation, IN_VALIDATION)):
        assert len(rows)
        for user, positive, *negatives in np.asarray(rows).tolist():
            span = slice(int(data.liked.indptr[user]), int(data.liked.indptr[user + 1]))
            lists, split = np.asarray(data.liked.indices[span]), np.asarray(data.split[span])
            assert positive in lists[split == part]
            assert not np.isin(negatives, lists).any()


def test_by_user_everybodys_own_order_of_time_decides(folder, tmp_path):
    build(folder / "raw", tmp_path / "dataset", SETTINGS.model_copy(update={"follow_split": "user"}))
    ordered, times = open_dataset(tmp_path / "dataset"), said(folder)
    seen = 0
    parts = [pairs(ordered, part) for part in (IN_TRAIN, IN_VALIDATION, IN_TEST)]
    for name in ordered.user_table["user_id"]:
        moments = [[times[pair] for pair in part if pair[0] == name] for part in parts]
        if all(moments):
            seen += 1
            assert max(moments[0]) <= min(moments[1]) <= max(moments[1]) <= min(moments[2])
            assert [len(part) for part in moments] == [7, 2, 1]
    assert seen > FOLLOWERS / 2


def test_without_times_chance_decides_with_the_same_shares(tmp_path):
    raw = write_follow_data(tmp_path / "raw", times=False)
    build(raw, tmp_path / "dataset", SETTINGS)
    drawn = open_dataset(tmp_path / "dataset")
    warm = np.repeat(np.asarray(drawn.user_kind) == WARM, drawn.liked.counts)
    counts = np.bincount(np.asarray(drawn.split)[warm], minlength=3)
    assert counts.tolist() == [7 * counts[2], 2 * counts[2], counts[2]]


def test_follows_without_a_time_beside_timed_ones_are_for_training(tmp_path):
    raw = write_follow_data(tmp_path / "raw")
    table = pl.read_parquet(raw / "follows.parquet")
    table.with_columns(pl.when(pl.arange(0, table.height) % 2 == 0).then("at")).write_parquet(raw / "follows.parquet")
    build(raw, tmp_path / "dataset", SETTINGS)
    mixed = open_dataset(tmp_path / "dataset")
    table = pl.read_parquet(raw / "follows.parquet").filter(pl.col("at").is_null())
    untimed = {(user, playlist) for user, playlist, _ in table.rows()}
    assert untimed
    assert not untimed & pairs(mixed, IN_VALIDATION, IN_TEST)


def test_a_held_out_follow_of_a_user_of_whom_nothing_is_known_is_not_used(tmp_path):
    raw = write_follow_data(tmp_path / "raw")
    late = {"user_id": "late", "playlist_id": "list-0", "at": START + 20_000_000}
    table = pl.concat([pl.read_parquet(raw / "follows.parquet"), pl.DataFrame([late])])
    table.write_parquet(raw / "follows.parquet")
    build(raw, tmp_path / "dataset", SETTINGS)
    assert ("late", "list-0") in pairs(open_dataset(tmp_path / "dataset"), UNUSED)
    part = statistics(tmp_path / "dataset")["3-matrix"]
    assert part["held_out_follows_of_users_nothing_is_known_of"] == 1


def test_a_follow_of_ones_own_playlist_is_no_label(tmp_path):
    raw = write_follow_data(tmp_path / "raw")
    own = {"user_id": "listener-0", "playlist_id": "list-0", "at": START}
    pl.concat([pl.read_parquet(raw / "follows.parquet"), pl.DataFrame([own])]).write_parquet(raw / "follows.parquet")
    build(raw, tmp_path / "dataset", SETTINGS)
    assert ("listener-0", "list-0") not in pairs(open_dataset(tmp_path / "dataset"), 0, 1, 2, 3)
    assert statistics(tmp_path / "dataset")["3-matrix"]["follows_of_own_playlists"] == 1


def test_weights_put_the_heaviest_first(tmp_path):
    raw = write_follow_data(tmp_path / "raw")
    table = pl.read_parquet(raw / "follows.parquet")
    table.with_columns(weight=pl.arange(1, table.height + 1)).write_parquet(raw / "follows.parquet")
    build(raw, tmp_path / "dataset", SETTINGS)
    liked = open_dataset(tmp_path / "dataset").liked
    for row in range(liked.rows):
        assert np.all(np.diff(np.asarray(liked.values)[liked.indptr[row] : liked.indptr[row + 1]]) < 0)


def test_follows_alone_are_a_data_set(tmp_path):
    raw = write_follow_data(tmp_path / "raw", listens=False)
    build(raw, tmp_path / "dataset", SETTINGS)
    alone = open_dataset(tmp_path / "dataset")
    assert alone.labels == FOLLOWS
    assert len(alone.validation)
    assert len(alone.test)
    assert judge(statistics(tmp_path / "dataset")).healthy


def test_dislikes_beside_listens_alone_leave_likes_simulated_and_out_of_them(tmp_path):
    raw = write_follow_data(tmp_path / "raw")
    (raw / "follows.parquet").unlink()
    (raw / "dislikes.csv").unlink()
    build(raw, tmp_path / "plain", SETTINGS.model_copy(update={"liked_share": 0.2}))
    plain = open_dataset(tmp_path / "plain")
    refused = sorted(pairs(plain, 0, 1, 2, 3))[::5]
    rows = [{"user_id": user, "playlist_id": playlist} for user, playlist in refused]
    pl.DataFrame(rows).write_csv(raw / "dislikes.csv")
    build(raw, tmp_path / "dataset", SETTINGS.model_copy(update={"liked_share": 0.2}))
    changed = open_dataset(tmp_path / "dataset")
    assert (plain.labels, changed.labels) == (SIMULATED, SIMULATED)
    assert pairs(changed, 0, 1, 2, 3) == pairs(plain, 0, 1, 2, 3) - set(refused)
    assert plain.disliked.nnz == 0
    assert changed.disliked.nnz == len(refused)
    everything = Csr.from_rows([np.arange(changed.playlists)] * changed.users, changed.playlists)
    assert changed.servable(everything).nnz == everything.nnz - len(refused)
    assert plain.servable(everything) is everything


def test_the_same_files_give_the_same_bytes_and_nothing_runs_again(folder, tmp_path):
    again = build(folder / "raw", tmp_path / "dataset", SETTINGS.model_copy(update={"block_users": 7}))
    assert contents(tmp_path / "dataset") == contents(folder / "dataset")
    assert again.ran
    assert build(folder / "raw", tmp_path / "dataset", SETTINGS).ran == ()


def test_without_follows_the_split_of_follows_is_no_part_of_any_key(tmp_path):
    raw = write_follow_data(tmp_path / "raw", dislikes=False)
    (raw / "follows.parquet").unlink()
    build(raw, tmp_path / "dataset", SETTINGS)
    assert build(raw, tmp_path / "dataset", SETTINGS.model_copy(update={"follow_split": "user"})).ran == ()


def test_the_verdict_names_follows_and_what_was_left_out(folder, tmp_path):
    raw = write_follow_data(tmp_path / "raw")
    (raw / "likes.csv").write_text("user_id,playlist_id\nlistener-1,elsewhere\n")
    build(raw, tmp_path / "dataset", SETTINGS)
    lines = "\n".join(judge(statistics(tmp_path / "dataset")).lines())
    assert "800 real follows of 80 users" in lines
    assert "by two moments for all users" in lines
    assert "follows and dislikes of unknown playlists: 1" in lines
    assert "likes.csv: line 2: no playlist 'elsewhere' is known" in lines


def attlist(directory: Path, *, test: bool) -> Path:
    directory.mkdir()
    rng = np.random.default_rng(5)
    lists = [sorted(rng.choice(40, 6, replace=False).tolist()) for _ in range(20)]
    (directory / "listItem_spotify.txt").write_text("".join(f"{row}\t{songs}\n" for row, songs in enumerate(lists)))
    chosen = [rng.choice(20, 5, replace=False).tolist() for _ in range(15)]
    parts = {"train.txt": slice(0, 3), "validation.txt": slice(3, 4), "test.txt": slice(4, 5)}
    for name, span in parts.items():
        if name != "test.txt" or test:
            rows = [f"{user}\t{playlist}\t1.0\n" for user, all_ in enumerate(chosen) for playlist in all_[span]]
            (directory / name).write_text("".join(rows))
    return directory


@pytest.mark.parametrize("test", [True, False])
def test_attlists_files_keep_their_split_and_hold_songs_without_names(tmp_path, test):
    raw = attlist(tmp_path / "raw", test=test)
    build(raw, tmp_path / "dataset", SETTINGS.model_copy(update={"cold_users": 0.3}))
    found = open_dataset(tmp_path / "dataset")
    for name, part in (("train.txt", IN_TRAIN), ("validation.txt", IN_VALIDATION), ("test.txt", IN_TEST)):
        rows = (raw / name).read_text().splitlines() if (raw / name).exists() else []
        assert pairs(found, part) == {tuple(row.split("\t")[:2]) for row in rows}
    assert set(np.asarray(found.user_kind).tolist()) == {WARM}
    assert NOT_SAMPLED not in found.user_kind
    assert (np.asarray(found.owner) == -1).all()
    assert found.song_table["title"].unique().to_list() == [""]
    ids = dict(found.song_id_table.rows())
    first = json.loads((raw / "listItem_spotify.txt").read_text().splitlines()[0].split("\t")[1])
    assert sorted(found.playlist_songs.row(0).tolist()) == sorted(ids[str(song)] for song in first)
    assert judge(statistics(tmp_path / "dataset")).healthy
