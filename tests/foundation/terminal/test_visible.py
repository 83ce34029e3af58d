"""Texts of strangers on a terminal."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotify_buddies.foundation.terminal.visible import say, visible, visible_text


@given(st.text())
def test_nothing_that_steers_a_terminal_is_left(text: str) -> None:
    for shown, kept in ((visible(text), ""), (visible_text(text), "\n\t")):
        left = [sign for sign in shown if unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") and sign not in kept]
        assert not left
        assert not set(shown) & set("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff\u061c")
        shown.encode()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("\x1b[2J\x1b]0;x\x07", r"\x1b[2J\x1b]0;x\x07"),
        ("a\nb\tc\rd", r"a\nb\tc\rd"),
        ("\x7f\x9b31m", r"\x7f\x9b31m"),
        ("\u202egnp\ufeff", r"\u202egnp\ufeff"),
        ("\udcff", r"\udcff"),
        ("नमस्ते می\u200cخواهم 👩\u200d👩\u200d👧 é ½", "नमस्ते می\u200cخواهم 👩\u200d👩\u200d👧 é ½"),
    ],
)
def test_what_steers_is_shown_and_what_is_written_stays(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_lines_of_our_own_stay(capsys: pytest.CaptureFixture[str]) -> None:
    say("one\n\ttwo \x1b[31m")
    say("error: \x1bc", err=True)
    assert capsys.readouterr() == ("one\n\ttwo \\x1b[31m\n", "error: \\x1bc\n")
