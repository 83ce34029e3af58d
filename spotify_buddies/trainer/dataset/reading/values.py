"""Single values that programs write in several ways: ids, and lists of artists as text."""

from __future__ import annotations

import ast
import re

_FLOAT = re.compile(r"(-?\d{1,16})\.0")
_LIST = re.compile(r"\[\s*(['\"]).*\1\s*,?\s*\]", re.DOTALL)
_EXACT = 1 << 53


def id_text(text: str) -> str:
    """An id as it is stored: without blanks around it, and 7.0 as 7.

    A column of whole numbers in which one is missing becomes one of floats in many programs, so the same id may come as
    7 from one file and as 7.0 from another one.
    """
    text = text.strip()
    # Nearly no id ends so: the look at its end is what all others cost.
    if text.endswith(".0") and (whole := _FLOAT.fullmatch(text)):
        return whole[1]
    return text


def whole(value: object) -> int | None:
    """A JSON number or text as a whole number, None for anything else. Floats are exact below 2^53 only."""
    if isinstance(value, str):
        text = id_text(value)
        return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else None
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def first_artist(text: str) -> str:
    """The first artist of a list in brackets, as in ['Ann', 'Bo'] or ["Ann"]; any other text as it is."""
    # Artists may be called [one] or [], so only a list of quoted texts is taken for one.
    if not _LIST.fullmatch(text.strip()):
        return text
    try:
        artists = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    named = [name for name in artists if isinstance(name, str) and name.strip()] if isinstance(artists, list) else []
    return named[0] if named else text
