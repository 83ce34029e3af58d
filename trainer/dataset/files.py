"""Raw files as bytes: plain, gzip or zstd, whole or in blocks of lines; and what they hold as a fingerprint."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO

import xxhash
import zstandard

from trainer.dataset.errors import SKIP, DataError, Skipped

BOM = b"\xef\xbb\xbf"
_BLOCK_BYTES = 1 << 22
_BROKEN = (gzip.BadGzipFile, zlib.error, zstandard.ZstdError, EOFError)


def read_whole(path: Path) -> bytes:
    """The unpacked content of a file, without a byte order mark. DataError: empty, or the packing is broken."""
    content = b"".join(_read(path, _BLOCK_BYTES))
    if not content.strip():
        raise DataError(str(path), "byte 0", "the file is empty", SKIP)
    return content.removeprefix(BOM)


def line_blocks(path: Path, block_bytes: int = 1 << 25) -> Iterator[bytes]:
    """The unpacked content in blocks that end at a line's end, without a byte order mark; the last may lack one."""
    rest = b""
    first = True
    for block in _read(path, block_bytes):
        text = rest + (block.removeprefix(BOM) if first else block)
        first = False
        end = text.rfind(b"\n") + 1
        rest = text[end:]
        if end:
            yield text[:end]
    if rest:
        yield rest


def fingerprint(path: Path) -> str:
    """XXH3 (128 bits) of the file's bytes as they lie on disk, 32 hexadecimal digits."""
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def seekable(path: Path) -> IO[bytes]:
    """The file itself, or its unpacked content in memory, for readers that seek."""
    return io.BytesIO(read_whole(path)) if path.suffix in {".gz", ".zst"} else path.open("rb")


def text_lines(path: Path, skipped: Skipped) -> Iterator[str]:
    """The lines of a UTF-8 text, each with its end. A line that is not UTF-8 goes to `skipped`, with its number."""
    number = 0
    for block in line_blocks(path):
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
            continue
        yield text


def _read(path: Path, block_bytes: int) -> Iterator[bytes]:
    done = 0
    try:
        for block in _unpacked(path, block_bytes):
            done += len(block)
            yield block
    except _BROKEN as error:
        raise DataError(
            str(path), f"byte {done:,} of the unpacked content", f"broken packing ({error})", SKIP
        ) from error


def _unpacked(path: Path, block_bytes: int) -> Iterator[bytes]:
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        blocks = iter(partial(file.read, block_bytes), b"")
        yield from _unpack_zstd(blocks) if path.suffix == ".zst" else blocks


def _unpack_zstd(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Frame by frame, because only so a file that was cut short is told from one that ends."""
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
