"""CSV files as other programs write them: what is read, what is refused, and what one bad line costs."""

from __future__ import annotations

import codecs
import gzip
from pathlib import Path

import pytest

from spotify_buddies.trainer.dataset.errors import DataError, Skipped
from spotify_buddies.trainer.dataset.reading.rows import table_rows

COLUMNS = ("user_id", "title", "artist")
HEADER = "user_id,title,artist\n"


def rows(path: Path, skipped: Skipped | None = None) -> list[tuple[str, ...]]:
    return [fields for _, fields in table_rows(path, COLUMNS, ("plays",), skipped or Skipped())]


def write(tmp_path: Path, content: str | bytes, name: str = "listens.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refused(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        rows(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


ONE = [("u", "One, Two", "Ann", "")]


@pytest.mark.parametrize(
    "text",
    [
        'user_id, title, artist\nu, "One, Two", "Ann"\n',
        ' user_id , title ,artist\n"u" ,"One, Two"\t, "Ann" \n',
        'User_ID,TITLE,Artist\nu,"One, Two",Ann\n',
        'user id,Title,artist \nu,"One, Two",Ann\n',
        'User-Id;Title;Artist\nu;"One, Two";Ann\n',
        "user_id\ttitle\tartist\nu\tOne, Two\tAnn\n",
        "user_id|title|artist\nu|One, Two|Ann\n",
        "sep=;\nuser_id;title;artist\nu;One, Two;Ann\n",
        'sep=,\r\nuser_id,title,artist\r\nu,"One, Two",Ann\r\n',
        'user_id,title,artist\r\nu,"One, Two",Ann\r\n',
        'user_id,title,artist\ru,"One, Two",Ann\r',
        '\n\nuser_id,title,artist\n\n,,\n   \nu,"One, Two",Ann\n,,,\n',
        'user_id,title,artist,\nu,"One, Two",Ann,\n',
        'user_id,title,artist\nu,"One, Two",Ann,,\n',
        '\ufeffuser_id,title,artist\nu,"One, Two",Ann\n',
        '\ufeff\ufeff"user_id",title,artist\nu,"One, Two",Ann\n',
        'title,genre,genre,artist,user_id\n"One, Two",pop,pop,Ann,u',
    ],
)
def test_the_same_row_however_a_program_writes_it(tmp_path, text):
    assert rows(write(tmp_path, text)) == ONE


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_unicode_text_of_excel_reads_as_utf8_does(tmp_path, codec, suffix):
    text = "\ufeffuser_id\ttitle\tartist\r\nu\tOne, Two\tÄnn 😀\r\n".encode(codec)
    path = write(tmp_path, gzip.compress(text) if suffix else text, f"listens.csv{suffix}")
    assert rows(path) == [("u", "One, Two", "Änn 😀", "")]


def test_utf16_that_was_cut_short_is_refused_or_ends_at_its_last_whole_line(tmp_path):
    text = codecs.BOM_UTF16_LE + (HEADER + "u,one,A\nv,two,A\n").encode("utf-16-le")
    path = write(tmp_path, text[:-5])
    assert "broken UTF-16" in refused(path)
    skipped = Skipped(allowed=True)
    assert rows(path, skipped) == [("u", "one", "A", "")]
    assert skipped.files == 1


def test_utf16_without_a_mark_is_refused_with_what_it_is(tmp_path):
    path = write(tmp_path, HEADER.encode("utf-16-le"))
    assert "NUL bytes, as UTF-16 without a byte order mark has them; save it as UTF-8" in refused(path)


GOOD = [("a", "one", "A", ""), ("b", "two", "A", ""), ("c", "three", "A", "")]


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        ('x,"Say "Hi" you",A', "broken CSV (',' expected after '\"')"),
        ('x,"open,A', "broken CSV"),
        ('"x,open,A', "broken CSV"),
        ('x,open,"A', "broken CSV"),
        ("x,one", "2 fields where the header has 3"),
        ("x,one,two,A", "4 fields where the header has 3"),
        ("x", "1 field where the header has 3"),
        ("x,o\rne,A", "broken CSV (new-line character"),
    ],
)
@pytest.mark.parametrize("quoted", [False, True])
def test_a_bad_line_costs_itself_alone(tmp_path, bad, problem, quoted):
    # Quoted rows behind it would close a quote that is left open.
    good = [
        f'"{user}","{title}","{artist}"' if quoted else f"{user},{title},{artist}" for user, title, artist, _ in GOOD
    ]
    path = write(tmp_path, HEADER + "\n".join([good[0], bad, *good[1:]]) + "\n")
    assert f"line 3: {problem}" in refused(path)
    skipped = Skipped(allowed=True)
    assert rows(path, skipped) == GOOD
    assert (skipped.files, skipped.lines) == (0, 1)
    assert skipped.listed[0].startswith(f"listens.csv: line 3: {problem}")


def test_an_open_quote_that_a_later_one_closes_costs_its_own_line(tmp_path):
    # The quote behind `x` closes, and the comma after it makes the record of three lines a proper one.
    path = write(tmp_path, HEADER + 'x,"open,A\nb,two,A\nc,5",A\nd,four,A\n')
    assert rows(path) == [("x", "open,A\nb,two,A\nc,5", "A", ""), ("d", "four", "A", "")]
    path = write(tmp_path, HEADER + 'x,"open,A\nb,two,A\nc,5",A,A\nd,four,A\n')
    assert "line 2: 4 fields where the header has 3 over 3 lines; is a quote left open?" in refused(path)
    skipped = Skipped(allowed=True)
    assert rows(path, skipped) == [("b", "two", "A", ""), ("d", "four", "A", "")]
    assert (skipped.lines, [text.split(": ")[1] for text in skipped.listed]) == (2, ["line 2"])


def test_the_second_line_of_a_bad_record_is_no_row_of_its_own(tmp_path):
    path = write(tmp_path, HEADER + 'x,"two\nlines",A,B\nb,two,A\n')
    skipped = Skipped(allowed=True)
    assert list(table_rows(path, COLUMNS, (), skipped)) == [("line 4", ("b", "two", "A"))]
    assert skipped.lines == 2


def test_lines_keep_their_numbers_behind_bad_ones_and_names_of_several_lines(tmp_path):
    path = write(tmp_path, HEADER + 'a,"o\nne",A\nx,"y"z,A\n\nb,"t\n\nwo",A\nx\nc,three,A\n')
    skipped = Skipped(allowed=True)
    places = [where for where, _ in table_rows(path, COLUMNS, (), skipped)]
    assert places == ["line 2", "line 6", "line 10"]
    assert [text.split(": ")[1] for text in skipped.listed] == ["line 4", "line 9"]


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_header_in_the_middle_is_no_row(tmp_path, mark):
    path = write(tmp_path, HEADER + "a,one,A\n" + mark + HEADER + "b,two,A\n")
    assert "line 3: the header again, as where files were joined" in refused(path)
    assert rows(path, Skipped(allowed=True)) == GOOD[:2]


def test_quotes_may_be_escaped_by_backslashes(tmp_path):
    path = write(tmp_path, HEADER + 'a,"say \\"one, two\\"",A\nb,"three\\"",A\n"c","AC\\","A"\n')
    assert [row[1] for row in rows(path)] == ['say "one, two"', 'three"', "AC\\"]


def test_a_thousand_open_quotes_cost_a_thousand_lines(tmp_path):
    lines = [f'x{i},"open,A\nu{i},one,A' for i in range(1_000)]
    skipped = Skipped(allowed=True)
    found = rows(write(tmp_path, HEADER + "\n".join(lines) + "\n"), skipped)
    assert [row[0] for row in found] == [f"u{i}" for i in range(1_000)]
    assert skipped.lines == 1_000


def test_a_column_that_stands_twice_is_refused_and_one_that_is_written_exactly_so_goes_first(tmp_path):
    assert "line 1: 2 columns title (columns 2 and 4)".replace(" and ", ", ") in refused(
        write(tmp_path, "user_id,title,artist,title\nu,one,A,two\n")
    )
    assert "line 1: 2 columns title" in refused(write(tmp_path, "user_id,Title,artist,TITLE\nu,one,A,two\n"))
    assert rows(write(tmp_path, "user_id,Title,artist,title\nu,one,A,two\n")) == [("u", "two", "A", "")]


def test_a_required_column_may_be_named_with_blanks_and_capitals(tmp_path):
    path = write(tmp_path, "track name;USER-ID\none;u\n")
    assert list(table_rows(path, ("User ID", "Track Name"), (), Skipped())) == [("line 2", ("u", "one"))]


def test_columns_that_nothing_reads_are_noted_once(tmp_path):
    skipped = Skipped()
    path = write(tmp_path, "user_id,title,genre,artist,,year,genre\nu,one,x,A,,1,x\nv,one,x,A,,1,x\n")
    assert len(rows(path, skipped)) == 2
    assert skipped.unread == {"listens.csv": ["genre", "(column 5)", "year"]}


def test_a_packed_table_that_was_cut_short_ends_at_its_last_whole_row(tmp_path):
    content = HEADER + "".join(f"user{i * 7919 % 9973},song {i},A\n" for i in range(20_000))
    packed = gzip.compress(content.encode())
    skipped = Skipped(allowed=True)
    found = rows(write(tmp_path, packed[: len(packed) // 2], "listens.csv.gz"), skipped)
    assert 1_000 < len(found) < 20_000
    assert found == [(f"user{i * 7919 % 9973}", f"song {i}", "A", "") for i in range(len(found))]
    assert (skipped.files, skipped.lines) == (1, 0)
