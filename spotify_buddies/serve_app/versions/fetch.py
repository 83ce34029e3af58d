"""Bundles of registered versions on this machine, for every process of it that serves them.

The registry's client is a heavy import that holds Python's lock for seconds and 160 MB for good, so it runs in a
process of its own, at low priority, once per version and machine. The others find a note beside the bundles; later
ones ask the registry in one plain request whether the note still holds. Files that were hashed some minutes ago and
have not changed since are not hashed again: in a rollout all processes of the machine load the version at once, beside
the calls.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import logging
import os
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from spotify_buddies.foundation.addresses import scrubbed
from spotify_buddies.trainer.bundle import BundleError, open_bundle
from spotify_buddies.trainer.registry.mlflow_client import public
from spotify_buddies.trainer.registry.registry import SHA256_TAG, Registry, RegistryError, RegistryUnavailable

# Longest time for one version, download included.
WITHIN_S = 900.0
# A note that is younger than this is as good as asking the registry again.
FRESH_S = 60.0
# For this long, files that the file system calls unchanged count as hashed.
HASHED_S = 600.0
# Longest wait for processes that load a version, and the interval between two tries.
TURN_S, POLL_S = 20.0, 0.01
# Longest wait for the plain request to the registry; its client waits longer.
ANSWER_S = 2.0
NICE = 10
_log = logging.getLogger(__name__)
_GET = "/api/2.0/mlflow/model-versions/get"


@dataclass(frozen=True)
class Shelf:
    """A registered model and where its versions lie here. uri may hold a password and is not printed."""

    uri: str = field(repr=False)
    model: str = ""
    bundles: Path = Path()

    def fetch(self, version: str) -> Path:
        """A version's directory, its hashes checked; downloads what is not there. Blocks; safe between processes.

        RegistryUnavailable: the registry does not answer and no checked bundle of the version lies here. RegistryError:
        it has no such version. BundleError: what it holds is not what was registered.
        """
        self.bundles.mkdir(parents=True, exist_ok=True)
        with self.locked(version):
            note = self._read(version)
            if note is not None and self._holds(version, note):
                directory = self._checked(version, note)
                if directory is not None:
                    return directory
            try:
                directory = self._ask(version)
            except RegistryUnavailable:
                # A bundle that was checked against the registry before, and is unchanged, keeps serving.
                directory = None if note is None else self._checked(version, note)
                if directory is None:
                    raise
                return directory
            sha256 = open_bundle(directory, check_hashes=False).sha256
            self._write(version, {"from": self._from, "path": str(directory), "sha256": sha256, "at": time.time()})
            return directory

    @contextmanager
    def in_turn(self, version: str) -> Iterator[Path]:
        """As `fetch`, to open and warm up the bundle inside the block: one process of the machine at a time.

        A generation reaches all processes at once; together they would take every processor from the calls. A process
        that has waited for TURN_S loads beside the others, so that one that hangs keeps nobody from serving.
        """
        self.fetch(version)
        with ExitStack() as stack:
            with suppress(Timeout):
                lock = FileLock(self.bundles / ".turn.lock")
                stack.enter_context(lock.acquire(timeout=TURN_S, poll_interval=POLL_S))
            # Once more, for what changed while others loaded: it costs a look at the files.
            yield self.fetch(version)

    @contextmanager
    def locked(self, version: str, within_s: float = -1) -> Iterator[None]:
        """Hold a version's lock among the processes of this machine. Timeout: another one held it for within_s.

        Below 0 the wait has no end. The lock file stays for good: if it were deleted while somebody waits for it, two
        could hold the lock.
        """
        with FileLock(self.bundles / f".{version}.lock", timeout=within_s):
            yield

    def _ask(self, version: str) -> Path:
        asked = json.dumps({"uri": self.uri, "model": self.model, "version": version, "bundles": str(self.bundles)})
        try:
            # The address goes through a pipe: everybody on the machine can see arguments.
            done = subprocess.run(
                [sys.executable, "-m", "spotify_buddies.serve_app.versions.fetch"],
                input=asked, capture_output=True, text=True, timeout=WITHIN_S, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise RegistryUnavailable(f"version {version} was not fetched within {WITHIN_S:.0f} s") from None
        try:
            answer: dict[str, str] = json.loads(done.stdout.strip().rpartition("\n")[2])
        except ValueError:
            last = scrubbed(done.stderr.strip().rpartition("\n")[2])
            raise RegistryError(f"version {version} cannot be fetched (exit code {done.returncode}): {last}") from None
        if "path" in answer:
            return Path(answer["path"])
        raise {"away": RegistryUnavailable, "bundle": BundleError}.get(answer["kind"], RegistryError)(answer["message"])

    def _read(self, version: str) -> dict[str, Any] | None:
        """The note, if there is one of this registry and model."""
        try:
            note: dict[str, Any] = json.loads(self.note_path(version).read_bytes())
            whole = (
                isinstance(note["at"], float | int)
                and isinstance(note["sha256"], str)
                and isinstance(note["path"], str)
            )
            return note if whole and note["from"] == self._from else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _write(self, version: str, note: dict[str, Any]) -> None:
        path = self.note_path(version)
        # Not `.VERSION.partial`, which is where the registry's client downloads to.
        partial = path.with_suffix(".json.partial")
        try:
            partial.write_text(json.dumps(note))
            partial.replace(path)
        except OSError as error:
            # A full disk: the checked bundle serves all the same, and the next process checks it again.
            _log.warning("the note of version %s cannot be written: %s", version, error)

    def _holds(self, version: str, note: dict[str, Any]) -> bool:
        """Whether the registry agrees with a note: it was asked a moment ago, or it says the same now."""
        if 0 <= time.time() - note["at"] <= FRESH_S:
            return True
        if self._registered(version) != note["sha256"]:
            return False
        note["at"] = time.time()
        self._write(version, note)
        return True

    def _registered(self, version: str) -> str | None:
        """The hash that an MLflow server has for a version; None: ask through MLflow's client.

        With the login of the address, if it has one: the client knows more ways to log in.
        """
        asked = urllib.parse.urlencode({"name": self.model, "version": version})
        try:
            request = _plain_request(self.uri, f"{_GET}?{asked}")
            with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:  # noqa: S310 - http or https
                tags = json.load(answer)["model_version"]["tags"]
                return next((str(tag["value"]) for tag in tags if tag["key"] == SHA256_TAG), None)
        except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException):
            return None

    def _checked(self, version: str, note: dict[str, Any]) -> Path | None:
        """The bundle of a note, if all of its hashes hold, or held and nothing has changed since."""
        try:
            directory = Path(note["path"])
            # Before the hashes: a change while they are computed must not count as checked.
            stamp = _stamp(directory)
            if note.get("stamp") == stamp and 0 <= time.time() - note["hashed"] <= HASHED_S:
                return directory
            if open_bundle(directory).sha256 != note["sha256"]:
                return None
            self._write(version, {**note, "stamp": stamp, "hashed": time.time()})
        except (OSError, ValueError, KeyError, TypeError, BundleError):
            return None
        return directory

    def note_path(self, version: str) -> Path:
        """The note of a version: written anew whenever the version is asked for after a while, or hashed."""
        return self.bundles / f".{version}.json"

    @property
    def _from(self) -> str:
        return f"{self.model} at {public(self.uri)}"


def _plain_request(uri: str, path: str) -> urllib.request.Request:
    """A request to the MLflow server at uri, whose login goes into a header. ValueError: it is no server's address."""
    parts = urllib.parse.urlsplit(uri)
    if parts.scheme not in ("http", "https") or parts.query:
        raise ValueError("not a server's address alone")
    login, _, place = parts.netloc.rpartition("@")
    request = urllib.request.Request(f"{parts.scheme}://{place}{parts.path.rstrip('/')}{path}")  # noqa: S310 - http(s)
    if login:
        # A server that sends the request elsewhere does not send the login with it.
        word = base64.b64encode(urllib.parse.unquote_to_bytes(login)).decode()
        request.add_unredirected_header("Authorization", f"Basic {word}")
    return request


def _stamp(directory: Path) -> str:
    """Changes whenever a file below is written, replaced, added or removed: names, sizes, times and inodes."""
    states = [(path.relative_to(directory).as_posix(), path.stat()) for path in sorted(directory.rglob("*"))]
    files = [(name, state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino) for name, state in states]
    return hashlib.sha256(repr(files).encode()).hexdigest()


def main() -> None:
    """Fetch the version that standard input names; the last line of standard output is its path, or the error."""
    asked: dict[str, str] = json.loads(sys.stdin.read())
    # A thread of low priority starts processes of low priority: only the difference is added.
    os.nice(max(0, NICE - os.getpriority(os.PRIO_PROCESS, 0)))
    try:
        directory = Registry(asked["uri"], asked["model"]).fetch(asked["version"], Path(asked["bundles"]))
        answer = {"path": str(directory)}
    except RegistryUnavailable as error:
        answer = {"kind": "away", "message": str(error)}
    except BundleError as error:
        answer = {"kind": "bundle", "message": str(error)}
    except (RegistryError, OSError) as error:
        answer = {"kind": "registry", "message": str(error)}
    sys.stdout.write(f"\n{json.dumps(answer)}\n")


if __name__ == "__main__":
    main()
