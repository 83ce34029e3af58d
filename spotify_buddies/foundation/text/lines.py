"""The lines of a text: one that a person wrote in some editor, or an error's message."""

from __future__ import annotations

BOM = "\ufeff"


def filled_lines(text: str) -> list[str]:
    r"""The lines that hold more than blanks, without their ends; none in an empty text.

    Lines end with \n or \r\n alone: titles hold the other characters at which str.splitlines cuts (U+2028, U+0085,
    \x0b). The byte order mark that some editors write in front is left out.
    """
    lines = (line.removesuffix("\r") for line in text.removeprefix(BOM).split("\n"))
    return [line for line in lines if line.strip()]


def first_line(error: BaseException) -> str:
    """The first line of an error's message; the name of its class where it has none."""
    return next(iter(str(error).splitlines()), type(error).__name__)
