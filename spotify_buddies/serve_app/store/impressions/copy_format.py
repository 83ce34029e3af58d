"""Answers as the bytes of a binary COPY, many lists at a time (measured in docs/adr/0016)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.serve_app.ranking.history import Shown
from spotify_buddies.serve_app.ranking.query import Skipped, Source
from spotify_buddies.serve_app.store.impressions import copy_kernels
from spotify_buddies.trainer.bundle import StringTable

Array = npt.NDArray[Any]

# In the order of the bytes.
COLUMNS = (
    "at", "recommendation_id", "user_id", "playlist_ids", "model_version", "arm", "source", "scores", "propensities",
    "skipped", "candidates", "asked", "computed", "picked_by",
)  # fmt: skip
HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
# The epoch of Postgres' microseconds.
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_EPOCH_S, _SECOND = 946_684_800, 1_000_000
# Postgres stores neither NUL nor halves of surrogate pairs.
_UNSTORED = re.compile("[\0\ud800-\udfff]")
# Packed tables of playlist ids that are kept; a replica has one per model version.
TABLES = 4
_SOURCES = StringTable.of(["", *(source.name.lower() for source in Source)])
_NO_BITS = np.empty(0, np.uint32)
_NOBODY = Csr(np.zeros(1, np.int64), np.empty(0, np.int32), 0)


@dataclass(frozen=True)
class _PackedTable:
    """A packed table of playlist ids. unstorable: its rows that Postgres cannot store; they are empty in `packed`.

    The table is kept beside its packed form, so that its id() stays taken.
    """

    table: Sequence[str]
    packed: StringTable
    unstorable: Array


class CopyEncoder:
    """Turns columns into rows. Remembers the tables of playlist ids."""

    def __init__(self) -> None:
        self._tables: dict[int, _PackedTable] = {}

    def fit(self, shown: Shown) -> Shown:
        """The answer without the lists that Postgres cannot store; mostly the answer itself.

        An id is never changed to make it storable: another user could have that id, and would inherit the history.
        """
        unstorable = self._packed(shown.playlist_ids).unstorable
        versions = shown.model_version + shown.arm
        if not unstorable.size and not _UNSTORED.search(
            "".join((*shown.user_ids, *shown.recommendation_ids, versions))
        ):
            return shown
        kept = [
            place
            for place, (user_id, recommendation_id) in enumerate(
                zip(shown.user_ids, shown.recommendation_ids, strict=True)
            )
            if not _UNSTORED.search(user_id + recommendation_id + versions)
            and not np.isin(shown.rows[place, : shown.counts[place]], unstorable).any()
        ]
        return shown.take(kept)

    def encode(self, answers: Sequence[Shown], at_once: int) -> Iterator[bytes]:
        """Rows for COPY impressions, in parts of about `at_once` lists; the caller adds header and trailer.

        answers: as `fit` returns them.
        """
        for _, group in groupby(answers, _shared):
            part: list[Shown] = []
            lists = 0
            for shown in group:
                part.append(shown)
                lists += len(shown.user_ids)
                if lists >= at_once:
                    yield self._encode(part)
                    part, lists = [], 0
            if part:
                yield self._encode(part)

    def warm_up(self) -> None:
        """Compile the kernel, which would block the event loop when the first answer is written."""
        row = np.zeros((1, 1), np.int32)
        nothing = Shown(("",), ("",), (Source.LIVE,), row, row[0], ("",), "", "", _EPOCH)
        list(self.encode([nothing], 1))

    def _encode(self, answers: Sequence[Shown]) -> bytes:
        """Rows of answers that share what `_shared` says."""
        first = answers[0]
        names = self._packed(first.playlist_ids).packed
        sizes = [len(shown.user_ids) for shown in answers]
        moments = np.repeat([(shown.at - _EPOCH) // _MICROSECOND for shown in answers], sizes)
        widths = np.repeat([shown.rows.shape[1] for shown in answers], sizes)
        ids = StringTable.of([text for shown in answers for text in shown.recommendation_ids])
        users = StringTable.of([text for shown in answers for text in shown.user_ids])
        tail = b"".join(_field(text) for text in (first.model_version, first.arm))
        sources = np.fromiter((source for shown in answers for source in shown.sources), np.int64, sum(sizes))
        lists = (
            np.cumsum(widths) - widths, np.concatenate([shown.counts for shown in answers]),
            np.concatenate([shown.rows.ravel() for shown in answers]),
            _bits([shown.scores for shown in answers]), _bits([shown.propensities for shown in answers]),
        )  # fmt: skip
        encoded = copy_kernels.encode_rows(
            moments.astype(np.int64), (ids.offsets, ids.data), (users.offsets, users.data), lists,
            (names.offsets, names.data), np.frombuffer(tail, np.uint8), (sources, _SOURCES.offsets, _SOURCES.data),
            (_steps(answers, sizes), _STEPS.offsets, _STEPS.data), _candidates(answers, sizes), _asked(answers, sizes),
            _computed(answers, sizes, sources), _teams(answers, sizes),
        )  # fmt: skip
        data: bytes = encoded.tobytes()
        return data

    def _packed(self, table: Sequence[str]) -> _PackedTable:
        if isinstance(table, tuple):
            return _pack(table)  # the few playlists of one answer, drafted from two versions
        packed = self._tables.get(id(table))
        if packed is None:
            if len(self._tables) >= TABLES:
                self._tables.clear()
            packed = self._tables[id(table)] = _pack(table)
        return packed


def _shared(shown: Shown) -> tuple[Any, ...]:
    """What all answers of one part have in common."""
    given = shown.scores is None, shown.propensities is None
    return id(shown.playlist_ids), id(shown.held), shown.model_version, shown.arm, *given


def _bits(columns: Sequence[Array | None]) -> Array:
    """Bits of float32, uint32, of what all answers have or none."""
    given = [column.ravel() for column in columns if column is not None]
    return np.concatenate(given).astype(np.float32, copy=False).view(np.uint32) if given else _NO_BITS


def _steps(answers: Sequence[Shown], sizes: Sequence[int]) -> Array:
    """The number in _STEPS of each list, int64 (n,)."""
    numbers = np.zeros(sum(sizes), np.int64)
    first = 0
    for shown, size in zip(answers, sizes, strict=True):
        if shown.skipped is not None and any(shown.skipped):
            numbers[first : first + size] = [sum(1 << (step - 1) for step in set(steps)) for steps in shown.skipped]
        first += size
    return numbers


def _teams(answers: Sequence[Shown], sizes: Sequence[int]) -> tuple[Array, Array, Array]:
    """Who picked the playlists of each list: rows (n,) in a table of whole columns, its offsets and its bytes."""
    if all(shown.picked_by is None for shown in answers):
        return np.zeros(sum(sizes), np.int64), *_NOT_DRAFTED
    rows, columns = np.zeros(sum(sizes), np.int64), [_names(())]
    first = 0
    for shown, size in zip(answers, sizes, strict=True):
        if shown.picked_by is not None:
            rows[first : first + size] = np.arange(len(columns), len(columns) + size)
            columns += map(_names, shown.picked_by)
        first += size
    return rows, *_table(columns)


def _candidates(answers: Sequence[Shown], sizes: Sequence[int]) -> tuple[Array, Array, Array, Array]:
    """As copy_kernels.candidates_of takes them."""
    found, rows = np.zeros(sum(sizes), np.uint64), np.full(sum(sizes), -1, np.int32)
    first = 0
    for shown, size in zip(answers, sizes, strict=True):
        if shown.candidates is not None:
            found[first : first + size] = shown.candidates
        if shown.held_rows is not None:
            rows[first : first + size] = shown.held_rows
        first += size
    held = _NOBODY if answers[0].held is None else answers[0].held
    return found, rows, _read_only(held.indptr), _read_only(held.indices)


def _asked(answers: Sequence[Shown], sizes: Sequence[int]) -> tuple[Array, Array, Array, Array]:
    """Rows of what a call shares and of a list's own, int64 (n,), -1: nothing; offsets and bytes of them."""
    shared, own = np.full(sum(sizes), -1, np.int64), np.full(sum(sizes), -1, np.int64)
    texts: list[bytes] = []
    first = 0
    for shown, size in zip(answers, sizes, strict=True):
        if shown.asked is not None:
            shared[first : first + size] = len(texts)
            texts.append(shown.asked)
            for place, taste in enumerate(shown.tastes or (), first):
                if taste is None:
                    shared[place] = -1
                else:
                    own[place] = len(texts)
                    texts.append(taste)
        first += size
    return shared, own, *_table(texts)


def _computed(answers: Sequence[Shown], sizes: Sequence[int], sources: Array) -> Array:
    """Microseconds since 2000 of the lists of the day whose time is known, int64 (n,), else NO_MOMENT."""
    times = [
        copy_kernels.NO_MOMENT if shown.computed is None else (shown.computed - _EPOCH_S) * _SECOND for shown in answers
    ]
    found: Array = np.where(
        sources == Source.DAILY, np.repeat(np.array(times, np.int64), sizes), copy_kernels.NO_MOMENT
    )
    return found


def _table(texts: Sequence[bytes]) -> tuple[Array, Array]:
    """Offsets int64 (n + 1,) and the bytes, uint8, read-only."""
    offsets = np.zeros(len(texts) + 1, np.int64)
    np.cumsum([len(text) for text in texts], out=offsets[1:])
    return offsets, np.frombuffer(b"".join(texts), np.uint8)


def _read_only(array: Array) -> Array:
    """A read-only view: numba would compile again for a writable array."""
    view = array.view()
    view.flags.writeable = False
    return view


def _pack(table: Sequence[str]) -> _PackedTable:
    if isinstance(table, StringTable):
        # Packed text is UTF-8, so only NUL can be wrong with it.
        places = np.flatnonzero(table.data == 0)
        return _PackedTable(table, _frozen(table), np.unique(np.searchsorted(table.offsets, places, side="right") - 1))
    unstorable = [row for row, text in enumerate(table) if _UNSTORED.search(text)]
    texts = list(table)
    for row in unstorable:
        texts[row] = ""
    return _PackedTable(table, _frozen(StringTable.of(texts)), np.array(unstorable, np.int64))


def _frozen(table: StringTable) -> StringTable:
    return StringTable(_read_only(table.offsets), _read_only(table.data))


def _field(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(4, "big") + data


def _names(names: Sequence[str]) -> bytes:
    """A whole column: a text array, or NULL where it is empty."""
    if not names:
        return b"\xff" * 4
    head = (1, 0, copy_kernels.TEXT_OID, len(names), 1)
    data = b"".join(number.to_bytes(4, "big") for number in head) + b"".join(map(_field, names))
    return len(data).to_bytes(4, "big") + data


class _Table(NamedTuple):
    offsets: Array
    data: Array


# Column `skipped` by a number whose bit k is set where the step k + 1 was left out.
_STEPS = _Table(
    *_table(
        [
            _names([step.name.lower() for step in Skipped if number >> (step - 1) & 1])
            for number in range(1 << max(Skipped))
        ]
    )
)
# Column `picked_by` of lists that one version made.
_NOT_DRAFTED = _table([_names(())])
