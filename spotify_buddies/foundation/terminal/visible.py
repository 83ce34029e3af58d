"""Text from strangers on a terminal: characters that steer it are shown, not obeyed.

A title may hold an escape sequence that clears the screen, or a character that turns the direction of what follows
(https://trojansource.codes).
"""

from __future__ import annotations

import re

import typer

# C0, DEL and C1; marks of direction; lines and paragraphs; the byte order mark; annotations; halves of surrogates,
# which no terminal can be sent. Joiners stay: scripts and emoji need them.
_STEERING = (
    "\\x00-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u206f\\ufeff\\ufff9-\\ufffb\\ud800-\\udfff"
)
_IN_A_LINE = re.compile(f"[{_STEERING}]")
_IN_A_TEXT = re.compile(f"(?![\\n\\t])[{_STEERING}]")


def visible(text: object) -> str:
    r"""A name, title, id or path as one line: what steers a terminal, line ends too, is shown as \x1b or \u202e."""
    return _IN_A_LINE.sub(_escape, str(text))


def visible_text(text: object) -> str:
    r"""The same of text with lines of its own: \n and tabs stay."""
    return _IN_A_TEXT.sub(_escape, str(text))


def say(text: object = "", *, err: bool = False) -> None:
    """Print text for people: what strangers wrote in it cannot steer the terminal. err: on standard error."""
    typer.echo(visible_text(text), err=err)


def _escape(match: re.Match[str]) -> str:
    return match.group().encode("unicode_escape", "surrogatepass").decode("ascii")
