"""Bundles of registered versions on this machine, for every process of it that serves them.

The registry's client is a heavy import that holds Python's lock for seconds and 160 MB for good, so it runs in a
process of its own, at low priority, once a version and machine: the others find a note beside the bundles, and later
ones ask the registry in one plain request whether it still holds. Files that were hashed some minutes ago and are the
same since are not hashed again: in a rollout every process of the machine loads the version at once, beside the calls.
"""

from __future__ import annotations

import fcntl
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
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spotify_buddies.foundation.addresses import scrubbed
from spotify_buddies.trainer.bundle import BundleError, open_bundle
from spotify_buddies.trainer.registry.mlflow_client import public
from spotify_buddies.trainer.registry.registry import SHA256_TAG, Registry, RegistryError, RegistryUnavailable

# Longest for one version, download and all.
WITHIN_S = 900.0
# The note of a process that fetched the same version a moment ago is as good as asking the registry again.
FRESH_S = 60.0
# Longest that files, unchanged by all that the file system says, are taken for those that were hashed.
HASHED_S = 600.0
# Longest wait for others who load, and between two looks.
TURN_S, POLL_S = 20.0, 0.01
# For a registry that is asked in passing; its client waits longer.
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
        with self._locked(version):
            note = self._read(version)
            if note is not None and self._holds(version, note) and (found := self._checked(version, note)) is not None:
                return found
            try:
                found = self._ask(version)
            except RegistryUnavailable:
                # What was checked against the registry before, and is still the same bundle, serves on.
                if note is not None and (found := self._checked(version, note)) is not None:
                    return found
                raise
            sha256 = open_bundle(found, check_hashes=False).sha256
            self._write(version, {"from": self._from, "path": str(found), "sha256": sha256, "at": time.time()})
            return found

    @contextmanager
    def in_turn(self, version: str) -> Iterator[Path]:
        """As `fetch`, to open and warm up what it gives in the block: one process of the machine at a time.

        A generation tells all of them at once, and all at once would take every processor from the calls. Whoever has
        waited for TURN_S goes on beside the others: one that hangs keeps nobody from serving.
        """
        self.fetch(version)
        with (self.bundles / ".turn.lock").open("a") as file:
            deadline = time.monotonic() + TURN_S
            while not _lock_now(file.fileno()) and time.monotonic() < deadline:
                time.sleep(POLL_S)
            # Again, for what changed while others loaded: it costs a look at the files.
            yield self.fetch(version)

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        with (self.bundles / f".{name}.lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _ask(self, version: str) -> Path:
        asked = json.dumps({"uri": self.uri, "model": self.model, "version": version, "bundles": str(self.bundles)})
        try:
            # The address goes through a pipe: arguments are for all to see.
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
            note: dict[str, Any] = json.loads(self._note_path(version).read_bytes())
            whole = (
                isinstance(note["at"], float | int)
                and isinstance(note["sha256"], str)
                and isinstance(note["path"], str)
            )
            return note if whole and note["from"] == self._from else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _write(self, version: str, note: dict[str, Any]) -> None:
        path = self._note_path(version)
        partial = path.with_suffix(".partial")
        try:
            partial.write_text(json.dumps(note))
            partial.replace(path)
        except OSError as error:
            # A full disk: what was checked serves all the same, and the next one checks it again.
            _log.warning("no note of version %s can be kept: %s", version, error)

    def _holds(self, version: str, note: dict[str, Any]) -> bool:
        """Whether what a note says of the registry is so: it was asked a moment ago, or says the same now."""
        if 0 <= time.time() - note["at"] <= FRESH_S:
            return True
        if self._registered(version) != note["sha256"]:
            return False
        note["at"] = time.time()
        self._write(version, note)
        return True

    def _registered(self, version: str) -> str | None:
        """The hash that an MLflow server has for a version; None: its own client had better ask.

        Without a login, which its client knows more ways to than this one request.
        """
        if not self.uri.startswith(("http://", "https://")) or public(self.uri) != self.uri:
            return None
        asked = urllib.parse.urlencode({"name": self.model, "version": version})
        try:
            with urllib.request.urlopen(f"{self.uri.rstrip('/')}{_GET}?{asked}", timeout=ANSWER_S) as answer:  # noqa: S310
                found = json.load(answer)["model_version"]
                return next((str(tag["value"]) for tag in found["tags"] if tag["key"] == SHA256_TAG), None)
        except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException):
            return None

    def _checked(self, version: str, note: dict[str, Any]) -> Path | None:
        """The bundle of a note, if all of its hashes hold, or held and nothing changed since."""
        try:
            found = Path(note["path"])
            # Before the hashes: a change while they are computed must not be taken for checked.
            stamp = _stamp(found)
            if note.get("stamp") == stamp and 0 <= time.time() - note["hashed"] <= HASHED_S:
                return found
            if open_bundle(found).sha256 != note["sha256"]:
                return None
            self._write(version, {**note, "stamp": stamp, "hashed": time.time()})
        except (OSError, ValueError, KeyError, TypeError, BundleError):
            return None
        return found

    def _note_path(self, version: str) -> Path:
        return self.bundles / f".{version}.json"

    @property
    def _from(self) -> str:
        return f"{self.model} at {public(self.uri)}"


def _lock_now(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _stamp(directory: Path) -> str:
    """Another one whenever a file below was written, replaced, added or removed: their names, sizes, times, inodes."""
    states = [(path.relative_to(directory).as_posix(), path.stat()) for path in sorted(directory.rglob("*"))]
    files = [(name, at.st_size, at.st_mtime_ns, at.st_ctime_ns, at.st_ino) for name, at in states]
    return hashlib.sha256(repr(files).encode()).hexdigest()


def main() -> None:
    """Fetch what standard input names, and say on the last line of standard output where it lies or what is wrong."""
    asked: dict[str, str] = json.loads(sys.stdin.read())
    # Started by a thread that is patient already, it is so from the start.
    os.nice(max(0, NICE - os.getpriority(os.PRIO_PROCESS, 0)))
    try:
        found = Registry(asked["uri"], asked["model"]).fetch(asked["version"], Path(asked["bundles"]))
        answer = {"path": str(found)}
    except RegistryUnavailable as error:
        answer = {"kind": "away", "message": str(error)}
    except BundleError as error:
        answer = {"kind": "bundle", "message": str(error)}
    except (RegistryError, OSError) as error:
        answer = {"kind": "registry", "message": str(error)}
    sys.stdout.write(f"\n{json.dumps(answer)}\n")


if __name__ == "__main__":
    main()
