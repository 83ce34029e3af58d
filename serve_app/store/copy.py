"""Answers as the bytes of a binary COPY, many listeners at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from serve_app.history import Shown
from serve_app.query import Source
from serve_app.store import copy_kernels
from trainer.bundle import StringTable

Array = npt.NDArray[Any]

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
# What Postgres counts its microseconds from.
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# Postgres holds neither NUL nor halves of surrogate pairs.
_UNSTORED = re.compile("[\0\ud800-\udfff]")
# Tables of playlist ids that are kept packed; a replica has one per model version.
TABLES = 4
_SOURCES = StringTable.of(["", *(source.name.lower() for source in Source)])


class Encoder:
    """Turns columns into rows. Remembers the tables of playlist ids that do not come packed."""

    def __init__(self) -> None:
        self._tables: dict[int, tuple[Sequence[str], StringTable]] = {}

    def encode(self, answers: Sequence[Shown], at_once: int) -> Iterator[bytes]:
        """Rows for COPY impressions, in parts of about `at_once` listeners; header and trailer are the caller's."""
        for _, group in groupby(answers, lambda shown: (id(shown.playlist_ids), shown.model_version, shown.arm)):
            part: list[Shown] = []
            listeners = 0
            for shown in group:
                part.append(shown)
                listeners += len(shown.user_ids)
                if listeners >= at_once:
                    yield self._encode(part)
                    part, listeners = [], 0
            if part:
                yield self._encode(part)

    def warm_up(self) -> None:
        """Compile the kernel, which would hold up everybody when the first answer is written."""
        row = np.zeros((1, 1), np.int32)
        nothing = Shown(("",), ("",), (Source.LIVE,), row, row[0], ("",), "", "", _EPOCH)
        list(self.encode([nothing], 1))

    @staticmethod
    def clean(text: str) -> str:
        """The text as it is stored."""
        return _UNSTORED.sub("\ufffd", text)

    def _encode(self, answers: Sequence[Shown]) -> bytes:
        """Rows of answers that have table, version and arm in common."""
        first = answers[0]
        names = self._names(first.playlist_ids)
        sizes = [len(shown.user_ids) for shown in answers]
        moments = np.repeat([(shown.at - _EPOCH) // _MICROSECOND for shown in answers], sizes)
        widths = np.repeat([shown.rows.shape[1] for shown in answers], sizes)
        ids = _packed([text for shown in answers for text in shown.recommendation_ids])
        users = _packed([text for shown in answers for text in shown.user_ids])
        tail = b"".join(_field(text) for text in (first.model_version, first.arm))
        sources = np.fromiter((source for shown in answers for source in shown.sources), np.int64, sum(sizes))
        encoded = copy_kernels.encode_rows(
            moments.astype(np.int64), ids.offsets, ids.data, users.offsets, users.data,
            np.cumsum(widths) - widths, np.concatenate([shown.counts for shown in answers]),
            np.concatenate([shown.rows.ravel() for shown in answers]), names.offsets, names.data,
            np.frombuffer(tail, np.uint8), sources, _SOURCES.offsets, _SOURCES.data,
        )  # fmt: skip
        data: bytes = encoded.tobytes()
        return data

    def _names(self, table: Sequence[str]) -> StringTable:
        if isinstance(table, StringTable):
            return _frozen(table)
        found = self._tables.get(id(table))
        if found is None:
            if len(self._tables) >= TABLES:
                self._tables.clear()
            # The table is kept beside its packed form, so that no other one can get its id.
            found = self._tables[id(table)] = (table, _frozen(_packed(list(table))))
        return found[1]


def _packed(texts: list[str]) -> StringTable:
    """Strings as they are stored. One look at all of them tells whether any has to be changed."""
    if _UNSTORED.search("".join(texts)):
        texts = [_UNSTORED.sub("\ufffd", text) for text in texts]
    return StringTable.of(texts)


def _frozen(table: StringTable) -> StringTable:
    """Views that nothing is written through: numba compiles anew for what can be written."""
    offsets, data = table.offsets.view(), table.data.view()
    offsets.flags.writeable = data.flags.writeable = False
    return StringTable(offsets, data)


def _field(text: str) -> bytes:
    data = Encoder.clean(text).encode()
    return len(data).to_bytes(4, "big") + data
