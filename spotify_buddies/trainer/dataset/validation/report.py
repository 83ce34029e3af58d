"""What was found out about a folder of raw files: for people as lines, for scripts as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from spotify_buddies.foundation.terminal.visible import visible

QUIET = 20  # files of one format, all of whose rows are used, that are shown
REASONS = 12  # that are shown of one file; JSON holds all


@dataclass(frozen=True)
class Reason:
    """Why rows were left out. places: of the first few; more may have been left out."""

    why: str
    rows: int
    places: tuple[str, ...] = ()


@dataclass(frozen=True)
class Checked:
    """One file. name: below the folder; what: the rows' kind; problem: why the file, or its rest, cannot be used.

    malformed: rows among those left out at which `buddies data build` stops without --skip-bad-files.
    """

    name: str
    format: str
    what: str = "rows"
    user: str = ""
    rows: int = 0
    used: int = 0
    left_out: tuple[Reason, ...] = ()
    malformed: int = 0
    notes: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Matches:
    """Songs of the listens that playlists hold too; cause: why there are none, as far as the names show it."""

    matching: str
    heard: int
    listed: int
    shared: int
    cause: str = ""


@dataclass(frozen=True)
class Report:
    """Everything. unread: files by name, and why each is not read; problems: why the folder cannot be built."""

    files: tuple[Checked, ...]
    unread: tuple[tuple[str, str], ...]
    matches: Matches
    problems: tuple[str, ...]

    @property
    def usable(self) -> bool:
        """Whether every file that was recognised can be used, and they are enough for a data set."""
        return not self.problems and not any(checked.problem for checked in self.files)

    def to_json(self) -> dict[str, Any]:
        """All of it; `usable` says what the exit code says."""
        unread = [{"name": name, "why": why} for name, why in self.unread]
        return asdict(self) | {"unread": unread, "usable": self.usable}

    def lines(self) -> Iterator[str]:
        """The report for people: files, what is not read, matches, and the result last."""
        # A thousand slices of which all is used say nothing one by one.
        quiet: dict[str, list[Checked]] = {}
        for checked in self.files:
            alike = quiet.setdefault(checked.format, [])
            if checked.used < checked.rows or checked.problem or len(alike) < QUIET:
                yield from _file_lines(checked)
            if checked.used == checked.rows and not checked.problem:
                alike.append(checked)
        for format_name, alike in quiet.items():
            if more := alike[QUIET:]:
                rows = sum(checked.rows for checked in more)
                yield f"and {len(more):,} more: {format_name}: {rows:,} {more[0].what}, all used"
        if self.unread:
            yield "not read:"
            yield from (f"  {visible(name)}: {why}" for name, why in self.unread)
        yield from _match_lines(self.matches)
        for problem in self.problems:
            yield f"PROBLEM: {problem}"
        bad = sum(bool(checked.problem) for checked in self.files)
        broken = f", {bad:,} of them with a PROBLEM" if bad else ""
        count = len(self.files)
        yield f"{count:,} {_plural('file', count)} recognised{broken}; {len(self.unread):,} not read"
        yield self._result()

    def _result(self) -> str:
        malformed = sum(checked.malformed for checked in self.files)
        if not self.usable:
            return "result: not usable as it is; see each PROBLEM"
        if malformed:
            rows = f"{malformed:,} malformed {_plural('row', malformed)}"
            return f"result: usable with `buddies data build --skip-bad-files`, which leaves out {rows}"
        but = ", but see the WARNING" if self.matches.cause else ""
        return f"result: usable by `buddies data build`{but}"


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"


def _file_lines(checked: Checked) -> Iterator[str]:
    whose = f", of {visible(checked.user)}" if checked.user else ""
    yield f"{visible(checked.name)}: {checked.format}{whose}"
    left = checked.rows - checked.used
    yield f"  {checked.rows:,} {checked.what}, {checked.used:,} used" + (f", {left:,} left out:" if left else "")
    for reason in checked.left_out[:REASONS]:
        more = ", …" if reason.rows > len(reason.places) else ""
        places = f" ({'; '.join(reason.places)}{more})" if reason.places else ""
        yield f"    {reason.rows:,}: {visible(reason.why)}{places}"
    if len(checked.left_out) > REASONS:
        yield f"    and {len(checked.left_out) - REASONS:,} more reasons; --json has them all"
    yield from (f"  note: {visible(note)}" for note in checked.notes)
    if checked.problem:
        yield f"  PROBLEM: {visible(checked.problem)}"


def _match_lines(matches: Matches) -> Iterator[str]:
    if not matches.heard and not matches.listed:
        return
    yield (
        f"matches: {matches.shared:,} of {matches.heard:,} songs heard are in playlists, which hold {matches.listed:,} "
        f"({matches.matching} matching)"
    )
    if matches.cause:
        yield f"WARNING: NO SONG OF THE LISTENS IS IN A PLAYLIST. {visible(matches.cause)}"
