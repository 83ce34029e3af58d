"""Who follows, likes, saves or dislikes which playlist: tables of real interactions, and AttList's given split.

Columns: user_id, playlist_id[, at][, weight][, kind]. Without `kind` the file's name says it: dislikes.* are dislikes,
all others follows. `at` is an ISO 8601 date or time (without an offset: UTC) or seconds since 1970.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from spotify_buddies.foundation.text.ids import fault
from spotify_buddies.trainer.dataset.errors import LISTED, SKIP, DataError, Skipped
from spotify_buddies.trainer.dataset.reading.attlist import AttList
from spotify_buddies.trainer.dataset.reading.intern import Ids
from spotify_buddies.trainer.dataset.reading.rows import table_rows

Array = npt.NDArray[Any]
Tick = Callable[[int], None]

FILE = "interactions.parquet"
FOLLOW, DISLIKE = 0, 1
NO_TIME = np.iinfo(np.int64).min
NO_PART = 255

_KINDS = {
    **dict.fromkeys(("follow", "follows", "like", "likes", "liked", "save", "saves", "saved"), FOLLOW),
    **dict.fromkeys(("dislike", "dislikes", "disliked"), DISLIKE),
}
_TICK_ROWS = 65_536
# Far inside float32, so that a weight survives it.
_LEAST_WEIGHT, _MOST_WEIGHT = 1e-30, 1e30
_UNKNOWN_PLAYLIST = "interactions_with_an_unknown_playlist"
_UNKNOWN_USER = "dislikes_of_a_user_nobody_knows"


@dataclass
class Interactions:
    """One entry per row that was read, in the order read: rows of users and playlists, milliseconds since 1970 (or
    NO_TIME), weight, FOLLOW or DISLIKE, and the part of a given split (or NO_PART).

    counts: rows that were left out by why. listed: the first of them, with file and line. of_erased: rows
    of the users in `erased`, which are left out.
    """

    users: array[int] = field(default_factory=lambda: array("i"))
    playlists: array[int] = field(default_factory=lambda: array("i"))
    times: array[int] = field(default_factory=lambda: array("q"))
    weights: array[float] = field(default_factory=lambda: array("f"))
    kinds: array[int] = field(default_factory=lambda: array("B"))
    parts: array[int] = field(default_factory=lambda: array("B"))
    counts: dict[str, int] = field(default_factory=dict)
    listed: list[str] = field(default_factory=list)
    of_erased: int = 0
    erased: set[str] = field(default_factory=set)

    def add(self, user: int, playlist: int, at: int, weight: float, kind: int, part: int = NO_PART) -> None:
        """Append one entry."""
        self.users.append(user)
        self.playlists.append(playlist)
        self.times.append(at)
        self.weights.append(weight)
        self.kinds.append(kind)
        self.parts.append(part)

    def leave_out(self, what: str, path: Path, where: str, problem: str) -> None:
        """Count a row that says something about nobody or nothing that is known."""
        self.counts[what] = self.counts.get(what, 0) + 1
        if len(self.listed) < LISTED:
            self.listed.append(f"{path.name}: {where}: {problem}")


def read_interactions(
    paths: Iterable[Path],
    users: Ids,
    owners: Iterable[str],
    playlists: Ids,
    skipped: Skipped,
    tick: Tick,
    erased: Container[str] = (),
) -> Interactions:
    """Read tables of interactions, in this order. Users who follow something are added to `users`.

    A row whose id is no id, whose time or kind cannot be read, or whose weight is no finite number above 0 goes to
    `skipped`. Counted and left out: a row with a playlist that is not known, and a dislike of a user who neither
    listens, follows nor is in `owners`. Rows of `erased` users are left out and not listed: that would name them.
    DataError as table_rows.
    """
    found = Interactions()
    later: list[tuple[Path, str, str, int, int]] = []
    for path in paths:
        rows = table_rows(path, ("user_id", "playlist_id"), ("at", "weight", "kind"), skipped)
        usual = "dislike" if path.name.startswith("dislikes") else "follow"
        for number, (where, (raw_user, raw_playlist, at, weight, kind)) in enumerate(rows):
            if number % _TICK_ROWS == 0:
                tick(number)
            user, playlist = raw_user.strip(), raw_playlist.strip()
            try:
                _check_id("user_id", user)
                _check_id("playlist_id", playlist)
                moment, worth, what = _time(at.strip()), _weight(weight.strip()), _kind(kind.strip() or usual)
            except ValueError as error:
                skipped.line(DataError(str(path), where, str(error), SKIP))
                continue
            if user in erased:
                found.of_erased += 1
                found.erased.add(user)
            elif playlist not in playlists:
                found.leave_out(_UNKNOWN_PLAYLIST, path, where, f"no playlist {playlist!r} is known")
            elif what == FOLLOW:
                found.add(users.code(user), playlists.code(playlist), moment, worth, FOLLOW)
            else:
                # Who is known shows when all follows are read.
                later.append((path, where, user, playlists.code(playlist), moment))
    _add_dislikes(found, later, users, set(owners))
    return found


def add_attlist(found: Interactions, read: AttList, first_user: Array, first_playlist: int) -> None:
    """Add the pairs of AttList under their given parts. first_user: codes by AttList's number; playlists in a row."""
    for part, pairs in enumerate((read.train, read.validation, read.test)):
        if pairs is not None:
            for user, playlist in zip(first_user[pairs.users].tolist(), pairs.playlists.tolist(), strict=True):
                found.add(user, first_playlist + playlist, NO_TIME, 1.0, FOLLOW, part)


def write_interactions(directory: Path, found: Interactions) -> dict[str, Any]:
    """Write FILE: user, playlist, at (null where unknown), weight, kind, part (null where none is given); statistics.

    One row per user and playlist, by user, then playlist: of equal ones the earliest time and the largest weight.
    Where a user follows and dislikes the same playlist the later counts, and the dislike where the times do not tell.
    """
    rows = pl.DataFrame(
        {
            "user": pl.Series(np.array(found.users, np.int32)),
            "playlist": pl.Series(np.array(found.playlists, np.int32)),
            "at": pl.Series(np.array(found.times, np.int64)),
            "weight": pl.Series(np.array(found.weights, np.float32)),
            "kind": pl.Series(np.array(found.kinds, np.uint8)),
            "part": pl.Series(np.array(found.parts, np.uint8)),
        }
    )
    once = rows.group_by("user", "playlist", "kind").agg(
        pl.col("at").min(), pl.col("at").max().alias("last"), pl.col("weight").max(), pl.col("part").min()
    )
    # Of two kinds the one to keep comes first: the later, then the dislike, which has the higher number.
    known = pl.col("at").min().over("user", "playlist") > NO_TIME
    when = pl.when(known).then(pl.col("last")).otherwise(0)
    kept = (
        once.with_columns(when.alias("when"))
        .sort("user", "playlist", "when", "kind", descending=[False, False, True, True])
        .unique(("user", "playlist"), keep="first", maintain_order=True)
        .select(
            "user",
            "playlist",
            pl.when(pl.col("at") > NO_TIME).then(pl.col("at")).alias("at"),
            "weight",
            "kind",
            pl.when(pl.col("part") < NO_PART).then(pl.col("part")).alias("part"),
        )
    )
    kept.write_parquet(directory / FILE)
    return {
        "interactions": rows.height,
        "follows": kept.filter(kind=FOLLOW).height,
        "dislikes": kept.filter(kind=DISLIKE).height,
        "follows_with_a_time": kept.filter(kind=FOLLOW)["at"].drop_nulls().len(),
        "interactions_that_came_twice": rows.height - once.height,
        "playlists_both_followed_and_disliked": once.height - kept.height,
        _UNKNOWN_PLAYLIST: found.counts.get(_UNKNOWN_PLAYLIST, 0),
        _UNKNOWN_USER: found.counts.get(_UNKNOWN_USER, 0),
        "interactions_left_out": found.listed,
    }


def _add_dislikes(
    found: Interactions, rows: Iterable[tuple[Path, str, str, int, int]], users: Ids, owners: set[str]
) -> None:
    for path, where, user, playlist, moment in rows:
        if user in users or user in owners:
            found.add(users.code(user), playlist, moment, 1.0, DISLIKE)
        else:
            found.leave_out(_UNKNOWN_USER, path, where, f"user {user!r} neither listens, follows nor owns a playlist")


def _check_id(column: str, value: str) -> None:
    problem = fault(value) if value else "is empty"
    if problem:
        raise ValueError(f"the {column} {problem}")


def _time(text: str) -> int:
    """Milliseconds since 1970; NO_TIME of an empty text. ValueError."""
    if not text:
        return int(NO_TIME)
    problem = f"the time {text[:40]!r} is neither an ISO 8601 date or time nor seconds since 1970"
    try:
        return round(_seconds(text) * 1000)
    except (ValueError, OverflowError) as error:
        raise ValueError(problem) from error


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    # A day like 20240131 and milliseconds are numbers too, but of another unit: better refused than misread.
    if not 1e8 <= seconds < 1e11:
        raise ValueError(text)
    return seconds


def _weight(text: str) -> float:
    """1.0 of an empty text. ValueError."""
    try:
        weight = float(text or 1)
    except ValueError:
        raise ValueError(f"the weight {text[:40]!r} is not a number") from None
    if not math.isfinite(weight):
        raise ValueError(f"the weight {text!r} is not a finite number")
    if not _LEAST_WEIGHT <= weight <= _MOST_WEIGHT:
        raise ValueError(
            f"the weight {text!r} is not above 0" if weight <= 0 else f"the weight {text!r} is too extreme"
        )
    return weight


def _kind(text: str) -> int:
    kind = _KINDS.get(text.lower())
    if kind is None:
        raise ValueError(f"the kind {text[:40]!r} is none of follow, like, save, dislike")
    return kind
