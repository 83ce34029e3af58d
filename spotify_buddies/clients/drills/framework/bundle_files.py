"""Files of a version's bundle in the embedded artifact store, to be broken and mended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spotify_buddies.clients.drills.framework.service import DrillError

ARTIFACTS = Path("mlflow") / "artifacts"
# A large file of every bundle, and a small one.
LARGE, SMALL = "factors.safetensors", "owner.npy"


def file_of(state_dir: Path, made: Mapping[str, Any], name: str) -> Path:
    """A file of a derived version's bundle. made: as `buddies registry derive` prints it. DrillError: it has none."""
    folders = list((state_dir / ARTIFACTS).rglob(f"bundle-{made['bundle_sha256'][:12]}"))
    if len(folders) != 1:
        raise DrillError(f"version {made['version']} has no bundle below {state_dir / ARTIFACTS}")
    return folders[0] / name


@contextmanager
def without(file: Path) -> Iterator[None]:
    """Move the file away until the block ends."""
    hidden = file.with_name(f".{file.name}.hidden")
    file.rename(hidden)
    try:
        yield
    finally:
        hidden.rename(file)


@contextmanager
def flipped(file: Path) -> Iterator[None]:
    """Flip one bit in the middle of the file until the block ends."""
    _flip(file)
    try:
        yield
    finally:
        _flip(file)


def _flip(file: Path) -> None:
    # In the middle of the file, past its header: the sizes are right, and only a hash can tell.
    offset = file.stat().st_size // 2
    with file.open("r+b") as opened:
        opened.seek(offset)
        (byte,) = opened.read(1)
        opened.seek(offset)
        opened.write(bytes([byte ^ 1]))
