"""Tables of text."""

import os
import pty

import pytest

from spotify_buddies.foundation.terminal.tables import table


def test_columns_align_and_numbers_stand_to_the_right():
    text = table(["name", "count"], [["one", 5], ["eleven", 1_234]], right=[1])
    assert text.split("\n") == ["name    count", "one         5", "eleven   1234"]


def test_without_rows_the_headers_are_left():
    assert table(["a", "b"], []) == "a  b"


def test_nothing_is_cut_and_no_line_is_folded_in_a_file():
    long = "x" * 5_000
    assert table(["a", "b"], [[long, "end"]]).split("\n")[1] == f"{long}  end"


def test_strangers_steer_nothing_and_their_brackets_stay():
    assert table(["title"], [["\x1b[2J[bold]a\nb[/bold]"]]).split("\n")[1] == r"\x1b[2J[bold]a\nb[/bold]"


def test_wide_letters_take_two_columns():
    assert table(["t", "n"], [["日本", 1], ["ab", 2]]).split("\n")[1:] == ["日本  1", "ab    2"]


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match="1 cells under 2 headers"):
        table(["a", "b"], [["only"]])


def test_on_a_terminal_a_column_that_must_stay_whole_does_not_fold(monkeypatch):
    parent, child = pty.openpty()
    monkeypatch.setenv("COLUMNS", "30")
    with os.fdopen(parent), os.fdopen(child, "w") as terminal, monkeypatch.context() as context:
        context.setattr("sys.stdout", terminal)
        text = table(["at", "title"], [["2026-05-01 12:00", "word " * 12]], whole=[0])
    assert "2026-05-01 12:00" in text
    assert max(map(len, text.split("\n"))) <= 30


def test_on_a_terminal_long_cells_fold_and_numbers_stay_whole(monkeypatch):
    parent, child = pty.openpty()
    monkeypatch.setenv("COLUMNS", "30")
    with os.fdopen(parent), os.fdopen(child, "w") as terminal, monkeypatch.context() as context:
        context.setattr("sys.stdout", terminal)
        text = table(["title", "plays"], [["word " * 12, "123,456,789"]], right=[1])
    lines = text.split("\n")
    assert max(map(len, lines)) <= 30
    assert "123,456,789" in lines[2]
    assert len(lines) > 4
    assert "\x1b" not in text
