"""A table as one file, or as a folder of parts, as Spark writes it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

import xxhash

from spotify_buddies.trainer.dataset.errors import DataError
from spotify_buddies.trainer.dataset.reading.files import fingerprint as file_fingerprint

_NULL = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class Part:
    """One file of a table. name: below the table's folder, empty for a table that is one file.

    columns: those that folders name, as in user_bucket=3/, with their value; a null is an empty text.
    """

    path: Path
    name: str = ""
    columns: dict[str, str] = field(default_factory=dict)

    def place(self, where: str) -> str:
        """A place in this part, for an error that names the whole table."""
        return ": ".join(filter(None, (self.name, where)))


def parts(path: Path) -> list[Part]:
    """The parts of a table in the order of their names, whatever their suffix; a file is its own only part.

    As Spark does, files and folders whose names begin with "." or "_" are passed over (_SUCCESS, _metadata, .crc), and
    so are files without a byte. DataError: a folder without parts.
    """
    if not path.is_dir():
        return [Part(path)]
    found: list[tuple[str, ...]] = []
    for folder, below, names in os.walk(path, followlinks=True):
        below[:] = [name for name in below if not is_hidden(name)]
        inside = Path(folder).relative_to(path).parts
        found += [(*inside, name) for name in names if not is_hidden(name)]
    filled = [names for names in sorted(found) if (path.joinpath(*names)).stat().st_size]
    if not filled:
        raise DataError(str(path), "", "a folder without parts of a table", "is this the right folder?")
    return [Part(path.joinpath(*names), "/".join(names), _columns(names[:-1])) for names in filled]


def fingerprint(path: Path) -> str:
    """XXH3 (128 bits) of a file's or a folder's bytes, 32 hexadecimal digits.

    Of a folder the parts count in the order in which they are read, with the names of the folders that they lie in, but
    not their own names: a program that writes the same table again may draw new ones.
    """
    if not path.is_dir():
        return file_fingerprint(path)
    digest = xxhash.xxh3_128()
    for part in parts(path):
        digest.update(f"{part.name.rpartition('/')[0]}\0{file_fingerprint(part.path)}\n".encode())
    return digest.hexdigest()


def is_hidden(name: str) -> bool:
    """Whether Spark passes a file or folder of this name over."""
    return name.startswith(".") or (name.startswith("_") and "=" not in name)


def _columns(folders: tuple[str, ...]) -> dict[str, str]:
    named = (folder.partition("=") for folder in folders if "=" in folder)
    return {unquote(name): "" if value == _NULL else unquote(value) for name, _, value in named}
