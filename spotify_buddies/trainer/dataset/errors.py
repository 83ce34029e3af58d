"""Errors of raw data, and the record of what was skipped because of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path


class DataError(Exception):
    """Raw data that cannot be used. source: the file; where: line, byte or field; problem; advice: what to do."""

    def __init__(self, source: str, where: str, problem: str, advice: str = "") -> None:
        super().__init__(source, where, problem, advice)
        self.source, self.where, self.problem, self.advice = source, where, problem, advice

    def __str__(self) -> str:
        place = f"{self.source}: {self.where}: " if self.where else f"{self.source}: "
        return place + self.problem + (f"; {self.advice}" if self.advice else "")


SKIP = "repair the file, or leave such parts out with --skip-bad-files"
LISTED = 50


@dataclass
class Skipped:
    """What was bad. `allowed` False: the first bad thing is raised; True: it is counted and the first ones listed.

    lines: of text, or rows of a table. unread: by file, the columns that nothing reads; they are no fault.
    """

    allowed: bool = False
    files: int = 0
    lines: int = 0
    playlists: int = 0
    listed: list[str] = field(default_factory=list)
    unread: dict[str, list[str]] = field(default_factory=dict)

    def file(self, error: DataError) -> None:
        """Note a file that is left out, whole or from some place on, or raise."""
        self._note(error)
        self.files += 1

    def line(self, error: DataError, count: int = 1) -> None:
        """Note one line that is left out, or `count` of them together, or raise."""
        self._note(error)
        self.lines += count

    def playlist(self, error: DataError) -> None:
        """Note one playlist of a slice that is left out, or raise."""
        self._note(error)
        self.playlists += 1

    def columns(self, source: Path, names: Iterable[str]) -> None:
        """Note columns of a file that nothing reads, each once."""
        noted = self.unread.get(source.name, [])
        if new := [name for name in dict.fromkeys(names) if name not in noted]:
            self.unread[source.name] = noted + new

    def _note(self, error: DataError) -> None:
        if not self.allowed:
            raise error
        if len(self.listed) < LISTED:
            self.listed.append(f"{Path(error.source).name}: {error.where + ': ' if error.where else ''}{error.problem}")
