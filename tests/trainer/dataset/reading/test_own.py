"""Your own listens and playlists."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from spotify_buddies.trainer.dataset.errors import DataError, Skipped
from spotify_buddies.trainer.dataset.reading.intern import Ids, SongNames
from spotify_buddies.trainer.dataset.reading.own import OwnListens, OwnPlaylists, read_own_listens, read_own_playlists


def quiet(rows: int) -> None:
    del rows


def listens(path: Path, users: Ids | None = None, skipped: Skipped | None = None) -> OwnListens:
    return read_own_listens(path, Ids() if users is None else users, SongNames(), skipped or Skipped(), quiet)


def playlists(path: Path, skipped: Skipped | None = None, known: Ids | None = None) -> OwnPlaylists:
    return read_own_playlists(path, Ids() if known is None else known, SongNames(), skipped or Skipped(), quiet)


def write(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def refused(call, path: Path) -> str:
    with pytest.raises(DataError) as caught:
        call(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


ROWS = {
    "playlist_id": ["p", "q", "p", "p"],
    "name": ["", "Q", "P", "P"],
    "owner_id": ["", None, "me", "you"],
    "title": ["one", "one", "two", None],
    "artist": ["A", "A", "A", "A"],
}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_rows_of_a_playlist_need_not_stand_together(tmp_path, kind):
    path = tmp_path / f"playlists.{kind}"
    table = pl.DataFrame(ROWS)
    table.write_csv(path) if kind == "csv" else table.write_parquet(path)
    found = playlists(path)
    assert (found.ids, found.titles, found.owners) == (["p", "q"], ["P", "Q"], ["me", ""])
    assert (found.playlists.tolist(), found.songs.tolist()) == ([0, 1, 0], [0, 0, 1])
    assert (found.nameless, found.other_owners) == (1, 1)


def test_the_owner_column_may_be_missing(tmp_path):
    path = write(tmp_path, "playlists.csv", "artist,playlist_id,name,title\nA,p,P,one\n")
    assert playlists(path).owners == [""]


def test_rows_of_a_playlist_that_came_before_are_counted(tmp_path):
    known = Ids()
    known.code("p")
    path = write(tmp_path, "playlists.csv", "playlist_id,name,title,artist\np,P,one,A\nq,Q,one,A\n")
    found = playlists(path, known=known)
    assert (found.ids, found.rows_of_known) == (["q"], 1)


def test_listens_take_plays_or_none(tmp_path):
    users = Ids()
    text = "user_id,title,artist,plays\nu,one,A,\nu,two,A,0\nv,two,A,2.0\nv,,A,1\n"
    found = listens(write(tmp_path, "listens.csv", text), users)
    assert (users.names(), found.users.tolist(), found.songs.tolist(), found.nameless) == (
        ["u", "v"],
        [0, 1],
        [0, 1],
        1,
    )


def test_parquet_ids_may_be_numbers(tmp_path):
    path = tmp_path / "listens.parquet"
    pl.DataFrame({"user_id": [7], "title": ["one"], "artist": ["A"], "plays": [3]}).write_parquet(path)
    users = Ids()
    assert listens(path, users).users.tolist() == [0]
    assert users.names() == ["7"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("user_id,title,artist,plays\n,one,A,1\n", "line 2: the user_id is empty"),
        ("user_id,title,artist,plays\nu,one,A,lots\n", "line 2: the play count 'lots' is not a number"),
        ("user_id,title,artist,plays\nu,one,A,-1\n", "line 2: the play count '-1' is below 0"),
        ("user_id,title,artist,plays\nu,one,A,nan\n", "line 2: the play count 'nan' is not a finite number"),
        ("user_id,title,artist,plays\nu,one,A,inf\n", "line 2: the play count 'inf' is not a finite number"),
        ('user_id,title,artist\nu,one,A\nu,"two\nlines",A\nu,"one,A\nv,one,A\n', "line 5: broken CSV"),
        ("user_id,title\nu,one\n", "line 1: no column artist; the columns are user_id, title"),
        ("", "no rows in the file"),
    ],
)
def test_malformed_listens_are_refused_with_their_place(tmp_path, text, message):
    assert message in refused(listens, write(tmp_path, "listens.csv", text))


def test_a_row_without_a_playlist_id_is_refused_or_skipped(tmp_path):
    path = write(tmp_path, "playlists.csv", "playlist_id,name,title,artist\n,P,one,A\nq,Q,one,A\n")
    assert "line 2: the playlist_id is empty" in refused(playlists, path)
    skipped = Skipped(allowed=True)
    assert playlists(path, skipped).ids == ["q"]
    assert skipped.lines == 1


LONG = "x" * 129


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (f"{LONG},one,A", "line 2: the user_id is 129 bytes, must be 1 to 128"),
        ("a\x01b,one,A", "line 2: the user_id holds the control character U+0001"),
        ('"a\nb",one,A', "line 2: the user_id holds the control character U+000A"),
        ("a\0b,one,A", "line 2: the user_id holds the control character U+0000"),
        ("a\u2028b,one,A", "line 2: the user_id holds the control character U+2028"),
    ],
)
def test_a_listener_whom_the_api_cannot_take_is_refused_or_skipped(tmp_path, row, message):
    path = write(tmp_path, "listens.csv", f"user_id,title,artist\n{row}\nv,one,A\n")
    assert message in refused(listens, path)
    skipped, users = Skipped(allowed=True), Ids()
    listens(path, users, skipped)
    assert (users.names(), skipped.lines) == (["v"], 1)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (f"{LONG},P,one,A,", "line 2: the playlist_id is 129 bytes, must be 1 to 128"),
        ("a\x7f,P,one,A,", "line 2: the playlist_id holds the control character U+007F"),
        (f"p,P,one,A,{LONG}", "line 2: the owner_id is 129 bytes, must be 1 to 128"),
        ("p,P,one,A,a\x85b", "line 2: the owner_id holds the control character U+0085"),
    ],
)
def test_a_playlist_or_an_owner_that_the_api_cannot_take_is_refused_or_skipped(tmp_path, row, message):
    path = write(tmp_path, "playlists.csv", f"playlist_id,name,title,artist,owner_id\n{row}\nq,Q,one,A,é\n")
    assert message in refused(playlists, path)
    skipped = Skipped(allowed=True)
    found = playlists(path, skipped)
    assert (found.ids, found.owners, skipped.lines) == (["q"], ["é"], 1)


def test_spaces_around_an_id_are_no_part_of_it_and_names_may_hold_odd_characters(tmp_path):
    users = Ids()
    listens(write(tmp_path, "listens.csv", f"user_id,title,artist\n {'x' * 128} ,a\0\u2028b,A\n"), users)
    assert users.names() == ["x" * 128]


def test_a_csv_named_parquet_is_refused(tmp_path):
    path = write(tmp_path, "listens.parquet", "user_id,title,artist\nu,one,A\n")
    assert "row 0: not a Parquet file" in refused(listens, path)


def test_a_parquet_table_without_the_columns_is_refused(tmp_path):
    path = tmp_path / "listens.parquet"
    pl.DataFrame({"user": ["u"]}).write_parquet(path)
    assert "schema: no column user_id, title, artist; the columns are user" in refused(listens, path)


def test_a_broken_quote_can_be_skipped_and_costs_its_line(tmp_path):
    skipped = Skipped(allowed=True)
    users = Ids()
    found = listens(
        write(tmp_path, "listens.csv", 'user_id,title,artist\nu,one,A\nv,"two,A\nw,one,A\n'), users, skipped
    )
    assert (users.names(), len(found.songs)) == (["u", "w"], 2)
    assert (skipped.files, skipped.lines) == (0, 1)
    assert skipped.listed == ["listens.csv: line 3: broken CSV (unexpected end of data)"]


def test_ids_that_a_table_wrote_as_floats_are_whole_numbers_again(tmp_path):
    users = Ids()
    listens(write(tmp_path, "listens.csv", "user_id,title,artist\n7,one,A\n7.0,two,A\n 7.0 ,two,A\n7.5,two,A\n"), users)
    assert users.names() == ["7", "7.5"]
    text = "playlist_id,name,title,artist,owner_id\n1.0,P,one,A,7.0\n1,P,two,A,7\n"
    found = playlists(write(tmp_path, "playlists.csv", text))
    assert (found.ids, found.owners, found.other_owners) == (["1"], ["7"], 0)


@pytest.mark.parametrize(
    ("text", "artist"),
    [
        ("['Ann', 'Bo']", "Ann"),
        ('["Ann"]', "Ann"),
        ("['', 'Bo']", "Bo"),
        ('["Ann\'s"]', "Ann's"),
        ("[Ann]", "[Ann]"),
        ("[]", "[]"),
        ("['Ann' 5]", "['Ann' 5]"),
        ("[' ']", "[' ']"),
    ],
)
def test_of_a_list_of_artists_as_text_the_first_one_counts(tmp_path, text, artist):
    names = SongNames()
    path = tmp_path / "listens.csv"
    pl.DataFrame({"user_id": ["u"], "title": ["one"], "artist": [text]}).write_csv(path)
    read_own_listens(path, Ids(), names, Skipped(), quiet)
    assert names.table() == (["one"], [artist])


def test_a_broken_parquet_file_can_be_skipped_and_is_listed(tmp_path):
    skipped = Skipped(allowed=True)
    found = listens(write(tmp_path, "listens.parquet", "not parquet"), skipped=skipped)
    assert (len(found.songs), skipped.files) == (0, 1)
    assert skipped.listed[0].startswith("listens.parquet: row 0: not a Parquet file")


def test_lines_keep_their_numbers_after_one_that_is_not_utf8(tmp_path):
    path = tmp_path / "listens.csv"
    path.write_bytes(b"user_id,title,artist\nu,\xff,A\nu,one\nv,one,A\n")
    skipped = Skipped(allowed=True)
    assert len(listens(path, skipped=skipped).songs) == 1
    assert [text.split(": ")[1] for text in skipped.listed] == ["line 2, byte 3 of the line", "line 3"]
