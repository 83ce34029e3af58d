"""A record of what was bad that keeps every reason with its places, and never stops."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from spotify_buddies.trainer.dataset.errors import DataError, Skipped
from spotify_buddies.trainer.dataset.reading.exports.collect import Left
from spotify_buddies.trainer.dataset.validation.report import Reason

_QUOTED = re.compile(r"'[^']*'|\d+")


@dataclass
class Noted(Skipped):
    """Of one file. rows: reasons by what they have in common, with the first wording; broken: errors of the file."""

    allowed: bool = True
    rows: dict[str, tuple[str, Left]] = field(default_factory=dict)
    broken: list[DataError] = field(default_factory=list)

    def line(self, error: DataError, count: int = 1) -> None:
        """Note rows that cannot be used."""
        super().line(error, count)
        self._note_row(error, count)

    def playlist(self, error: DataError) -> None:
        """Note a playlist that cannot be used."""
        super().playlist(error)
        self._note_row(error, 1)

    def _note_row(self, error: DataError, count: int) -> None:
        # Each bad value is quoted in its message; a thousand of them are still one reason.
        _, left = self.rows.setdefault(_QUOTED.sub("", error.problem), (error.problem, Left()))
        left.add(error.where, count)

    def file(self, error: DataError) -> None:
        """Note that the file cannot be used, or not from some place on."""
        super().file(error)
        self.broken.append(error)

    def reasons(self) -> tuple[Reason, ...]:
        """Why rows were left out."""
        return tuple(Reason(problem, left.count, tuple(left.places)) for problem, left in self.rows.values())


def reasons(lefts: dict[str, Left]) -> tuple[Reason, ...]:
    """Rows that were left out by their reasons, as the readers of exports count them."""
    return tuple(Reason(why, left.count, tuple(left.places)) for why, left in lefts.items())
