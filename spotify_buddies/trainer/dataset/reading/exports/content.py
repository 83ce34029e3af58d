"""Content of exports: text in the encodings that players write, JSON, and songs that only a file name names."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import orjson

from spotify_buddies.trainer.dataset.errors import SKIP, DataError

_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
# "01 - Title", "01. Title", "1-03 Title", as rippers number files. A number and a space alone may begin a name ("50
# Cent"), but for one that begins with 0.
_NUMBER = re.compile(r"(?:\d{1,2}-\d{2}\s+|\d{1,3}\s*[.\-_]\s*|0\d\s+)(?=\S)")
_NUMBER_BETWEEN = re.compile(r"\d{1,3}\s*[-.]\s+(?=\S)")
_DASH = re.compile(r"\s+[-–—]\s+")
_EXTENSION = re.compile(r"\.\w{2,5}$")


def text_of(path: Path, *, fallback: str = "") -> str:
    """The text of a file: by its byte order mark, else UTF-8, else in the `fallback` encoding if one is given.

    DataError: empty, or in none of them.
    """
    return decoded(path, _content(path), fallback=fallback)


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    if not content.strip():
        raise DataError(str(path), "byte 0", "the file is empty", SKIP)
    return content


def decoded(path: Path, content: bytes, *, fallback: str = "") -> str:
    """The same of content that was read already."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, "replace")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        if fallback:
            return content.decode(fallback, "replace")
        raise DataError(str(path), f"byte {error.start:,}", "not UTF-8 text; is this the right file?", SKIP) from error


def json_of(path: Path) -> Any:
    """The content of a JSON file. DataError: empty or broken, with the place."""
    content = _content(path)
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        # The standard parser takes half surrogate pairs, which real names hold, and says where it gave up.
        return _slowly(path, decoded(path, content))


def json_list(path: Path) -> list[Any]:
    """The content of a JSON file that must be a list. DataError: it is something else."""
    content = json_of(path)
    if not isinstance(content, list):
        raise DataError(str(path), "", "no JSON list where the rows should stand", SKIP)
    return content


def _slowly(path: Path, text: str) -> Any:
    try:
        return json.loads(text, strict=False)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno:,}, column {error.colno:,}"
        raise DataError(str(path), where, f"broken JSON ({error.msg})", SKIP) from error
    except (RecursionError, ValueError) as error:  # ValueError: a number of thousands of digits
        raise DataError(str(path), "", "broken JSON (nested too deeply, or a number too long)", SKIP) from error


def csv_records(path: Path, text: str) -> Iterator[tuple[str, list[str]]]:
    """Where each record of a CSV begins, and its fields; blank ones are passed over. DataError: a quote is broken."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        where = f"line {reader.line_num + 1:,}"
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise DataError(str(path), where, f"broken CSV ({error})", SKIP) from error
        if fields is None:
            return
        if any(fields):
            yield where, fields


def song_of(text: str) -> tuple[str, str]:
    """Title and artist of "Artist - Title"; the artist is empty where no dash stands between spaces."""
    parts = _DASH.split(text.strip(), maxsplit=1)
    return (parts[1], parts[0]) if len(parts) == 2 else (parts[0], "")


def song_of_file(location: str) -> tuple[str, str]:
    """Title and artist of a file called "01 Artist - Title.mp3", given by a path of any system or an address.

    Only the text is looked at: the file may be anywhere, and is never opened. The title is empty where nothing is left.
    """
    name = unquote(location) if "://" in location else location
    name = _EXTENSION.sub("", re.split(r"[/\\]", name.strip())[-1])
    name = name.replace("_", " ") if "_-_" in name else name
    # A number is one only if "Artist - Title" is left: a band is called 311.
    number = _NUMBER.match(name)
    if number and _DASH.search(name, number.end()):
        name = name[number.end() :]
    title, artist = song_of(name)
    # "Artist - 01 - Title", too.
    return (_NUMBER_BETWEEN.sub("", title, count=1) if _NUMBER_BETWEEN.match(title) and artist else title), artist
