"""A listener in the extracts for retraining: Parquet files with a column user_id, and the JSON beside them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

COLUMN = "user_id"
_CHUNK = 2**20


def read_extracts(directory: Path, user_id: str) -> Iterator[dict[str, Any]]:
    """Rows of the listener, with their file. OSError, pa.ArrowException."""
    for path in _files(directory):
        for batch in pq.ParquetFile(path).iter_batches():
            mine = batch.filter(pc.equal(batch.column(COLUMN), user_id))
            for row in mine.to_pylist():
                yield {"file": str(path.relative_to(directory)), **row}


def erase_extracts(directory: Path, user_id: str) -> dict[str, int]:
    """Write the files again without the listener's rows, and amend what is beside them; deleted rows by file.

    A file is replaced when it is complete. In JSON files of its directory and those above it, its hash becomes the new
    one, its number of rows the new number, and `erased_rows` is added up. Safe to repeat. OSError, pa.ArrowException.
    """
    done: dict[str, int] = {}
    for path in _files(directory):
        if not _holds(path, user_id):
            continue
        before, rows = _sha256(path), pq.ParquetFile(path).metadata.num_rows
        gone = _rewrite(path, user_id)
        name = str(path.relative_to(directory))
        done[name] = gone
        for manifest in _beside(directory, path):
            _amend(manifest, {before: _sha256(path)}, path.name, rows, rows - gone)
    return done


def still_in(directory: Path, user_id: str, leave_out: tuple[str, ...] = ()) -> Iterator[Path]:
    """Files below a directory whose bytes hold the id; leave_out: names of directories in it. OSError."""
    wanted = user_id.encode()
    for path in sorted(directory.rglob("*")) if directory.is_dir() else ():
        if path.relative_to(directory).parts[0] in leave_out or path.is_symlink() or not path.is_file():
            continue
        with path.open("rb") as file:
            tail = b""
            while chunk := file.read(_CHUNK):
                if wanted in tail + chunk:
                    yield path
                    break
                tail = chunk[-len(wanted) :]


def _files(directory: Path) -> Iterator[Path]:
    for path in sorted(directory.rglob("*.parquet")) if directory.is_dir() else ():
        if path.is_file() and COLUMN in pq.read_schema(path).names:
            yield path


def _holds(path: Path, user_id: str) -> bool:
    batches = pq.ParquetFile(path).iter_batches(columns=[COLUMN])
    return any(pc.any(pc.equal(batch.column(0), user_id)).as_py() for batch in batches)


def _rewrite(path: Path, user_id: str) -> int:
    """Replace a file by one without the listener; returns the rows that are gone."""
    scratch, gone = path.with_name(f".{path.name}.partial"), 0
    source = pq.ParquetFile(path)
    codec = source.metadata.row_group(0).column(0).compression if source.metadata.num_row_groups else "SNAPPY"
    try:
        with pq.ParquetWriter(scratch, source.schema_arrow, compression=codec) as writer:
            for group in range(source.metadata.num_row_groups):
                table: pa.Table = source.read_row_group(group)
                # NULL is nobody, and stays.
                mine = pc.fill_null(pc.equal(table.column(COLUMN), user_id), False)
                kept = table.filter(pc.invert(mine))
                gone += table.num_rows - kept.num_rows
                writer.write_table(kept)
        scratch.chmod(path.stat().st_mode & 0o777)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
    return gone


def _beside(directory: Path, path: Path) -> Iterator[Path]:
    for parent in path.parents:
        yield from sorted(parent.glob("*.json"))
        if parent == directory:
            return


def _amend(manifest: Path, hashes: dict[str, str], name: str, before: int, after: int) -> None:
    """Say in a manifest that names a file what the file is now. One that does not name it stays as it is."""
    try:
        said = json.loads(manifest.read_text(encoding="utf-8"))
    except ValueError:
        return
    text = json.dumps(said)
    if not isinstance(said, dict) or (name not in text and not any(old in text for old in hashes)):
        return
    said = _replaced(said, hashes, before, after)
    said["erased_rows"] = int(said.get("erased_rows", 0)) + before - after
    scratch = manifest.with_name(f".{manifest.name}.partial")
    scratch.write_text(json.dumps(said, indent=1), encoding="utf-8")
    scratch.chmod(manifest.stat().st_mode & 0o777)
    scratch.replace(manifest)


def _replaced(value: Any, hashes: dict[str, str], before: int, after: int) -> Any:
    if isinstance(value, dict):
        return {
            key: after if key == "rows" and item == before else _replaced(item, hashes, before, after)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_replaced(item, hashes, before, after) for item in value]
    return hashes.get(value, value) if isinstance(value, str) else value


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
