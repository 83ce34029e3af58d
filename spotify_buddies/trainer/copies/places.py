"""Addresses of object stores, opened. S3 and Google's by pyarrow, which training has anyway; others by fsspec."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyarrow import fs

from spotify_buddies.foundation.addresses.scrub import scrubbed

ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
PROBLEMS = (OSError, pa.ArrowException)
ADVICE = (
    "check the address, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION, and for a store that is not Amazon's "
    "AWS_ENDPOINT_URL"
)


class PlaceError(Exception):
    """An address that cannot be used. address: without logins; problem: what is wrong; advice: what to do."""

    def __init__(self, address: str, problem: str, advice: str) -> None:
        super().__init__(address, problem, advice)
        self.address, self.problem, self.advice = scrubbed(address), problem, advice

    def __str__(self) -> str:
        return f"{self.address}: {self.problem}; {self.advice}"


@dataclass(frozen=True)
class Place:
    """A folder of a file system. path: without a slash at its end; address: as it was given."""

    files: fs.FileSystem
    path: str
    address: str

    @property
    def is_local(self) -> bool:
        """Whether a file that is half written can be seen there: an object store shows whole objects alone."""
        return isinstance(self.files, fs.LocalFileSystem | fs.PyFileSystem)

    def refused(self, error: Exception) -> PlaceError:
        """What the store says, as an error with advice."""
        return PlaceError(self.address, f"the store refuses ({scrubbed(str(error))})", ADVICE)


def open_place(address: str) -> Place:
    """Open a path or an address. s3:// takes login, region and endpoint from the environment and ~/.aws, as Amazon's
    tools do. PlaceError: a login in the address, or no store that is known here.
    """
    match = ADDRESS.fullmatch(address)
    if not match or match[1].lower() == "file":
        folder = Path("/", match[2].lstrip("/")) if match else Path(address).absolute()
        return Place(fs.LocalFileSystem(), str(folder), address)
    scheme, path = match[1].lower(), match[2].strip("/")
    if "@" in path.partition("/")[0]:
        advice = "give the login in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        raise PlaceError(address, "an address with a login in it", advice)
    if scheme in ("s3", "s3a"):
        try:
            return Place(_s3(), path, address)
        except PROBLEMS as error:
            raise PlaceError(address, f"cannot be opened ({scrubbed(str(error))})", ADVICE) from error
    try:
        files, path = fs.FileSystem.from_uri(address)
    except PROBLEMS as error:
        return _by_fsspec(address, error)
    return Place(files, path, address)


def _by_fsspec(address: str, first: Exception) -> Place:
    """An address of a file system that fsspec knows, where it is installed. Web servers list no folders."""
    try:
        if address.lower().startswith("http"):
            raise ImportError(address)
        import fsspec
    except ImportError:
        raise PlaceError(address, f"cannot be opened ({scrubbed(str(first))})", ADVICE) from first
    try:
        files, path = fsspec.core.url_to_fs(address)
    except (ImportError, ValueError, *PROBLEMS) as error:
        raise PlaceError(address, f"cannot be opened ({scrubbed(str(error))})", ADVICE) from error
    return Place(fs.PyFileSystem(fs.FSSpecHandler(files)), str(path).rstrip("/"), address)


def _s3() -> fs.FileSystem:
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    scheme, separator, host = (endpoint or "").rpartition("://")
    return fs.S3FileSystem(
        region=region, endpoint_override=host.rstrip("/") or None, scheme=scheme if separator else "https"
    )
