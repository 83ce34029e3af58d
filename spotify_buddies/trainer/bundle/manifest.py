"""The manifest of a bundle: its sizes, its origin, and the hash of every file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from spotify_buddies.foundation.stages.stage import hash_file

SCHEMA_VERSION = 2
MANIFEST = "manifest.json"
CHECKSUM = "manifest.sha256"

_AGAIN = "fetch or write the bundle again"


class BundleError(Exception):
    """A bundle cannot be used; the message names the file and what to do."""


@dataclass(frozen=True)
class Manifest:
    """Read from manifest.json. files: name to {"bytes", "sha256"}; training and metrics: JSON values for people."""

    schema_version: int
    users: int
    playlists: int
    songs: int
    dimension: int
    dataset_fingerprint: str
    matching: str
    training: Mapping[str, Any]
    metrics: Mapping[str, Any]
    files: Mapping[str, Mapping[str, Any]]

    def write(self, directory: Path) -> None:
        """Write manifest.json and its checksum, the same bytes for the same content. ValueError: a value is NaN."""
        text = json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        (directory / MANIFEST).write_text(text, encoding="utf-8")
        (directory / CHECKSUM).write_text(_checksum_line(directory), encoding="ascii")


def read_manifest(directory: Path) -> Manifest:
    """Read and check the manifest. BundleError: missing, unreadable, or of a schema this code does not know."""
    path = directory / MANIFEST
    try:
        body = json.loads(path.read_bytes())
        version = body["schema_version"]
    except (FileNotFoundError, NotADirectoryError):
        raise BundleError(f"{path}: no bundle here; write one with `buddies train run`") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{path}: not a bundle manifest ({error}); {_AGAIN}") from error
    if version != SCHEMA_VERSION:
        newer = isinstance(version, int) and version > SCHEMA_VERSION
        hint = "upgrade spotify-buddies" if newer else "write the bundle again with this release"
        raise BundleError(f"{path}: schema version {version}, this release reads {SCHEMA_VERSION}; {hint}")
    try:
        manifest = Manifest(**body)
    except TypeError as error:
        raise BundleError(f"{path}: not a bundle manifest ({error}); {_AGAIN}") from error
    if (wrong := _wrong_field(manifest)) is not None:
        raise BundleError(f"{path}: field {wrong!r} has the wrong type; {_AGAIN}")
    return manifest


def verify(directory: Path, manifest: Manifest) -> None:
    """Compare every file, the manifest included, with its recorded size and sha256.

    BundleError names the first that differs, is missing, or is there without being listed (an array that does not
    belong could be taken for an optional one).
    """
    if (directory / CHECKSUM).exists() and (directory / CHECKSUM).read_bytes() != _checksum_line(directory).encode():
        raise BundleError(f"{directory / MANIFEST}: differs from {CHECKSUM}; {_AGAIN}, do not serve it")
    for name in (CHECKSUM, *manifest.files):
        if not (directory / name).is_file():
            raise BundleError(f"{directory / name}: missing from the bundle; {_AGAIN}")
    for name, described in manifest.files.items():
        path = directory / name
        if path.stat().st_size != described["bytes"] or hash_file(path) != described["sha256"]:
            raise BundleError(f"{path}: differs from the sha256 in the manifest; {_AGAIN}, do not serve it")
    for path in _files(directory):
        if path.relative_to(directory).as_posix() not in manifest.files:
            raise BundleError(f"{path}: not listed in the manifest; remove it, or {_AGAIN}")


def describe_files(directory: Path) -> dict[str, dict[str, Any]]:
    """Size and sha256 of every file but manifest and checksum, by name, for a directory that is complete."""
    return {
        path.relative_to(directory).as_posix(): {"bytes": path.stat().st_size, "sha256": hash_file(path)}
        for path in _files(directory)
    }


def _files(directory: Path) -> list[Path]:
    own = {directory / MANIFEST, directory / CHECKSUM}
    return sorted(path for path in directory.rglob("*") if path.is_file() and path not in own)


def _checksum_line(directory: Path) -> str:
    """One line as sha256sum writes and checks it."""
    return f"{hash_file(directory / MANIFEST)}  {MANIFEST}\n"


def _wrong_field(manifest: Manifest) -> str | None:
    for name in ("users", "playlists", "songs", "dimension"):
        if not isinstance(getattr(manifest, name), int) or getattr(manifest, name) < 0:
            return name
    for name in ("training", "metrics", "files"):
        if not isinstance(getattr(manifest, name), dict):
            return name
    described = all(isinstance(entry, dict) and {"bytes", "sha256"} <= set(entry) for entry in manifest.files.values())
    return None if described else "files"
