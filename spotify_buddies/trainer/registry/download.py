"""Bundles of the registry on this machine: whole and checked, or not there."""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from spotify_buddies.trainer.bundle import BundleError, open_bundle
from spotify_buddies.trainer.registry.mlflow_client import configure


def bundle_at(source: str, target: Path, expected: str, uri: str) -> Path:
    """The directory of the bundle that lies at `source`: itself where it is local, else a download in `target`.

    expected: the sha256 that was registered, "" where none was. uri: of MLflow. A download is complete or not there;
    an earlier one is used again if its hashes still hold. BundleError: what lies there is not what was registered.
    """
    if (local := _local_path(source)) is not None:
        return _checked(local, expected)
    if target.exists():
        try:
            return _checked(target, expected)
        except BundleError:
            shutil.rmtree(target)
    _download(source, target, expected, uri)
    return target


def _download(source: str, target: Path, expected: str, uri: str) -> None:
    configure()
    from mlflow.artifacts import download_artifacts

    # Beside the target, so that it is the same file system and the last step is a rename.
    partial = target.parent / f".{target.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    fetched = Path(download_artifacts(artifact_uri=source, dst_path=str(partial), tracking_uri=uri))
    _checked(fetched, expected)
    fetched.replace(target)
    shutil.rmtree(partial, ignore_errors=True)


def _checked(directory: Path, expected: str) -> Path:
    sha256 = open_bundle(directory).sha256
    if expected and sha256 != expected:
        raise BundleError(
            f"{directory}: bundle {sha256[:12]}, but {expected[:12]} was registered; register the bundle again"
        )
    return directory


def _local_path(source: str) -> Path | None:
    parts = urlsplit(source)
    if parts.scheme not in ("", "file"):
        return None
    path = Path(url2pathname(parts.path))
    return path if path.is_dir() else None
