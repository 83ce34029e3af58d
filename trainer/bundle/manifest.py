"""The manifest: what a bundle holds, where it came from, and the hash of every file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pairing.stage import hash_file

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"


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
        """Write manifest.json, the same bytes for the same content."""
        text = json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False)
        (directory / MANIFEST).write_text(text, encoding="utf-8")


def read_manifest(directory: Path) -> Manifest:
    """Read and check the manifest. BundleError: missing, unreadable, or of a schema this code does not know."""
    path = directory / MANIFEST
    try:
        body = json.loads(path.read_bytes())
        version = body["schema_version"]
    except FileNotFoundError:
        raise BundleError(f"{path}: no bundle here; write one with `buddies train run`") from None
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{path}: not a bundle manifest ({error}); fetch or write the bundle again") from error
    if version != SCHEMA_VERSION:
        hint = "upgrade spotify-buddies" if version > SCHEMA_VERSION else "write the bundle again with this release"
        raise BundleError(f"{path}: schema version {version}, this release reads {SCHEMA_VERSION}; {hint}")
    try:
        return Manifest(**body)
    except TypeError as error:
        raise BundleError(f"{path}: not a bundle manifest ({error}); fetch or write the bundle again") from error


def verify(directory: Path, manifest: Manifest) -> None:
    """Compare every file with its recorded size and sha256. BundleError names the first that differs."""
    for name, described in manifest.files.items():
        path = directory / name
        if not path.is_file():
            raise BundleError(f"{path}: listed in the manifest and missing; fetch the bundle again")
        if path.stat().st_size != described["bytes"] or hash_file(path) != described["sha256"]:
            raise BundleError(
                f"{path}: differs from the sha256 in the manifest; fetch the bundle again, do not serve it"
            )


def describe_files(directory: Path) -> dict[str, dict[str, Any]]:
    """Size and sha256 of every file but the manifest, by name, for a directory that is complete."""
    paths = sorted(path for path in directory.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {p.relative_to(directory).as_posix(): {"bytes": p.stat().st_size, "sha256": hash_file(p)} for p in paths}
