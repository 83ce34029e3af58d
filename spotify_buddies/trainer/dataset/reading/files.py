"""Raw files as bytes of UTF-8: plain, gzip or zstd, whole or in blocks of lines; and their fingerprint."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path

import xxhash
import zstandard

from spotify_buddies.trainer.dataset.errors import SKIP, DataError, Skipped

BOM = b"\xef\xbb\xbf"
_BLOCK_BYTES = 1 << 22
_PACKED_BYTES = 1 << 14  # short, because what a piece holds before the place where it breaks is lost
_BEGINNING_BYTES = 1 << 16
_MARK_BYTES = 4
_MARKS = (  # the longer ones first: the mark of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_BROKEN = (gzip.BadGzipFile, zlib.error, zstandard.ZstdError, EOFError)


def read_start(path: Path) -> tuple[bytes, DataError | None]:
    """The unpacked content of a file, without a byte order mark, up to where the packing breaks, and how it breaks.

    DataError: an empty file.
    """
    content, problem = _plain(path), None
    if content is None:
        pieces: list[bytes] = []
        try:
            pieces += _read(path)
        except DataError as error:
            problem = error
        content = b"".join(pieces)
    if not problem and not content.strip():
        raise DataError(str(path), "byte 0", "the file is empty", SKIP)
    return _started(content, True), problem


def _plain(path: Path) -> bytes | None:
    """The content of a file that is neither packed nor in another Unicode, read in one piece; else None."""
    if path.suffix in (".gz", ".zst"):
        return None
    with path.open("rb") as file:
        start = file.read(_MARK_BYTES)
        if any(start.startswith(mark) for mark, _ in _MARKS):
            return None
        file.seek(0)
        return file.read()


def read_whole(path: Path) -> bytes:
    """The unpacked content of a file, without a byte order mark. DataError: empty, or the packing is broken."""
    content, problem = read_start(path)
    if problem:
        raise problem
    return content


def line_blocks(path: Path, skipped: Skipped, block_bytes: int = 1 << 25) -> Iterator[bytes]:
    """The unpacked content in blocks that end at a line's end, without a byte order mark; the last may lack one.

    Where the packing breaks, the file goes to `skipped`, and if that lets it pass, ends at the last whole line.
    """
    held: list[bytes] = []
    size, first = 0, True
    try:
        for piece in _with_line_feeds(_read(path)):
            held.append(piece)
            size += len(piece)
            if size < block_bytes or b"\n" not in piece:
                continue
            text = _started(b"".join(held), first)
            end = text.rfind(b"\n") + 1
            yield text[:end]
            held, size, first = [text[end:]], len(text) - end, False
    except DataError as error:
        skipped.file(error)
        text = _started(b"".join(held), first)
        held, first = [text[: text.rfind(b"\n") + 1]], False
    if text := _started(b"".join(held), first):
        yield text


def _started(text: bytes, first: bool) -> bytes:
    # More than one, where a file was written anew with the mark of the old one in it.
    while first and text.startswith(BOM):
        text = text.removeprefix(BOM)
    return text


def fingerprint(path: Path) -> str:
    """XXH3 (128 bits) of the file's bytes as they lie on disk, 32 hexadecimal digits."""
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def text_lines(path: Path, skipped: Skipped) -> Iterator[str]:
    """The lines of a UTF-8 text, each with its end. A line that is not UTF-8 goes to `skipped`, with its number.

    An empty line takes its place, so that the lines after it keep their numbers.
    """
    number = 0
    for block in line_blocks(path, skipped):
        try:
            # newline="\n": a name may hold the odd characters at which str.splitlines would cut.
            yield from io.StringIO(block.decode(), newline="\n")
        except UnicodeDecodeError:
            yield from _decodable(path, block, number, skipped)
        number += block.count(b"\n")


def _decodable(path: Path, block: bytes, before: int, skipped: Skipped) -> Iterator[str]:
    for number, line in enumerate(io.BytesIO(block), before + 1):
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            where = f"line {number:,}, byte {error.start + 1:,} of the line"
            skipped.line(DataError(str(path), where, "not UTF-8 text; is this the right file?", SKIP))
            text = "\n"
        yield text


def _read(path: Path) -> Iterator[bytes]:
    """The unpacked content in pieces, up to where the packing breaks."""
    done = 0
    try:
        for piece in _as_utf8(_unpacked(path)):
            done += len(piece)
            yield piece
    except _BROKEN as error:
        raise DataError(
            str(path), f"byte {done:,} of the unpacked content", f"broken packing ({error})", SKIP
        ) from error
    except UnicodeDecodeError as error:
        where = f"byte {done:,} of the text"
        raise DataError(str(path), where, f"broken {error.encoding.upper()} ({error.reason})", SKIP) from error


def _as_utf8(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same text in UTF-8, where a byte order mark says that it is in UTF-16 or UTF-32, as from Excel."""
    start = b""
    while len(start) < _MARK_BYTES and (piece := next(pieces, b"")):
        start += piece
    codec = next((codec for mark, codec in _MARKS if start.startswith(mark)), None)
    if codec is None:
        yield start
        yield from pieces
        return
    decoder = codecs.getincrementaldecoder(codec)("surrogatepass")
    for piece in chain([start], pieces):
        yield decoder.decode(piece).encode("utf-8", "surrogatepass")
    yield decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")


def _with_line_feeds(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same text, with a line feed for each carriage return where the lines end in these alone."""
    start, problem = b"", None
    try:
        while len(start) < _BEGINNING_BYTES and (piece := next(pieces, b"")):
            start += piece
    except DataError as error:
        problem = error
    if b"\r" not in start or b"\n" in start:
        yield start
    else:
        yield start.replace(b"\r", b"\n")
        pieces = (piece.replace(b"\r", b"\n") for piece in pieces)
    if problem:
        raise problem
    yield from pieces


def _unpacked(path: Path) -> Iterator[bytes]:
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        # read1 gives what could be unpacked before it raises; read would keep it to itself.
        pieces = iter(partial(file.read1, _PACKED_BYTES if path.suffix == ".zst" else _BLOCK_BYTES), b"")
        yield from _unpack_zstd(pieces) if path.suffix == ".zst" else pieces


def _unpack_zstd(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Frame by frame, because only then a file that was cut short differs from one that ends."""
    frame = zstandard.ZstdDecompressor().decompressobj()
    for block in blocks:
        packed = block
        while packed:
            if frame.eof:
                frame = zstandard.ZstdDecompressor().decompressobj()
            yield frame.decompress(packed)
            packed = frame.unused_data
    if not frame.eof:
        raise EOFError("the file ends in the middle of a zstd frame")
