"""Slices of the Million Playlist Dataset."""

from __future__ import annotations

import gzip
import json
import pickle
import zlib
from pathlib import Path

import pytest
import zstandard

from spotify_buddies.trainer.dataset.errors import DataError, Skipped
from spotify_buddies.trainer.dataset.reading.intern import SongNames
from spotify_buddies.trainer.dataset.reading.mpd import read_slice

TRACK = {"track_name": "One", "artist_name": "A"}


def write(tmp_path: Path, *playlists: object, name: str = "mpd.slice.0-999.json") -> Path:
    path = tmp_path / name
    path.write_text(json.dumps({"info": {}, "playlists": list(playlists)}))
    return path


def refused(path: Path, names: SongNames | None = None) -> str:
    with pytest.raises(DataError) as caught:
        read_slice(path, SongNames() if names is None else names)
    assert str(path) in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    return str(caught.value)


def test_tracks_become_codes_in_the_order_of_the_file(tmp_path):
    two = {"track_name": "Two", "artist_name": "A", "track_uri": "spotify:track:2"}
    names = SongNames(first=10)
    path = write(
        tmp_path,
        {"pid": 7, "name": "x", "num_followers": 3, "modified_at": 1460332800, "tracks": [TRACK, two, TRACK]},
        {"pid": "own", "modified_at": "2017-10-24", "tracks": []},
    )
    found = read_slice(path, names)
    assert (found.ids, found.titles, found.followers) == (["7", "own"], ["x", ""], [3, None])
    assert (found.lengths, found.songs.tolist()) == ([3, 0], [10, 11, 10])
    assert names.table() == (["One", "Two"], ["A", "A"])


@pytest.mark.parametrize(
    "track", [{"track_name": "", "artist_name": "A"}, {"track_name": None, "artist_name": "A"}, {"track_name": "x"}]
)
def test_a_track_without_a_name_is_left_out_and_counted(tmp_path, track):
    found = read_slice(write(tmp_path, {"pid": 0, "name": "x", "tracks": [track, TRACK, track]}), SongNames())
    assert (found.songs.tolist(), found.lengths, found.nameless_tracks) == ([0], [1], 2)


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_packed_slices_and_a_byte_order_mark_read_the_same(tmp_path, suffix):
    content = b"\xef\xbb\xbf" + write(tmp_path, {"pid": 1, "name": "é", "tracks": [TRACK]}).read_bytes()
    pack = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress}[suffix]
    path = tmp_path / f"mpd.slice.1-2.json{suffix}"
    path.write_bytes(pack(content))
    assert read_slice(path, SongNames()).titles == ["é"]


def test_two_zstd_frames_in_a_row_are_one_file(tmp_path):
    content = write(tmp_path, {"pid": 1, "name": "x", "tracks": []}).read_bytes()
    pack = zstandard.ZstdCompressor().compress
    path = tmp_path / "mpd.slice.1-2.json.zst"
    path.write_bytes(pack(content[:20]) + pack(content[20:]))
    assert read_slice(path, SongNames()).ids == ["1"]


def test_odd_unicode_is_kept_and_halves_of_pairs_and_nul_are_not(tmp_path):
    path = tmp_path / "mpd.slice.0-1.json"
    path.write_text(
        '{"playlists": [{"pid": 1, "name": "\\ud83d\\ude00 \\ud800", "tracks": ['
        '{"track_name": "a\\u0000b\\u2028", "artist_name": "が"}]}]}'
    )
    names = SongNames()
    assert read_slice(path, names).titles == ["😀 ?"]
    assert names.table() == (["ab"], ["が"])


def test_a_truncated_slice_is_refused_with_line_and_column(tmp_path):
    path = write(tmp_path, {"pid": 1, "name": "x", "tracks": [TRACK]})
    path.write_text(path.read_text()[:60])
    assert "line 1, column 61 (character 60): broken JSON" in refused(path)


def test_an_empty_slice_is_refused(tmp_path):
    path = tmp_path / "mpd.slice.0-1.json"
    path.write_bytes(b" \n")
    assert "byte 0: the file is empty" in refused(path)


def test_a_picture_is_refused_as_no_slice(tmp_path):
    path = tmp_path / "mpd.slice.0-1.json"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00")
    assert "byte 0: not UTF-8 text; is this a slice?" in refused(path)


def test_a_table_is_refused_as_no_slice(tmp_path):
    path = tmp_path / "mpd.slice.0-1.json"
    path.write_text("user_id,title,artist\n1,2,3\n")
    assert "line 1, column 1 (character 0): broken JSON" in refused(path)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_packed_slice_that_was_cut_short_is_refused(tmp_path, suffix):
    content = write(tmp_path, *({"pid": i, "name": str(i * 7919), "tracks": []} for i in range(500))).read_bytes()
    packed = gzip.compress(content) if suffix == ".gz" else zstandard.ZstdCompressor().compress(content)
    path = tmp_path / f"mpd.slice.1-2.json{suffix}"
    path.write_bytes(packed[: len(packed) // 2])
    whole = zlib.decompressobj(31) if suffix == ".gz" else zstandard.ZstdDecompressor().decompressobj()
    held = len(whole.decompress(packed[: len(packed) // 2]))
    assert f"byte {held:,} of the unpacked content: broken packing" in refused(path)


def test_what_is_no_gzip_file_is_refused(tmp_path):
    path = tmp_path / "mpd.slice.1-2.json.gz"
    path.write_bytes(b"{}")
    assert "broken packing" in refused(path)


@pytest.mark.parametrize(
    ("playlist", "message"),
    [
        ({"name": "x", "tracks": []}, "playlist 1 of the slice: no field 'pid'"),
        ({"pid": None, "tracks": []}, "playlist 1 of the slice: pid is null, neither a whole number nor a text"),
        ({"pid": 1}, "playlist 1 of the slice: no field 'tracks'"),
        ({"pid": {}, "tracks": []}, "playlist 1 of the slice: pid is an object, neither a whole number nor a text"),
        ({"pid": 1, "tracks": 5}, "playlist 1 of the slice: tracks is a number, not a list"),
        ({"pid": 1, "tracks": {}}, "playlist 1 of the slice: tracks is an object, not a list"),
        ({"pid": 1, "tracks": ""}, "playlist 1 of the slice: tracks is a text, not a list"),
        ({"pid": 1, "tracks": None}, "playlist 1 of the slice: tracks is null, not a list"),
        ({"pid": 1, "tracks": [TRACK, []]}, "playlist 1 of the slice, track 1: a list where a track should stand"),
        ({"pid": 1, "tracks": ["x"]}, "playlist 1 of the slice, track 0: a text where a track should stand"),
        (
            {"pid": 1, "tracks": [TRACK, {"track_name": True, "artist_name": "x"}]},
            "playlist 1 of the slice, track 1: track_name is true, not a text",
        ),
        ({"pid": 1, "tracks": [{"track_name": "x", "artist_name": ["y"]}]}, "track 0: artist_name is a list, not a"),
        ({"pid": 1, "name": {}, "tracks": []}, "playlist 1 of the slice: name is an object, not a text"),
        ({"pid": 1.5, "tracks": []}, "playlist 1 of the slice: pid is 1.5, neither a whole number nor a text"),
        ({"pid": 1e300, "tracks": []}, "playlist 1 of the slice: pid is 1e+300, neither a whole number nor a text"),
        ({"pid": True, "tracks": []}, "playlist 1 of the slice: pid is true, neither a whole number nor a text"),
        ({"pid": "x" * 129, "tracks": []}, "playlist 1 of the slice: pid is 129 bytes, must be 1 to 128"),
        ({"pid": "a\0b", "tracks": []}, "playlist 1 of the slice: pid holds the control character U+0000"),
        ({"pid": "a\ud800", "tracks": []}, "playlist 1 of the slice: pid holds half of a surrogate pair (U+D800)"),
        ({"pid": " ", "tracks": []}, "playlist 1 of the slice: pid is 0 bytes, must be 1 to 128"),
        (["pid"], "playlist 1 of the slice: a list where a playlist should stand"),
    ],
)
def test_a_playlist_of_another_form_is_refused_with_its_place(tmp_path, playlist, message):
    assert message in refused(write(tmp_path, {"pid": 0, "tracks": []}, playlist))


@pytest.mark.parametrize("content", ["[]", "{}", '{"playlists": 5}', "5"])
def test_json_of_another_form_is_refused(tmp_path, content):
    path = tmp_path / "mpd.slice.0-1.json"
    path.write_text(content)
    assert "not a slice: no list of playlists" in refused(path)


def test_a_refused_slice_leaves_no_names_behind(tmp_path):
    names = SongNames()
    names.code("Before", "A")
    refused(write(tmp_path, {"pid": 0, "tracks": [TRACK]}, {"pid": 1}), names)
    assert names.table() == (["Before"], ["A"])
    assert names.code("Next", "A") == 1


@pytest.mark.parametrize("pid", [575000, 575000.0, "575000", " 575000 ", "575000.0"])
def test_a_whole_number_may_be_written_as_a_float_or_a_text(tmp_path, pid):
    found = read_slice(write(tmp_path, {"pid": pid, "tracks": []}, {"pid": 7, "tracks": []}), SongNames())
    assert found.ids == ["575000", "7"]


@pytest.mark.parametrize(
    ("followers", "read"),
    [
        (3, 3),
        (3.0, 3),
        ("3", 3),
        (" 3.0 ", 3),
        (2**31 - 1, 2**31 - 1),
        *((value, None) for value in (None, "many", "", 3.5, -1, True, 2**31, 2**63, 2**70, 1e300, [3])),
        *((value, None) for value in (float("nan"), float("inf"), "9" * 5_000)),
    ],
)
def test_followers_are_a_whole_number_or_unknown(tmp_path, followers, read):
    path = write(tmp_path, {"pid": 1, "num_followers": followers, "tracks": [TRACK]})
    assert read_slice(path, SongNames()).followers == [read]


def test_names_may_be_numbers_and_nan_is_no_name(tmp_path):
    nan = float("nan")
    tracks = [{"track_name": 1979, "artist_name": 311.0}, {"track_name": nan, "artist_name": "A"}]
    names = SongNames()
    found = read_slice(write(tmp_path, {"pid": 1, "name": nan, "tracks": tracks}), names)
    assert (found.titles, found.nameless_tracks, names.table()) == ([""], 1, (["1979"], ["311"]))


@pytest.mark.parametrize("pid", [float("nan"), 2**53 + 0.0, "9" * 129])
def test_a_pid_that_is_none_is_refused(tmp_path, pid):
    assert "playlist 0 of the slice: pid is " in refused(write(tmp_path, {"pid": pid, "tracks": []}))


GONE = {"track_name": "Gone", "artist_name": "A"}


@pytest.mark.parametrize("bad", [7, {"tracks": [GONE]}, {"pid": 1, "tracks": [GONE, 5]}, {"pid": 1, "name": []}])
def test_a_bad_playlist_costs_itself_alone_and_leaves_no_names_behind(tmp_path, bad):
    names, skipped = SongNames(), Skipped(allowed=True)
    good = [{"pid": pid, "tracks": [{"track_name": f"t{pid}", "artist_name": "A"}]} for pid in (5, 6)]
    found = read_slice(write(tmp_path, good[0], bad, good[1], bad), names, skipped)
    assert (found.ids, found.songs.tolist(), names.table()[0]) == (["5", "6"], [0, 1], ["t5", "t6"])
    assert (skipped.files, skipped.playlists, skipped.lines) == (0, 2, 0)
    assert skipped.listed[0].startswith("mpd.slice.0-999.json: playlist 1 of the slice")


@pytest.mark.parametrize("packed", [False, True])
def test_a_slice_that_was_cut_short_ends_at_its_last_whole_playlist(tmp_path, packed):
    playlists = [{"pid": i, "name": f"é {i * 7919 % 9973}", "tracks": [TRACK]} for i in range(2_000)]
    path = write(tmp_path, *playlists)
    content = path.read_bytes()
    if packed:
        path = tmp_path / "mpd.slice.0-999.json.gz"
        content = gzip.compress(content)
    path.write_bytes(content[: len(content) // 2])
    skipped = Skipped(allowed=True)
    found = read_slice(path, SongNames(), skipped)
    assert 500 < len(found.ids) < 1_500
    assert found.titles == [playlist["name"] for playlist in playlists[: len(found.ids)]]
    assert (skipped.files, skipped.playlists) == (1, 0)


def test_json_that_breaks_behind_the_playlists_keeps_all_of_them(tmp_path):
    path = tmp_path / "mpd.slice.0-1.json"
    path.write_bytes(b'{"playlists": [{"pid": 1, "tracks": []}, {"pid": 2, "tracks": []}], "info": \xff}')
    skipped = Skipped(allowed=True)
    assert read_slice(path, SongNames(), skipped).ids == ["1", "2"]
    assert skipped.listed == ["mpd.slice.0-1.json: byte 76: not UTF-8 text; is this a slice?"]


@pytest.mark.parametrize("codec", ["utf-16", "utf-32"])
def test_a_slice_in_another_unicode_reads_as_utf8_does(tmp_path, codec):
    path = write(tmp_path, {"pid": 1, "name": "é", "tracks": []})
    path.write_text(path.read_text().replace("\\u00e9", "é"), codec)
    assert read_slice(path, SongNames()).titles == ["é"]
