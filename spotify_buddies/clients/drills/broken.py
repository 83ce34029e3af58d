"""Versions whose bundle is broken in the artifact store: neither may ever answer anybody."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spotify_buddies.clients.drills.fault_result import Found
from spotify_buddies.clients.drills.rehearsal import Stage
from spotify_buddies.clients.drills.rollout import finish, moment
from spotify_buddies.clients.drills.service_under_test import DrillError
from spotify_buddies.clients.drills.steady import Steady

ARTIFACTS = Path("mlflow") / "artifacts"
# A large file of every bundle, and a small one.
FLIPPED, MISSING = "factors.safetensors", "owner.npy"
ALIASES_S = 60.0
TAG = "rollout_failed"


def flipped(stage: Stage, traffic: Steady, production: str) -> Found:
    """One byte of the bundle is another one."""
    version, file = _file(stage, production, 13, FLIPPED)
    with _flipped(file):
        return _never_served("a byte flipped", stage, traffic, production, version)


def missing(stage: Stage, traffic: Steady, production: str) -> Found:
    """The bundle was written by half: a file is not there."""
    version, file = _file(stage, production, 14, MISSING)
    with aside(file):
        return _never_served("half written", stage, traffic, production, version)


def _file(stage: Stage, production: str, seed: int, name: str) -> tuple[str, Path]:
    made = stage.rollout.derived(production, "same", seed)
    return str(made["version"]), file_of(stage.rollout.served.state_dir, made, name)


def file_of(state_dir: Path, made: Mapping[str, Any], name: str) -> Path:
    """A file of a derived version's bundle in the artifact store. made: as `buddies registry derive` says it."""
    folders = list((state_dir / ARTIFACTS).rglob(f"bundle-{made['bundle_sha256'][:12]}"))
    if len(folders) != 1:
        raise DrillError(f"version {made['version']} has no bundle below {state_dir / ARTIFACTS}")
    return folders[0] / name


@contextmanager
def aside(file: Path) -> Iterator[None]:
    """Without the file until the block ends."""
    there = file.with_name(f".{file.name}.aside")
    file.rename(there)
    try:
        yield
    finally:
        there.rename(file)


@contextmanager
def _flipped(file: Path) -> Iterator[None]:
    at = file.stat().st_size // 2

    def flip() -> None:
        with file.open("r+b") as opened:
            opened.seek(at)
            (byte,) = opened.read(1)
            opened.seek(at)
            opened.write(bytes([byte ^ 1]))

    flip()
    try:
        yield
    finally:
        flip()


def _never_served(name: str, stage: Stage, traffic: Steady, production: str, version: str) -> Found:
    """Refused where it is looked at first, `failed` where it is not, put back where an alias was moved."""
    rollout, problems = stage.rollout, []
    began = time.time()
    for words, expected in (((), "refused"), (("--force",), "failed")):
        with rollout.doing("start", version, "--percent", "50", "--manual", "--wait", *words) as process:
            done = finish(process)
        if done.code != 1 or expected not in done.said:
            problems.append(
                f"`start {' '.join((version, *words))}` ended with {done.code}, not {expected}: {done.said}"
            )
    newest = rollout.history(1)[0]
    if (newest["wanted"]["canary"], newest["state"]) != (version, "failed"):
        problems.append(f"generation {newest['number']} of version {version} is {newest['state']}, not failed")
    seconds = moment(newest["decided_at"]) - moment(newest["at"]) if newest["decided_at"] else 0.0
    rollout.aliases.move("canary", version)
    found = rollout.wait_aliases(lambda found: "canary" not in found, ALIASES_S)
    if "canary" in found or found.get("production") != production:
        problems.append(f"the aliases are {found}, and were not put back")
    if not rollout.aliases.tags(version).get(TAG):
        problems.append(f"version {version} has no tag {TAG} that says why")
    if answers := sum(call.version == version for call in traffic.between(began, time.time())):
        problems.append(f"{answers:,} answers came from version {version}")
    held = [
        replica["replica"]
        for replica in rollout.status()["replicas"]
        if replica["versions"].get(version, {}).get("state") == "ready"
    ]
    if held:
        problems.append(f"{', '.join(held)} holds version {version} ready")
    return Found(name, f"generation {newest['number']} failed: {newest['message']}", seconds, tuple(problems))
