"""Jobs that are more than one command: a retraining and what it answers to, and the start of a rollout."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from spotify_buddies.clients.command.invoke import CommandFailed, answer, command

STAGING = "staging"
WHO = "buddies schedule"
# The lock of a retraining, whoever starts it; no name of a job, whose lock the scheduler holds.
TRAINING = "a retraining"
# What `buddies retrain run` says of a window that teaches nothing.
NOTHING_NEW = "nothing_new"
# Far more generations than there ever are.
_ALL = "1000000"


def retrain(window: str, until: str, *, when_caused: bool) -> dict[str, Any]:
    """Train with the window, then note which cause that answers to: a retraining that fails, or that finds nothing to
    learn from, leaves it pending.

    JSON values: cause, null where none was pending, and what `buddies retrain run` says; outcome "no_cause" where it
    was not run. CommandFailed.
    """
    cause = answer("drift", "cause")["cause"]
    if cause is None and when_caused:
        return {"outcome": "no_cause", "cause": None}
    made = _last_line("retrain", "run", "--window", window, "--until", until)
    if made.get("outcome") == NOTHING_NEW:
        return {**made, "cause": cause}
    named = [] if cause is None else ["--cause", str(cause["id"])]
    answer("drift", "take", "--by", f"{WHO}, {made.get('outcome', 'retrained')}", "--until", until, *named)
    return {**made, "cause": cause}


def start_rollout(percent: float | None = None, *, manual: bool = False) -> dict[str, Any]:
    """Start the rollout of the version at staging, if it never served and no canary runs; the options are its own.

    JSON values: version, null where nothing is at staging, and outcome: started, nothing_staged, not_new, canary_runs,
    nothing_served. CommandFailed: it was refused, among others by the checks before a rollout.
    """
    staged = [one["number"] for one in answer("registry", "list") if STAGING in one["aliases"]]
    if not staged:
        return {"version": None, "outcome": "nothing_staged"}
    version = str(staged[0])
    why = _hindrance(version)
    if why is None:
        options = [*(() if percent is None else ("--percent", str(percent))), *(("--manual",) if manual else ())]
        answer("rollout", "start", version, "--who", WHO, "--why", "new at staging", *options)
    return {"version": version, "outcome": why or "started"}


def _hindrance(version: str) -> str | None:
    status = answer("rollout", "status")
    newest, active = status["generation"], status["active"]
    if active is None:
        return "nothing_served"
    served = [one["wanted"] for one in answer("rollout", "history", "--limit", _ALL) if one["state"] != "failed"]
    # A version that was taken back is started again by people only.
    if any(version in (wanted["production"], wanted["canary"]) for wanted in served):
        return "not_new"
    pending = [active, newest] if newest["state"] != "failed" else [active]
    return "canary_runs" if any(one["wanted"]["canary"] is not None for one in pending) else None


def _last_line(*arguments: str) -> dict[str, Any]:
    """The last line of JSON that a command writes; its progress goes where ours goes. CommandFailed."""
    done = subprocess.run(command(*arguments, "--json"), stdout=subprocess.PIPE, check=False)
    said = done.stdout.decode(errors="replace").strip()
    if done.returncode != 0:
        raise CommandFailed(f"`buddies {' '.join(arguments[:2])}` failed with exit code {done.returncode}: {said}")
    for text in (said, said.rpartition("\n")[2]):
        try:
            body = json.loads(text)
        except ValueError:
            continue
        if isinstance(body, dict):
            return body
    raise CommandFailed(f"`buddies {' '.join(arguments[:2])}` wrote no JSON: {said[-200:]!r}")
