"""Tables of follows and dislikes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from spotify_buddies.trainer.dataset.errors import DataError, Skipped
from spotify_buddies.trainer.dataset.reading.interactions import (
    DISLIKE,
    FILE,
    FOLLOW,
    NO_TIME,
    Interactions,
    read_interactions,
    write_interactions,
)
from spotify_buddies.trainer.dataset.reading.intern import Ids


def quiet(rows: int) -> None:
    del rows


def known(*names: str) -> Ids:
    ids = Ids()
    for name in names:
        ids.code(name)
    return ids


def read(
    *paths: Path, users: Ids | None = None, owners: tuple[str, ...] = (), skipped: Skipped | None = None
) -> Interactions:
    found = known() if users is None else users
    return read_interactions(paths, found, owners, known("p", "q", "r"), skipped or Skipped(), quiet)


def write(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def settled(tmp_path: Path, *rows: tuple[int, int, int, float, int]) -> list[tuple[object, ...]]:
    found = Interactions()
    for row in rows:
        found.add(*row)
    write_interactions(tmp_path, found)
    return pl.read_parquet(tmp_path / FILE).drop("part").rows()


def test_a_follow_needs_only_a_user_and_a_playlist(tmp_path):
    users = known("a")
    found = read(write(tmp_path, "follows.csv", "playlist_id,user_id\np, b\nq,a\n"), users=users)
    assert users.names() == ["a", "b"]
    assert (list(found.users), list(found.playlists), list(found.kinds)) == ([1, 0], [0, 1], [FOLLOW, FOLLOW])
    assert (list(found.times), list(found.weights)) == ([NO_TIME, NO_TIME], [1.0, 1.0])


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("2020-09-13", 1_599_955_200_000),
        ("2020-09-13T12:26:40Z", 1_600_000_000_000),
        ("2020-09-13 14:26:40+02:00", 1_600_000_000_000),
        ("2020-09-13 12:26:40", 1_600_000_000_000),
        ("1600000000", 1_600_000_000_000),
        ("1600000000.5", 1_600_000_000_500),
        ("", NO_TIME),
    ],
)
def test_times_are_iso_or_seconds_and_utc_where_no_offset_is_named(tmp_path, text, milliseconds):
    found = read(write(tmp_path, "follows.csv", f"user_id,playlist_id,at\na,p,{text}\n"))
    assert list(found.times) == [milliseconds]


def test_times_and_weights_of_parquet_keep_their_values(tmp_path):
    moment = datetime(2020, 9, 13, 12, 26, 40, tzinfo=UTC)
    table = {"user_id": ["a"], "playlist_id": ["p"], "at": [moment], "weight": [2.5], "kind": ["Save"]}
    pl.DataFrame(table).write_parquet(tmp_path / "saves.parquet")
    found = read(tmp_path / "saves.parquet")
    assert (list(found.times), list(found.weights), list(found.kinds)) == ([1_600_000_000_000], [2.5], [FOLLOW])


def test_the_kind_is_the_column_and_else_the_name_of_the_file(tmp_path):
    first = write(tmp_path, "dislikes.csv", "user_id,playlist_id,kind\na,p,\na,q,like\n")
    second = write(tmp_path, "feedback.csv", "user_id,playlist_id,kind\na,r,dislike\n")
    found = read(first, second)
    kinds = dict(zip(found.playlists, found.kinds, strict=True))
    assert kinds == {0: DISLIKE, 1: FOLLOW, 2: DISLIKE}


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (",p,,,", "the user_id is empty"),
        ("a,,,,", "the playlist_id is empty"),
        ("a,p,yesterday,,", "the time 'yesterday' is neither an ISO 8601 date or time nor seconds since 1970"),
        ("a,p,nan,,", "the time 'nan' is neither"),
        ("a,p,1600000000000,,", "the time '1600000000000' is neither"),
        ("a,p,,heavy,", "the weight 'heavy' is not a number"),
        ("a,p,,inf,", "the weight 'inf' is not a finite number"),
        ("a,p,,nan,", "the weight 'nan' is not a finite number"),
        ("a,p,,0,", "the weight '0' is not above 0"),
        ("a,p,,-1,", "the weight '-1' is not above 0"),
        ("a,p,,1e300,", "the weight '1e300' is too extreme"),
        ("a,p,,,love", "the kind 'love' is none of follow, like, save, dislike"),
    ],
)
def test_a_bad_row_is_named_with_file_and_line_and_may_be_skipped(tmp_path, row, problem):
    path = write(tmp_path, "follows.csv", f"user_id,playlist_id,at,weight,kind\na,q,,,\n{row}\n")
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: line 3: {problem}")
    skipped = Skipped(allowed=True)
    assert list(read(path, skipped=skipped).playlists) == [1]
    assert (skipped.lines, skipped.listed[0].split(": ")[:2]) == (1, ["follows.csv", "line 3"])


def test_unknown_playlists_and_dislikes_of_nobody_are_counted_and_named(tmp_path):
    follows = write(tmp_path, "follows.csv", "user_id,playlist_id\na,nowhere\na,p\n")
    dislikes = write(tmp_path, "dislikes.csv", "user_id,playlist_id\nghost,p\nowner,p\na,q\n")
    users = known()
    found = read(follows, dislikes, users=users, owners=("owner",))
    assert users.names() == ["a", "owner"]
    assert list(zip(found.users, found.playlists, found.kinds, strict=True)) == [
        (0, 0, FOLLOW),
        (1, 0, DISLIKE),
        (0, 1, DISLIKE),
    ]
    assert write_interactions(tmp_path, found)["interactions_left_out"] == [
        "follows.csv: line 2: no playlist 'nowhere' is known",
        "dislikes.csv: line 2: user 'ghost' neither listens, follows nor owns a playlist",
    ]


def test_a_pair_counts_once_with_its_earliest_time_and_largest_weight(tmp_path):
    rows = settled(tmp_path, (0, 1, 20, 1.0, FOLLOW), (0, 1, 10, 3.0, FOLLOW), (0, 0, NO_TIME, 1.0, FOLLOW))
    assert rows == [(0, 0, None, 1.0, FOLLOW), (0, 1, 10, 3.0, FOLLOW)]


@pytest.mark.parametrize(
    ("follow", "dislike", "kept"),
    [(10, 20, DISLIKE), (20, 10, FOLLOW), (10, 10, DISLIKE), (10, NO_TIME, DISLIKE), (NO_TIME, NO_TIME, DISLIKE)],
)
def test_of_a_follow_and_a_dislike_the_later_counts_and_the_dislike_in_doubt(tmp_path, follow, dislike, kept):
    ((_, _, _, _, kind),) = settled(tmp_path, (0, 0, follow, 1.0, FOLLOW), (0, 0, dislike, 1.0, DISLIKE))
    assert kind == kept
