"""`buddies data validate`: every file of a folder read as the build reads it, and nothing written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from spotify_buddies.foundation.stages.progress import Progress, silent
from spotify_buddies.foundation.text.song_keys import Matching
from spotify_buddies.trainer.dataset.errors import DataError
from spotify_buddies.trainer.dataset.reading.exports.find import below
from spotify_buddies.trainer.dataset.reading.exports.read import Export
from spotify_buddies.trainer.dataset.reading.sources import Sources, check_enough, scan
from spotify_buddies.trainer.dataset.validation.checks import (
    OWN,
    TASTE_PROFILE,
    Check,
    Found,
    Outcome,
    check_attlist,
    check_export,
    check_interactions,
    check_slice,
)
from spotify_buddies.trainer.dataset.validation.fit import fit
from spotify_buddies.trainer.dataset.validation.noted import Noted
from spotify_buddies.trainer.dataset.validation.report import Checked, Report

_MPD = "Million Playlist Dataset, slice"


def validate(path: Path, *, user: str | None = None, matching: Matching, progress: Progress = silent) -> Report:
    """Check a folder of raw files, or one file. `user`: whose the exports in it are.

    All files are read, also after one that cannot be used. DataError: there is no such folder or file.
    """
    sources, problems = scan(path, user)
    if path.is_dir():
        try:
            check_enough(path, sources)
        except DataError as error:
            # What lies in the folder and is of nobody says more than that there is too little.
            problems = problems or [error]
    found = Found()
    tasks = _tasks(path if path.is_dir() else path.parent, sources, found)
    files = []
    for number, task in enumerate(tasks):
        progress("files", number, len(tasks), "files")
        files.append(task())
    progress("files", len(tasks), len(tasks), "files")
    return Report(
        files=tuple(files),
        unread=tuple((one.name, one.why) for one in sources.unread),
        matches=fit(found.names, found.heard, found.listed, matching),
        problems=tuple(map(str, problems)),
    )


def _tasks(root: Path, sources: Sources, found: Found) -> list[Callable[[], Checked]]:
    """One for each file, in the order in which they have to be read."""
    single = sources.single()

    def of_kind(kind: str, title: str, check: Check) -> Callable[[], Checked]:
        name = below(root, single[kind])
        return lambda: _checked(name, title, "", lambda noted: check(single[kind], found, noted))

    def of_slice(path: Path) -> Callable[[], Checked]:
        return lambda: _checked(below(root, path), _MPD, "", lambda noted: check_slice(path, found, noted))

    def of_export(one: Export) -> Callable[[], Checked]:
        return lambda: _checked(one.name, one.format.title, one.user, lambda noted: check_export(one, found, noted))

    def of_interactions(path: Path) -> Callable[[], Checked]:
        return lambda: _checked(
            below(root, path), "what users follow", "", lambda noted: check_interactions(path, found, noted)
        )

    def of_attlist(path: Path) -> Callable[[], Checked]:
        names = ", ".join(below(root, one) for one in sources.attlist)
        return lambda: _checked(names, "AttList", "", lambda noted: check_attlist(path, found, noted))

    def unknown(kind: str) -> Callable[[], Checked]:
        return lambda: Checked(below(root, single[kind]), kind, notes=("recognised; its rows are not checked here",))

    return [
        *(of_kind(kind, *check) for kind, check in TASTE_PROFILE.items() if kind in single),
        *map(of_slice, sources.mpd),
        *(of_kind(kind, *check) for kind, check in OWN.items() if kind in single),
        *map(of_export, sources.exports),
        *map(of_interactions, sources.interactions),
        *map(of_attlist, sources.attlist[:1]),
        *(unknown(kind) for kind in single if kind not in TASTE_PROFILE and kind not in OWN),
    ]


def _checked(name: str, title: str, user: str, check: Callable[[Noted], Outcome]) -> Checked:
    noted = Noted()
    try:
        outcome = check(noted)
    except DataError as error:
        noted.broken.append(error)
        outcome = Outcome(0, 0)
    problems = [f"{error.where + ': ' if error.where else ''}{error.problem}" for error in noted.broken]
    return Checked(
        name,
        title,
        outcome.what,
        user,
        outcome.rows,
        outcome.used,
        (*noted.reasons(), *outcome.left_out),
        noted.lines + noted.playlists,
        outcome.notes,
        "; ".join(problems),
    )
