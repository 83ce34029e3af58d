"""Raw files at an address of an object store, copied to a local folder before they are read.

They are read twice, for their fingerprint and for what they hold, and a copy costs the store one reading. Files that
have not changed since the last copy, by size and time, are not read again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from pyarrow import fs

from spotify_buddies.foundation.addresses.scrub import scrubbed
from spotify_buddies.foundation.process.disk import size
from spotify_buddies.foundation.stages.progress import Progress
from spotify_buddies.trainer.copies.places import ADDRESS, ADVICE, PROBLEMS, PlaceError, open_place
from spotify_buddies.trainer.dataset.errors import DataError
from spotify_buddies.trainer.dataset.reading.tables.parts import is_hidden

_TABLE = (".parquet", ".csv")
_BLOCK_BYTES = 1 << 22


def local(place: str, copies: Path, progress: Progress) -> Path:
    """The local folder for a path or an address; what lies at an address is copied below `copies` first.

    s3:// takes login, region and endpoint from the environment and ~/.aws, as Amazon's tools do; other addresses are
    those of pyarrow.fs.FileSystem.from_uri. DataError: nothing there, no access, or no room for the copy.
    """
    match = ADDRESS.fullmatch(place)
    if not match:
        return Path(place)
    scheme, path = match[1].lower(), match[2].strip("/")
    if scheme == "file":
        return Path("/", path)
    try:
        opened = open_place(place)
    except PlaceError as error:
        raise DataError(error.address, "", error.problem, error.advice) from error
    folder = copies / hashlib.sha256(f"{scheme}://{path}".encode()).hexdigest()[:12]
    return copied(opened.files, opened.path, place, folder, progress)


def copied(source: fs.FileSystem, path: str, address: str, folder: Path, progress: Progress) -> Path:
    """Make a local folder hold what lies at a path of a file system, and nothing else; the folder.

    Hidden files and those of Spark's own (tables/parts.py) are left out. A file, or a folder of parts, keeps its name.
    """
    files = _listed(source, path, address)
    new = {name: info for name, info in files.items() if not _same(folder / name, info)}
    total = sum(info.size or 0 for info in new.values())
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if total > free:
        raise DataError(address, "", f"{size(total)} to copy, and {folder} has {size(free)} free", "make room there")
    _remove_others(folder, files)
    done = 0
    progress("copied", 0, total, "bytes")
    for name, info in new.items():
        to = folder / name
        to.parent.mkdir(parents=True, exist_ok=True)
        partial = to.with_name(f".{to.name}.partial")
        with partial.open("wb") as file:
            for block in _blocks(source, info.path, address):
                file.write(block)
                done += len(block)
                progress("copied", done, total, "bytes")
        if info.mtime_ns is not None:
            os.utime(partial, ns=(info.mtime_ns, info.mtime_ns))
        partial.replace(to)
    return folder


def _listed(source: fs.FileSystem, path: str, address: str) -> dict[str, fs.FileInfo]:
    """The files at a path, by the name of their copy below the folder."""
    try:
        here = source.get_file_info(path)
        selector = fs.FileSelector(path, recursive=True)
        infos = [here] if here.type != fs.FileType.Directory else source.get_file_info(selector)
    except PROBLEMS as error:
        raise _refused(address, error) from error
    if here.type == fs.FileType.NotFound:
        raise DataError(address, "", "nothing there", ADVICE)
    place = PurePosixPath(path)
    above = place.parent if here.type == fs.FileType.File or place.suffix in _TABLE else place
    names = {PurePosixPath(info.path).relative_to(above): info for info in infos if info.type == fs.FileType.File}
    return {
        str(name): info
        for name, info in names.items()
        if ".." not in name.parts and not any(map(is_hidden, name.parts))
    }


def _same(path: Path, info: fs.FileInfo) -> bool:
    if not path.is_file():
        return False
    stat = path.stat()
    return (stat.st_size, stat.st_mtime_ns) == (info.size, info.mtime_ns)


def _remove_others(folder: Path, files: Mapping[str, fs.FileInfo]) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif str(path.relative_to(folder)) not in files:
            path.unlink()


def _blocks(source: fs.FileSystem, path: str, address: str) -> Iterator[bytes]:
    try:
        # Packed files are copied as they are.
        with source.open_input_stream(path, compression=None) as file:
            while block := file.read(_BLOCK_BYTES):
                yield block
    except PROBLEMS as error:
        raise _refused(address, error) from error


def _refused(address: str, error: Exception) -> DataError:
    return DataError(address, "", f"cannot be read ({scrubbed(str(error))})", ADVICE)
