"""Taste Profile triplets and the names of their songs."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import pytest
import zstandard

from spotify_buddies.trainer.dataset.errors import DataError, Skipped
from spotify_buddies.trainer.dataset.reading.intern import Ids
from spotify_buddies.trainer.dataset.reading.song_names import read_mismatches, read_song_names
from spotify_buddies.trainer.dataset.reading.triplets_file import read_triplets


def write(tmp_path: Path, content: str | bytes, name: str = "train_triplets.txt") -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(path: Path, skipped: Skipped | None = None) -> list[tuple[str, str]]:
    users, songs = Ids(), Ids()
    pairs = []
    for user_codes, song_codes, _ in read_triplets(path, users, songs, skipped or Skipped()):
        pairs += list(zip(user_codes.tolist(), song_codes.tolist(), strict=True))
    user_ids, song_ids = users.names(), songs.names()
    return [(user_ids[user], song_ids[song]) for user, song in pairs]


def refused(call, *arguments) -> str:
    with pytest.raises(DataError) as caught:
        call(*arguments)
    assert str(arguments[0]) in str(caught.value)
    return str(caught.value)


def test_lines_become_pairs_in_their_order(tmp_path):
    path = write(tmp_path, "b\tS1\t1\na\tS2\t10\nb\tS2\t3\n")
    assert read(path) == [("b", "S1"), ("a", "S2"), ("b", "S2")]


@pytest.mark.parametrize(
    "content", ["a\tS\t1", "\ufeffa\tS\t1\n", "a\tS\t1\r\n", "\na\tS\t1\n\n\n", '"a\tS\t1\nb"\tS\t1\n']
)
def test_ends_of_lines_marks_blank_lines_and_quotes_do_no_harm(tmp_path, content):
    assert read(write(tmp_path, content))[0][1] == "S"


@pytest.mark.parametrize("user", ["x" * 128, "é" * 64, "¿qué", "a–b", "a\u00a0b"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_ids_that_the_api_can_take_are_read_whatever_they_hold(tmp_path, user, end):
    assert read(write(tmp_path, f"{user}\tS\t1{end}b\tS\t1{end}")) == [(user, "S"), ("b", "S")]


@pytest.mark.parametrize("line", [" a\tS\t1", "a \t\u00a0S\t1", "a\tS\t1.0", "a\tS\t 1 ", "a\t\u3000S \t1.00 "])
@pytest.mark.parametrize("before", ["", "bad line\n"])
def test_blanks_around_fields_are_no_part_of_them_and_plays_may_be_floats(tmp_path, line, before):
    # With a bad line before it the block is read line by line.
    path = write(tmp_path, f"{before}b\tS\t1\n{line}\n")
    assert read(path, Skipped(allowed=bool(before))) == [("b", "S"), ("a", "S")]


@pytest.mark.parametrize("blank", [" ", "\u00a0", " \u3000"])
def test_a_blank_id_is_refused(tmp_path, blank):
    assert "line 2: the user " in refused(read, write(tmp_path, f"a\tS\t1\n{blank}\tS\t1\n"))
    assert "line 2: the " in refused(read, write(tmp_path, f"a\tS\t1\na\t{blank}\t1\n"))


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_text_is_read_whatever_its_unicode_and_its_line_ends(tmp_path, codec, end):
    def text(name: str, *lines: str) -> Path:
        return write(tmp_path, "".join(line + end for line in lines).encode(codec), name)

    assert read(text("train_triplets.txt", "é\tS1\t1", "b\tS2\t1")) == [("é", "S1"), ("b", "S2")]
    tracks = text("unique_tracks.txt", "T1<SEP>S1<SEP>Ä<SEP>é", "T2<SEP> S2 <SEP>A<SEP>B")
    assert read_song_names(tracks, {"S1", "S2"}, set(), Skipped()).names == {"S1": ("é", "Ä"), "S2": ("B", "A")}
    data = text("song_data.csv", "song_id,title,artist_name", "S1,é,Ä", " S2 ,B,\"['A', 'C']\"")
    assert read_song_names(data, {"S1", "S2"}, set(), Skipped()).names == {"S1": ("é", "Ä"), "S2": ("B", "A")}
    listed = text("sid_mismatches.txt", "ERROR: <SO1 TR1> é", "ERROR: <SO2 TR2> x")
    assert read_mismatches(listed, Skipped()) == {("SO1", "TR1"), ("SO2", "TR2")}


def test_plays_of_zero_are_no_listen(tmp_path):
    assert read(write(tmp_path, "a\tS1\t0\na\tS2\t1\n")) == [("a", "S2")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a\tS", "line 3: 2 fields where user, song and plays should stand between tabs"),
        ("a", "line 3: 1 field where user"),
        ("a\tS\t1\t2", "line 3: 4 fields where user"),
        ("a\tS\tmany", "line 3: the play count 'many' is not a whole number"),
        ("a\tS\t-1", "line 3: the play count '-1' is not a whole number"),
        ("a\tS\t1.5", "line 3: the play count '1.5' is not a whole number"),
        ("a\tS\t", "line 3: the play count '' is not a whole number"),
        ("\tS\t1", "line 3: the user or the song is empty"),
        ("a\t\t1", "line 3: the user or the song is empty"),
        ("x" * 129 + "\tS\t1", "line 3: the user is 129 bytes, must be 1 to 128"),
        ("a\tS" + "é" * 64 + "\t1", "line 3: the song is 129 bytes, must be 1 to 128"),
        ("a\0\tS\t1", "line 3: the user holds the control character U+0000"),
        ("a\tS\r\t1", "line 3: the song holds the control character U+000D"),
        ("a\x7f\tS\t1", "line 3: the user holds the control character U+007F"),
        ("a\x85\tS\t1", "line 3: the user holds the control character U+0085"),
        ("a\u2028\tS\t1", "line 3: the user holds the control character U+2028"),
        (b"\xff\tS\t1", "line 3: byte 1 of the line is not UTF-8 text"),
        (b"\x89PNG\x00", "line 3: 1 field"),
    ],
)
def test_a_malformed_line_is_refused_with_its_number(tmp_path, line, message):
    raw = line if isinstance(line, bytes) else line.encode()
    path = write(tmp_path, b"a\tS1\t1\na\tS2\t1\n" + raw + b"\nb\tS3\t1\n")
    assert message in refused(read, path)
    assert "--skip-bad-files" in refused(read, path)


def test_malformed_lines_can_be_skipped_and_are_listed(tmp_path):
    skipped = Skipped(allowed=True)
    assert read(write(tmp_path, "a\tS1\t1\nbad\nb\tS2\tx\nb\tS3\t1\n"), skipped) == [("a", "S1"), ("b", "S3")]
    assert skipped.lines == 2
    assert skipped.listed[0].startswith("train_triplets.txt: line 2: 1 field where")


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_empty_file_is_refused(tmp_path, content):
    assert "byte 0: the file is empty; expected lines of user<TAB>song<TAB>plays" in refused(
        read, write(tmp_path, content)
    )


def test_unique_tracks_name_songs_and_the_first_name_stands(tmp_path):
    path = write(
        tmp_path, "T1<SEP>S1<SEP>Artist<SEP>A<SEP>B\nT2<SEP>S1<SEP>X<SEP>Y\nT3<SEP>S3<SEP><SEP>Y\n", "unique_tracks.txt"
    )
    found = read_song_names(path, {"S1", "S2", "S3"}, set(), Skipped())
    assert found.names == {"S1": ("A<SEP>B", "Artist")}
    assert (found.lines, found.again, found.nameless) == (3, 1, 1)


def test_song_data_names_songs_with_commas_and_quotes(tmp_path):
    path = write(tmp_path, 'song_id,title,release,artist_name,year\nS1,"Say ""Hi"", you",,A,0\n', "song_data.csv")
    assert read_song_names(path, {"S1"}, set(), Skipped()).names == {"S1": ('Say "Hi", you', "A")}


def test_known_mismatches_take_the_name_of_their_track_away(tmp_path):
    listed = write(
        tmp_path,
        "ERROR: <S0 T0>\nERROR: <SO1 TR1> A  -  B  !=  C  -  D\n".replace("ERROR: <S0 T0>\n", ""),
        "sid_mismatches.txt",
    )
    wrong = read_mismatches(listed, Skipped())
    assert wrong == {("SO1", "TR1")}
    tracks = write(tmp_path, "TR1<SEP>SO1<SEP>X<SEP>wrong\nTR2<SEP>SO1<SEP>A<SEP>right\n", "unique_tracks.txt")
    assert read_song_names(tracks, {"SO1"}, wrong, Skipped()).names == {"SO1": ("right", "A")}
    table = write(tmp_path, "song_id,title,artist_name\nSO1,wrong,X\n", "song_data.csv")
    found = read_song_names(table, {"SO1"}, wrong, Skipped())
    assert (found.names, found.mismatched) == ({}, 1)


def test_a_malformed_name_line_is_refused_with_its_number(tmp_path):
    path = write(tmp_path, "T1<SEP>S1<SEP>A<SEP>B\nT1<SEP>S1\n", "unique_tracks.txt")
    assert "line 2: 2 fields where track, song, artist and title" in refused(
        read_song_names, path, set(), set(), Skipped()
    )


def test_a_picture_is_refused_as_no_names(tmp_path):
    path = write(tmp_path, b"\x89PNG\r\n\x1a\n", "unique_tracks.txt")
    assert "line 1, byte 1 of the line: not UTF-8 text" in refused(read_song_names, path, set(), set(), Skipped())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("title,artist_name\na,b\n", "line 1: no column song_id; the columns are title, artist_name"),
        ("", "byte 0: no rows in the file"),
        ("song_id,title,artist_name\n", "no rows in the file"),
        ("song_id,title,artist_name\nS1,x\n", "line 2: 2 fields where the header has 3"),
        ('song_id,title,artist_name\nS1,"x\n', "line 2: broken CSV"),
    ],
)
def test_malformed_song_data_is_refused_with_its_place(tmp_path, content, message):
    path = write(tmp_path, content, "song_data.csv")
    assert message in refused(read_song_names, path, set(), set(), Skipped())


def test_a_mismatch_file_of_another_kind_is_refused(tmp_path):
    path = write(tmp_path, "song,track\n", "sid_mismatches.txt")
    assert "line 1: no pair <SO.. TR..> of song and track" in refused(read_mismatches, path, Skipped())
    assert "no mismatched pairs in the file" in refused(
        read_mismatches, write(tmp_path, "\n", "sid_mismatches.txt"), Skipped()
    )


def cut_short(tmp_path: Path, suffix: str, lines: int) -> tuple[Path, bytes]:
    """A packed file whose second half is missing, and what can still be read of it."""
    content = "".join(f"user{i * 7919 % 9973}\tSO{i}\t{i % 9 + 1}\n" for i in range(lines)).encode()
    packed = gzip.compress(content) if suffix == ".gz" else zstandard.ZstdCompressor().compress(content)
    half = packed[: len(packed) // 2]
    opened = zlib.decompressobj(31) if suffix == ".gz" else zstandard.ZstdDecompressor().decompressobj()
    return write(tmp_path, half, f"train_triplets.txt{suffix}"), opened.decompress(half)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_packed_file_that_was_cut_short_is_refused_with_the_byte(tmp_path, suffix):
    path, held = cut_short(tmp_path, suffix, 90_000)
    assert len(held) > 100_000
    assert f"byte {len(held):,} of the unpacked content: broken packing" in refused(read, path)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_packed_file_that_was_cut_short_can_be_skipped_and_ends_at_its_last_whole_line(tmp_path, suffix):
    path, held = cut_short(tmp_path, suffix, 90_000)
    skipped = Skipped(allowed=True)
    found = read(path, skipped)
    whole = held[: held.rfind(b"\n")].decode().split("\n")
    assert found == [tuple(line.split("\t")[:2]) for line in whole]
    assert (skipped.files, skipped.lines) == (1, 0)
    assert skipped.listed[0].startswith(f"{path.name}: byte {len(held):,} of the unpacked content: broken packing")


def test_a_packed_file_without_a_whole_line_can_be_skipped(tmp_path):
    path = write(tmp_path, gzip.compress(b"a\tS\t1\n" * 9)[:12], "train_triplets.txt.gz")
    skipped = Skipped(allowed=True)
    assert read(path, skipped) == []
    assert skipped.files == 1


def test_packed_names_that_were_cut_short_name_what_they_can(tmp_path):
    content = b"".join(b"T<SEP>S%d<SEP>A<SEP>title %d\n" % (i, i * 7919) for i in range(9_000))
    packed = gzip.compress(content)
    path = write(tmp_path, packed[: len(packed) // 2], "unique_tracks.txt.gz")
    skipped = Skipped(allowed=True)
    found = read_song_names(path, {"S0", "S1", "S8999"}, set(), skipped)
    assert found.names == {"S0": ("title 0", "A"), "S1": ("title 7919", "A")}
    assert (skipped.files, skipped.lines) == (1, 0)


def test_lines_keep_their_numbers_after_one_that_is_not_utf8(tmp_path):
    path = write(tmp_path, b"T<SEP>S1<SEP>A<SEP>B\n\xff\nT<SEP>S2\nT<SEP>S3<SEP>A<SEP>C\n", "unique_tracks.txt")
    skipped = Skipped(allowed=True)
    assert read_song_names(path, {"S1", "S3"}, set(), skipped).lines == 2
    assert [text.split(": ")[1] for text in skipped.listed] == ["line 2, byte 1 of the line", "line 3"]


def test_a_header_that_is_not_utf8_leaves_the_file_without_one(tmp_path):
    path = write(tmp_path, b"\xff\nsong_id,title,artist_name\nS1,x,A\n", "song_data.csv")
    assert read_song_names(path, {"S1"}, set(), Skipped(allowed=True)).names == {"S1": ("x", "A")}
