"""Versions whose bundle is broken in the artifact store: none may ever answer anybody."""

from __future__ import annotations

import time
from pathlib import Path

from spotify_buddies.clients.drills.framework.bundle_files import LARGE, SMALL, file_of, flipped, without
from spotify_buddies.clients.drills.framework.traffic import Traffic
from spotify_buddies.clients.drills.rollout.driven import Rollout, finish, moment
from spotify_buddies.clients.drills.rollout.fault_result import FaultResult

ALIASES_S = 60.0
TAG = "rollout_failed"


def byte_flipped(rollout: Rollout, traffic: Traffic, production: str) -> FaultResult:
    """One byte of the bundle is another one."""
    version, file = _file(rollout, production, 13, LARGE)
    with flipped(file):
        return _never_served("a byte flipped", rollout, traffic, production, version)


def half_written(rollout: Rollout, traffic: Traffic, production: str) -> FaultResult:
    """The bundle is half written: a file is missing."""
    version, file = _file(rollout, production, 14, SMALL)
    with without(file):
        return _never_served("half written", rollout, traffic, production, version)


def _file(rollout: Rollout, production: str, seed: int, name: str) -> tuple[str, Path]:
    made = rollout.derived(production, "same", seed)
    return str(made["version"]), file_of(rollout.service.state_dir, made, name)


def _never_served(name: str, rollout: Rollout, traffic: Traffic, production: str, version: str) -> FaultResult:
    """Refused by the pre-flight, `failed` without it (--force), and put back where an alias was moved by hand."""
    began = time.time()
    problems = _refused(rollout, version)
    newest = rollout.history(1)[0]
    if (newest["wanted"]["canary"], newest["state"]) != (version, "failed"):
        problems.append(f"generation {newest['number']} of version {version} is {newest['state']}, not failed")
    seconds = moment(newest["decided_at"]) - moment(newest["at"]) if newest["decided_at"] else 0.0
    problems += _put_back(rollout, production, version)
    if answers := sum(call.version == version for call in traffic.between(began, time.time())):
        problems.append(f"{answers:,} answers came from version {version}")
    holding = [
        replica["replica"]
        for replica in rollout.status()["replicas"]
        if replica["versions"].get(version, {}).get("state") == "ready"
    ]
    if holding:
        problems.append(f"{', '.join(holding)} holds version {version} ready")
    return FaultResult(name, f"generation {newest['number']} failed: {newest['message']}", seconds, tuple(problems))


def _refused(rollout: Rollout, version: str) -> list[str]:
    """Start the version with and without the pre-flight; what did not end as it has to."""
    problems = []
    # First with the pre-flight, which has to see it; then past it, where the replicas have to.
    for words, expected in (((), "refused"), (("--force",), "failed")):
        with rollout.doing("start", version, "--percent", "50", "--manual", "--wait", *words) as process:
            done = finish(process)
        if done.code != 1 or expected not in done.said:
            typed = " ".join((version, *words))
            problems.append(f"`start {typed}` ended with {done.code}, not {expected}: {done.said}")
    return problems


def _put_back(rollout: Rollout, production: str, version: str) -> list[str]:
    """Move the alias by hand; what the controller did not put back or explain."""
    problems = []
    # The third way in: no command, and so nobody who could be refused.
    rollout.aliases.move("canary", version)
    named = rollout.wait_aliases(lambda aliases: "canary" not in aliases, ALIASES_S)
    if "canary" in named or named.get("production") != production:
        problems.append(f"the aliases are {named}, and were not put back")
    if not rollout.aliases.tags(version).get(TAG):
        problems.append(f"version {version} has no tag {TAG} that says why")
    return problems
