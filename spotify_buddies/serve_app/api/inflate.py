"""Decompression of messages, up to a limit.

gRPC unpacks a message whole before it looks at its size: 60 kB of gzip became 147 MiB. Our servers leave that to us
(`limits.SERVER_OPTIONS`), and what arrives packed is known by its first bytes, with which no message of the API can
begin: 0x1f is no key of a field, and 0x78 that of field 15, which no message has.
"""

from __future__ import annotations

import zlib

_GZIP = b"\x1f\x8b"
_DEFLATE = b"\x78"
# Window size 15, and the format, gzip or zlib, by its head.
_EITHER = 15 + 32


class InflateError(Exception):
    """A message cannot be unpacked: it is damaged, or larger than it may be; the text says which."""


def is_packed(data: bytes) -> bool:
    """Whether these are the bytes of gzip or zlib (RFC 1952, RFC 1950), and no message of the API."""
    return data[:2] == _GZIP or (data[:1] == _DEFLATE and len(data) > 1 and int.from_bytes(data[:2]) % 31 == 0)


def inflate(data: bytes, most: int) -> bytes:
    """The message itself, unpacked where it is packed. InflateError: it is damaged, or has more than `most` bytes.

    Memory grows with what is unpacked, to `most` and no further.
    """
    if not is_packed(data):
        return data
    stream = zlib.decompressobj(_EITHER)
    try:
        unpacked = stream.decompress(data, most + 1)
    except zlib.error as error:
        raise InflateError("the compressed message is damaged") from error
    if len(unpacked) > most:
        raise InflateError(f"the message has more than {most:,} bytes when it is unpacked; ask in parts")
    if not stream.eof:
        raise InflateError("the compressed message is cut off")
    return unpacked
