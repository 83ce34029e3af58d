"""Bundles of registered versions on this machine, for every process of it that serves them.

The registry's client is a heavy import that holds Python's lock for seconds and 160 MB for good, so it runs in a
process of its own, at low priority, once a version and machine: the others find a note beside the bundles.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainer.bundle import BundleError, open_bundle
from trainer.mlflow_client import public
from trainer.registry import Registry, RegistryError, RegistryUnavailable

# Longest for one version, download and all.
WITHIN_S = 900.0
# The note of a process that fetched the same version a moment ago is as good as asking the registry again.
FRESH_S = 60.0
NICE = 10


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
            if (noted := self._noted(version, FRESH_S)) is not None:
                return noted
            try:
                found = self._ask(version)
            except RegistryUnavailable:
                # What was checked against the registry before, and is still the same bundle, serves on.
                if (noted := self._noted(version, float("inf"))) is not None:
                    return noted
                raise
            self._note(version, found)
            return found

    @contextmanager
    def _locked(self, version: str) -> Iterator[None]:
        with (self.bundles / f".{version}.lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _ask(self, version: str) -> Path:
        asked = json.dumps({"uri": self.uri, "model": self.model, "version": version, "bundles": str(self.bundles)})
        try:
            # The address goes through a pipe: arguments are for all to see.
            done = subprocess.run(
                [sys.executable, "-m", "serve_app.rollout.fetch"],
                input=asked, capture_output=True, text=True, timeout=WITHIN_S, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise RegistryUnavailable(f"version {version} was not fetched within {WITHIN_S:.0f} s") from None
        try:
            answer: dict[str, str] = json.loads(done.stdout.strip().rpartition("\n")[2])
        except ValueError:
            last = public(done.stderr.strip().rpartition("\n")[2])
            raise RegistryError(f"version {version} cannot be fetched (exit code {done.returncode}): {last}") from None
        if "path" in answer:
            return Path(answer["path"])
        raise {"away": RegistryUnavailable, "bundle": BundleError}.get(answer["kind"], RegistryError)(answer["message"])

    def _note(self, version: str, found: Path) -> None:
        note = self._note_path(version)
        partial = note.with_suffix(".partial")
        sha256 = open_bundle(found, check_hashes=False).sha256
        partial.write_text(json.dumps({"from": self._from, "path": str(found), "sha256": sha256, "at": time.time()}))
        partial.replace(note)

    def _noted(self, version: str, within_s: float) -> Path | None:
        """The bundle of a note that is ours and young enough, if all of its hashes hold."""
        try:
            note: dict[str, Any] = json.loads(self._note_path(version).read_bytes())
            if note["from"] != self._from or not 0 <= time.time() - note["at"] <= within_s:
                return None
            found = Path(note["path"])
            return found if open_bundle(found).sha256 == note["sha256"] else None
        except (OSError, ValueError, KeyError, TypeError, BundleError):
            return None

    def _note_path(self, version: str) -> Path:
        return self.bundles / f".{version}.json"

    @property
    def _from(self) -> str:
        return f"{self.model} at {public(self.uri)}"


def main() -> None:
    """Fetch what standard input names, and say on the last line of standard output where it lies or what is wrong."""
    asked: dict[str, str] = json.loads(sys.stdin.read())
    os.nice(NICE)
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
