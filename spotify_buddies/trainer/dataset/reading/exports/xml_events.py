"""XML read piece by piece, so that a library of any size fits; entities are refused and nothing is fetched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal
from xml.parsers import expat

from spotify_buddies.trainer.dataset.errors import SKIP, DataError

_PIECE_BYTES = 1 << 16
_MOST_DEEP, _MOST_TEXT = 64, 1 << 20

Event = tuple[Literal["start", "end"], str, str, int]


class _Refused(Exception):
    """A part of XML that no export has and that only attacks use."""


class _Handlers:
    def __init__(self, parser: expat.XMLParserType) -> None:
        self.events: list[Event] = []
        self._parser, self._depth, self._size = parser, 0, 0
        self._text: list[str] = []
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        # An entity may stand for others without end (https://en.wikipedia.org/wiki/Billion_laughs_attack) or for a
        # file of this machine. Without a handler for external ones expat fetches none, a DTD neither.
        parser.EntityDeclHandler = self._entity

    def _start(self, name: str, _attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _MOST_DEEP:
            raise _Refused("nested too deeply")
        self._text, self._size = [], 0
        self.events.append(("start", _local(name), "", self._parser.CurrentLineNumber))

    def _end(self, name: str) -> None:
        self._depth -= 1
        self.events.append(("end", _local(name), "".join(self._text).strip(), self._parser.CurrentLineNumber))
        self._text, self._size = [], 0

    def _characters(self, text: str) -> None:
        self._size += len(text)
        if self._size > _MOST_TEXT:
            raise _Refused("a text of more than 1 MiB")
        self._text.append(text)

    def _entity(self, *_declaration: object) -> None:
        raise _Refused("entities are declared, which no export does")


def xml_events(path: Path) -> Iterator[Event]:
    """Starts and ends of elements: the kind, the name without its namespace, an end's text, the line in the file.

    The text is what stands before the end since the last tag. DataError: broken, empty, entities are declared, or
    something is too deep or too long for an export.
    """
    parser = expat.ParserCreate(namespace_separator=" ")
    handlers = _Handlers(parser)
    with path.open("rb") as file:
        while True:
            try:
                done = _feed(parser, file)
            # LookupError and ValueError: of an encoding that nobody knows, or that expat cannot read.
            except (expat.ExpatError, LookupError, ValueError, _Refused) as error:
                yield from handlers.events
                where = f"line {parser.CurrentLineNumber:,}"
                raise DataError(str(path), where, f"broken XML ({error})", SKIP) from error
            yield from handlers.events
            handlers.events.clear()
            if done:
                return


def _feed(parser: expat.XMLParserType, file: BinaryIO) -> bool:
    """Parse the next piece; whether it was the last."""
    piece = file.read(_PIECE_BYTES)
    parser.Parse(piece, not piece)
    return not piece


def _local(name: str) -> str:
    return name.rpartition(" ")[2]
