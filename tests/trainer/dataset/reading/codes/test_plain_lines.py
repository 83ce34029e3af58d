"""Blocks of plain lines: cut and looked up as bytes, with the result of reading line by line."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spotify_buddies.trainer.dataset.errors import Skipped
from spotify_buddies.trainer.dataset.reading import triplets_file
from spotify_buddies.trainer.dataset.reading.codes.table import Codes, cut
from spotify_buddies.trainer.dataset.reading.intern import Ids
from spotify_buddies.trainer.dataset.reading.triplets_file import read_triplets

# Few letters, so that ids come again and begin alike; 9 and 17 bytes: whole words of a hash and one more.
ids = st.one_of(st.text("ab", min_size=1, max_size=3), st.text("ab", min_size=8, max_size=17))
lines = st.lists(st.tuples(ids, ids, st.sampled_from(["0", "1", "12", "007", "9" * 18])), max_size=40)


def by_line(content: str, users: Ids, songs: Ids) -> list[tuple[int, int]]:
    played = [line.split("\t") for line in content.split("\n") if line]
    return [(users.code(user), songs.code(song)) for user, song, plays in played if int(plays)]


def text_of(rows: list[tuple[str, str, str]]) -> str:
    return "".join(f"{user}\t{song}\t{plays}\n" for user, song, plays in rows)


@settings(max_examples=200, deadline=None)
@given(blocks=st.lists(lines, max_size=4), between=st.lists(ids, max_size=5), open_end=st.booleans())
def test_codes_are_those_of_ids_that_come_one_by_one(blocks, between, open_end):
    users, songs, expected_users, expected_songs = Ids(), Ids(), Ids(), Ids()
    codes = Codes(users, songs)
    for rows in blocks:
        content = text_of(rows)[: -1 if open_end else None]
        plain = cut(content.encode())
        if not content:
            assert plain is None
            continue
        assert plain is not None
        assert plain.lines == len(rows)
        found = codes.of(plain)
        assert list(zip(*(part.tolist() for part in found), strict=True)) == by_line(
            content, expected_users, expected_songs
        )
        for name in between:  # as a block in another form adds them
            assert users.code(name) == expected_users.code(name)
            assert songs.code(name) == expected_songs.code(name)
    assert (users.names(), songs.names()) == (expected_users.names(), expected_songs.names())


@pytest.mark.parametrize(
    "bad",
    [
        "a\tS", "a\tS\t1\t1", "a\t\t1", "\tS\t1", "a\tS\t", "a\tS\t-1", "a\tS\t1.0", "a\tS\t+1", "a b\tS\t1", "",
        "a\tS\t1\r", "a\x7f\tS\t1", "é\tS\t1", "a\x00\tS\t1", "x" * 129 + "\tS\t1", "a\t" + "x" * 129 + "\t1",
        "a\tS\t" + "1" * 19,
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_block_with_a_line_of_another_form_is_left_to_the_careful_way(bad, place):
    good = ["a\tS\t1", "b\tT\t2"]
    good.insert(place, bad)
    assert cut(("\n".join(good) + "\n").encode()) is None


def test_a_tab_too_many_in_one_line_and_one_too_few_in_another_are_no_plain_lines():
    # Fields are looked for where those of the line before ended: here that is behind a tab and behind a line's end.
    assert cut(b"aaaa\tSSSS\t1\na\ta\tSSSS\t1\naaaa\tSSSS\n1\t1\n") is None
    assert cut(b"aaaa\tSSSS\t1\naaaa\tS\tSS\t1\naaaa\tSSSS1\n") is None


def test_a_line_whose_fields_look_like_those_of_the_line_before_is_cut_by_its_own_tabs():
    users, songs = Ids(), Ids()
    plain = cut(b"aaaaaaaaaaaa\tS\t1\naaa\tSSSSSSSS\t1\n")
    assert plain is not None
    Codes(users, songs).of(plain)
    assert (users.names(), songs.names()) == (["aaaaaaaaaaaa", "aaa"], ["S", "SSSSSSSS"])


def test_ids_may_be_as_long_as_the_rule_lets_them_be():
    users, songs = Ids(), Ids()
    plain = cut(f"{'u' * 128}\t{'s' * 128}\t1\n{'u' * 127}\t{'s' * 127}\t1\n".encode())
    assert plain is not None
    assert [part.tolist() for part in Codes(users, songs).of(plain)] == [[0, 1], [0, 1]]
    assert users.names() == ["u" * 128, "u" * 127]


def test_many_ids_make_the_table_grow_and_keep_their_codes():
    users, songs = Ids(), Ids()
    codes = Codes(users, songs)
    for start in range(0, 30_000, 3_000):
        block = "".join(f"u{n}\tS{n % 7_000}\t1\n" for n in range(start, start + 3_000))
        plain = cut(block.encode())
        assert plain is not None
        heard = codes.of(plain)
        np.testing.assert_array_equal(heard[0], np.arange(start, start + 3_000))
        np.testing.assert_array_equal(heard[1], np.arange(start, start + 3_000) % 7_000)
    assert len(users) == 30_000
    assert songs.names() == [f"S{n}" for n in range(7_000)]


@pytest.mark.parametrize("block_bytes", [1, 20, 1 << 22])
def test_plain_blocks_and_others_in_one_file_give_what_lines_give_and_keep_their_numbers(
    tmp_path, monkeypatch, block_bytes
):
    monkeypatch.setattr(triplets_file, "_BLOCK_BYTES", block_bytes)
    # Pieces of a file are larger than these blocks: gzip or not, blocks end where pieces do.
    monkeypatch.setattr("spotify_buddies.trainer.dataset.reading.files._BLOCK_BYTES", max(block_bytes, 8))
    rows = [f"u{n % 5}{' ' * (n % 11 == 0)}\tS{n % 13}\t{n % 3}" for n in range(200)]
    rows[77] = "u1\tS1\tmany"
    path = tmp_path / "train_triplets.txt"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    users, songs, skipped, heard = Ids(), Ids(), Skipped(allowed=True), []
    for user, song, _ in read_triplets(path, users, songs, skipped):
        heard += list(zip(user.tolist(), song.tolist(), strict=True))
    expected_users, expected_songs = Ids(), Ids()
    plain = "\n".join(row.replace(" ", "") for row in rows if row is not rows[77])
    assert heard == by_line(plain, expected_users, expected_songs)
    assert (users.names(), songs.names()) == (expected_users.names(), expected_songs.names())
    assert skipped.lines == 1
    assert "line 78: the play count 'many' is not a whole number" in skipped.listed[0]
