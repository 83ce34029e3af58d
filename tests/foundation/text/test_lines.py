"""Lines of files that people write, and of errors."""

import pytest

from spotify_buddies.foundation.text.lines import filled_lines, first_line


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", []),
        ("\n \n", []),
        ("a", ["a"]),
        ("\ufeffa\nb\n", ["a", "b"]),
        ("a\r\nb\r\n", ["a", "b"]),
        ("a\u2028b\x0bc\x85d\x1ce\u2029f\n", ["a\u2028b\x0bc\x85d\x1ce\u2029f"]),
    ],
)
def test_only_line_ends_cut_and_the_mark_in_front_is_left_out(text: str, lines: list[str]) -> None:
    assert filled_lines(text) == lines


@pytest.mark.parametrize(
    ("error", "line"),
    [(ValueError("a\nb"), "a"), (ValueError(), "ValueError"), (OSError(2, "no such file"), "[Errno 2] no such file")],
)
def test_the_first_line_of_an_error_is_its_class_where_it_says_nothing(error: Exception, line: str) -> None:
    assert first_line(error) == line
