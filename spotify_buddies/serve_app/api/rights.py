"""ExportUser and EraseUser: the rights of a listener over the wire. The work is that of `buddies user`, in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator, Iterator

import psycopg
from google.protobuf.timestamp_pb2 import Timestamp
from redis.exceptions import RedisError

from spotify_buddies.foundation.text.ids import fault
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.api.codec import Malformed, refuse_malformed
from spotify_buddies.serve_app.errors import InvalidRequest, NotAllowed, StoreUnavailable, Violation
from spotify_buddies.serve_app.store.rights.erase import Receipt, erase
from spotify_buddies.serve_app.store.rights.export import export
from spotify_buddies.serve_app.store.rights.places import Places
from spotify_buddies.serve_app.telemetry.redact import cause

PART_BYTES = 65_536
# Longest wait for other processes: a call has a maximum, and the receipt says who has not confirmed.
CONFIRM_WITHIN_S = 5.0


class Rights:
    """The two calls. places: None: they are not offered."""

    def __init__(self, places: Places | None) -> None:
        self._places = places

    async def export(self, request: pb.ExportUserRequest | Malformed) -> AsyncGenerator[pb.ExportUserResponse, None]:
        """The document in parts. NotAllowed, InvalidRequest, StoreUnavailable."""
        places = self._allowed("ExportUser")
        parts = _parts(export(places, _checked(refuse_malformed(request).user_id)))
        try:
            while part := await asyncio.to_thread(_next, parts):
                yield pb.ExportUserResponse(part=part)
        finally:
            await asyncio.to_thread(parts.close)

    async def erase(self, request: pb.EraseUserRequest | Malformed) -> pb.EraseUserResponse:
        """The receipt. NotAllowed, InvalidRequest, StoreUnavailable."""
        places = self._allowed("EraseUser")
        user_id = _checked(refuse_malformed(request).user_id)
        try:
            return _encoded(await asyncio.to_thread(erase, places, user_id, within_s=CONFIRM_WITHIN_S))
        except (psycopg.Error, OSError) as error:
            raise StoreUnavailable(cause(error)) from error

    def _allowed(self, method: str) -> Places:
        if self._places is None:
            raise NotAllowed(method)
        return self._places


def _checked(user_id: str) -> str:
    """The id of a listener. InvalidRequest: it is none."""
    if problem := fault(user_id):
        raise InvalidRequest((Violation("user_id", problem),))
    return user_id


def _next(parts: Iterator[bytes]) -> bytes:
    """The next part; empty at the end. StoreUnavailable."""
    try:
        return next(parts, b"")
    except (psycopg.Error, RedisError, OSError) as error:
        raise StoreUnavailable(cause(error)) from error


def _parts(document: Iterator[str]) -> Generator[bytes, None, None]:
    held = bytearray()
    for text in document:
        held += text.encode()
        while len(held) >= PART_BYTES:
            yield bytes(held[:PART_BYTES])
            del held[:PART_BYTES]
    if held:
        yield bytes(held)


def _encoded(receipt: Receipt) -> pb.EraseUserResponse:
    at = Timestamp()
    at.FromDatetime(receipt.erased_at)
    return pb.EraseUserResponse(
        listener=receipt.listener,
        erased_at=at,
        rows=[
            pb.ErasedRows(place=f"{place}/{name}", rows=count)
            for place, rows in receipt.rows.items()
            for name, count in rows.items()
        ],
        confirmed=receipt.confirmed,
        left=receipt.left,
        notes=receipt.notes,
    )
