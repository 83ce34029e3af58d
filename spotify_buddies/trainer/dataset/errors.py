"""Errors of raw data, and the record of what was skipped because of them."""

from __future__ import annotations

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
    """What was bad. `allowed` False: the first bad thing is raised; True: it is counted and the first ones listed."""

    allowed: bool = False
    files: int = 0
    lines: int = 0
    listed: list[str] = field(default_factory=list)

    def file(self, error: DataError) -> None:
        """Note a file that is left out, whole or from some place on, or raise."""
        self._note(error)
        self.files += 1

    def line(self, error: DataError) -> None:
        """Note one line that is left out, or raise."""
        self._note(error)
        self.lines += 1

    def _note(self, error: DataError) -> None:
        if not self.allowed:
            raise error
        if len(self.listed) < LISTED:
            self.listed.append(f"{Path(error.source).name}: {error.where + ': ' if error.where else ''}{error.problem}")
