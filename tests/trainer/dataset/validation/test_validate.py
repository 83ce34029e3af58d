"""What `buddies data validate` says of every kind of file, and of files that do not fit together."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from spotify_buddies.trainer.dataset.errors import DataError
from spotify_buddies.trainer.dataset.validation.report import Checked, Reason, Report
from spotify_buddies.trainer.dataset.validation.validate import validate
from tests.trainer.dataset.mixed_exports import play, spotify_track, write

LISTENS = "user_id,title,artist,plays\n"
PLAYLISTS = "playlist_id,name,title,artist,owner_id\n"
NAMELESS = "without a title or an artist"


def report(path: Path, matching="full", **options) -> Report:
    return validate(path, matching=matching, **options)


def by_name(found: Report) -> dict[str, Checked]:
    return {checked.name: checked for checked in found.files}


def test_own_tables_are_counted_with_line_numbers(tmp_path):
    write(tmp_path / "listens.csv", LISTENS + "u,One,A,1\nu,,A,1\nu,Two,A,0\n,Two,A,1\nu,Two,A,many\nu,Two,A,few\n")
    write(tmp_path / "playlists.csv", PLAYLISTS + "p,Mix,One,A,o\np,Mix,Three,,o\np,Mix,Four,B,other\n")
    found = report(tmp_path)
    listens, playlists = by_name(found)["listens.csv"], by_name(found)["playlists.csv"]
    assert (listens.rows, listens.used, listens.malformed, listens.problem) == (6, 1, 3, "")
    assert listens.left_out == (
        Reason("the user_id is empty", 1, ("line 5",)),
        Reason("the play count 'many' is not a number", 2, ("line 6", "line 7")),
        Reason(NAMELESS, 1, ("line 3",)),
        Reason("played 0 times", 1),
    )
    assert (playlists.rows, playlists.used, playlists.left_out) == (3, 2, (Reason(NAMELESS, 1, ("line 3",)),))
    assert "1 playlists, 1 name an owner" in playlists.notes
    assert found.usable
    assert "--skip-bad-files`, which leaves out 3 malformed rows" in list(found.lines())[-1]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_column_that_nothing_reads_is_named_with_the_one_that_may_be_meant(tmp_path, kind):
    table = pl.DataFrame({"user_id": ["u"], "title": ["One"], "artist": ["A"], "play_count": [3], "mood": ["x"]})
    (table.write_csv if kind == "csv" else table.write_parquet)(tmp_path / f"listens.{kind}")
    (checked,) = report(tmp_path).files
    (note,) = [note for note in checked.notes if "play_count" in note]
    assert "mood" in note
    assert (checked.rows, checked.used) == (1, 1)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("listens.csv", "user,song\n1,2\n", "no column user_id, title, artist"),
        ("listens.csv", "", "no rows"),
        ("listens.parquet", "no parquet", "not a Parquet file"),
        ("mpd.slice.0-9.json", "{", "broken JSON"),
        ("ana/StreamingHistory0.json", "[", "broken JSON"),
    ],
)
def test_a_file_that_cannot_be_used_is_a_problem_and_the_others_are_still_read(tmp_path, name, content, problem):
    write(tmp_path / name, content)
    write(tmp_path / "playlists.csv", PLAYLISTS + "p,Mix,One,A,o\n")
    found = report(tmp_path)
    assert problem in by_name(found)[name].problem
    assert by_name(found)["playlists.csv"].used == 1
    assert not found.usable
    assert any(line.startswith("  PROBLEM: ") for line in found.lines())


def test_public_data_are_counted_by_their_kinds(tmp_path):
    songs = [f"SO{letter * 16}" for letter in "ABC"]
    write(tmp_path / "train_triplets.txt", f"u\t{songs[0]}\t1\nu\t{songs[1]}\t0\n\nv\t{songs[2]}\t2\nbroken\n")
    write(tmp_path / "unique_tracks.txt", f"TR1<SEP>{songs[0]}<SEP>A<SEP>One\nTR2<SEP>SOX<SEP>B<SEP>Two\n")
    write(tmp_path / "song_data.csv", "song_id,title,artist_name\nSO,One,A\n")
    tracks = [{"track_name": "One", "artist_name": "A"}, {"track_name": "", "artist_name": "A"}]
    write(tmp_path / "mpd.slice.0-9.json", {"playlists": [{"pid": 1, "name": "Mix", "tracks": tracks}]})
    found = report(tmp_path)
    assert [(one.name, one.what, one.rows, one.used) for one in found.files] == [
        ("train_triplets.txt", "lines", 4, 2),
        ("unique_tracks.txt", "names", 2, 1),
        ("mpd.slice.0-9.json", "tracks", 2, 1),
    ]
    assert by_name(found)["unique_tracks.txt"].notes == ("1 of 2 songs heard have no name here",)
    assert found.unread == (("song_data.csv", "unique_tracks.txt is taken"),)
    assert (found.matches.heard, found.matches.listed, found.matches.shared) == (1, 1, 1)


def test_many_files_of_which_all_is_used_are_summed(tmp_path):
    for number in range(25):
        write(tmp_path / "ana" / f"{number:02}.m3u", f"Ann - {number}.mp3\n" + "nothing\n" * (number == 24))
    lines = list(report(tmp_path).lines())
    assert "and 4 more: M3U: 4 rows, all used" in lines
    assert "ana/19.m3u: M3U, of ana" in lines
    assert "ana/20.m3u: M3U, of ana" not in lines
    assert "ana/24.m3u: M3U, of ana" in lines


def test_follows_are_counted_and_unknown_playlists_named(tmp_path):
    write(tmp_path / "playlists.csv", PLAYLISTS + "p,Mix,One,A,o\n")
    write(tmp_path / "ana" / "mix.m3u", "Ann - One.mp3\n")
    write(tmp_path / "follows.csv", "user_id,playlist_id,mood\nu,p,x\nu,ana/mix.m3u,x\nu,nowhere,x\n,p,x\n")
    checked = by_name(report(tmp_path))["follows.csv"]
    assert (checked.rows, checked.used, checked.malformed) == (4, 2, 1)
    assert ("interactions with an unknown playlist", 1) in [(one.why, one.rows) for one in checked.left_out]
    assert any("no playlist 'nowhere' is known" in note for note in checked.notes)
    assert any("mood" in note for note in checked.notes)


def test_attlist_is_one_source(tmp_path):
    write(tmp_path / "train.txt", "0\t0\t1.0\n1\t1\t1.0\n")
    write(tmp_path / "validation.txt", "0\t1\t1.0\n")
    write(tmp_path / "listItem_spotify.txt", "0\t[5]\n1\t[6, 7]\n")
    (checked,) = report(tmp_path).files
    assert (checked.format, checked.rows, checked.problem) == ("AttList", 3, "")


def test_two_files_for_one_part_and_exports_of_nobody_are_problems(tmp_path):
    for folder in "ab":
        write(tmp_path / folder / "playlists.csv", PLAYLISTS + "p,Mix,One,A,o\n")
    write(tmp_path / "x.m3u", "Ann - One.mp3\n")
    found = report(tmp_path)
    assert not found.usable
    assert ["2 files for playlists" in found.problems[0], "but of whom?" in found.problems[1]] == [True, True]


def test_a_folder_without_enough_is_not_usable_and_a_single_file_may_be(tmp_path):
    history = write(tmp_path / "ana" / "StreamingHistory0.json", [play("One", "A")])
    assert report(history).files[0].user == "ana"
    assert report(history).usable
    assert report(tmp_path, user="ben").files[0].user == "ben"
    listens = write(tmp_path / "other" / "listens.csv", LISTENS + "u,One,A,1\n")
    assert report(listens).usable
    assert "no playlists found" in report(listens.parent).problems[0]
    write(tmp_path / "none" / "notes.txt", "x")
    assert "no raw files found" in report(tmp_path / "none").problems[0]
    with pytest.raises(DataError, match="no such directory"):
        report(tmp_path / "nowhere")


NAMES = [("One Song", "Ann"), ("Two Songs", "Bob"), ("Three Songs", "Cleo")]


def cause(root: Path, heard, listed, matching="full") -> str:
    rows = [{"user_id": "u", "title": title, "artist": artist} for title, artist in heard]
    pl.DataFrame(rows).write_csv(root / "listens.csv")
    rows = [{"playlist_id": "p", "name": "Mix", "title": title, "artist": artist} for title, artist in listed]
    pl.DataFrame(rows).write_csv(root / "playlists.csv")
    found = report(root, matching)
    shown = "\n".join(found.lines())
    assert ("WARNING: NO SONG OF THE LISTENS IS IN A PLAYLIST" in shown) == (found.matches.shared == 0)
    return found.matches.cause


def test_listens_and_playlists_that_meet_have_no_cause(tmp_path):
    assert cause(tmp_path, NAMES, NAMES[:1]) == ""


def test_swapped_columns_are_seen(tmp_path):
    swapped = [(artist, title) for title, artist in NAMES]
    assert "swapped 3 would match" in cause(tmp_path, swapped, NAMES)


def test_plain_matching_is_named_where_full_matching_would_help(tmp_path):
    listed = [(f"{title} (Remastered 2011)", artist) for title, artist in NAMES]
    assert "full matching 3 would match: set BUDDIES_DATA__MATCHING=full" in cause(tmp_path, NAMES, listed, "plain")


@pytest.mark.parametrize(
    "ids",
    [
        ["SOAAAAA12A8C1383E0", "SOBBBBB12A8C1383E1", "SOCCCCC12A8C1383E2"],
        ["spotify:track:4uLU6hMCjMI75M1A2tKUQC", "4uLU6hMCjMI75M1A2tKUQ1", "https://open.spotify.com/track/1"],
        ["123456", "1234567", "5b11f4ce-a62d-471e-81fc-a69a8278c7da"],
    ],
)
def test_ids_in_place_of_names_are_seen(tmp_path, ids):
    heard = [(one, artist) for one, (_, artist) in zip(ids, NAMES, strict=True)]
    assert "titles of the listens look like ids" in cause(tmp_path, heard, NAMES)


def test_titles_that_hold_the_artist_are_seen(tmp_path):
    listed = [(f"{artist} - {title}", "Various") for title, artist in NAMES]
    assert 'titles of the playlists hold "Artist - Title"' in cause(tmp_path, NAMES, listed)


def test_music_that_is_simply_other_is_shown(tmp_path):
    shown = cause(tmp_path, NAMES, [("Else", "Dee")])
    assert "heard: 'One Song' by 'Ann', 'Two Songs' by 'Bob'. Such are in playlists: 'Else' by 'Dee'." in shown


def test_the_report_is_json(tmp_path):
    write(tmp_path / "ana" / "Playlist1.json", {"playlists": [{"name": "\x1b[2J", "items": [spotify_track("a", "b")]}]})
    write(tmp_path / "y.txt", "x")
    found = report(tmp_path)
    content = json.loads(json.dumps(found.to_json()))
    assert content["usable"] is True
    assert content["files"][0]["user"] == "ana"
    assert content["unread"] == [{"name": "y.txt", "why": "no known format"}]
    assert not any("\x1b" in line for line in found.lines())
