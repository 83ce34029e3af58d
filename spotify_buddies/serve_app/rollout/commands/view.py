"""The state and the history of a rollout as text: sentences and tables."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from spotify_buddies.foundation.terminal.tables import table
from spotify_buddies.foundation.terminal.visible import visible
from spotify_buddies.serve_app.generations.state import Wanted
from spotify_buddies.serve_app.rollout.changes import show_percent
from spotify_buddies.serve_app.rollout.gates.likes import PREFERENCE

# Texts of any length, and names: a narrow terminal folds these alone.
FOLDED = ("versions", "what", "changed", "why", "replica", "who")
WATCH_S = 1.0
# Beyond any line: rich cuts what it shows where no terminal has a width.
UNLIMITED = 100_000


def status_view(status: Mapping[str, Any]) -> str:
    """The result of `read_status` as lines and tables, an empty line before each."""
    parts = ["\n".join(visible(line) for line in headline(status))]
    if status["arms"]:
        parts.append(_table(["arm", "version", "share", "users", "errors", "empty", "cold"], map(_arm, status["arms"])))
    if status["replicas"]:
        columns = ["replica", "role", "prepared", "follows", "seen", "versions"]
        parts.append(_table(columns, map(_replica, status["replicas"])))
    if status["events"]:
        parts.append(_table(["at (UTC)", "no.", "event", "version", "what"], map(_event, status["events"])))
    return "\n\n".join(parts)


def headline(status: Mapping[str, Any]) -> list[str]:
    """The most important facts, a sentence a line."""
    newest, active, registry = status["generation"], status["active"], status["registry"]
    rankers = [replica for replica in status["replicas"] if replica["role"] == "ranker"]
    if newest is None:
        lines = ["no generation yet: the controller makes the first one of the registry's alias production"]
    else:
        lines = [_sentence(newest)]
        if newest["state"] != "active":
            served = "served" if rankers else "active"
            lines.append("nothing is active yet" if active is None else f"{served}: {_sentence(active)}")
    if active is not None and not rankers:
        lines.append("no replica reports: nothing is served; does the service run?")
    if (verdict := status["verdict"]) is not None:
        paused = " (paused: nothing is done)" if active and active["wanted"]["paused"] else ""
        lines.append(f"gates: {verdict.get('kind')}: {verdict.get('reason')}{paused}")
        teams = [gate["message"] for gate in verdict.get("gates", ()) if gate["name"] == PREFERENCE]
        lines += [f"teams: {message}" for message in teams if message not in str(verdict.get("reason"))]
    elif active and active["wanted"]["paused"]:
        lines.append("paused: gates decide nothing")
    if registry["state"] == "away":
        lines.append(f"registry away since {_time(registry['away_since'])} UTC: {registry['message']}")
    if (state := status["controller"]["state"]) != "works":
        lines.append(f"controller {state}: nothing is decided and no alias is followed; does the service run?")
    return lines


def history_view(history: Sequence[Mapping[str, Any]]) -> str:
    """The result of `read_history`, a line each."""
    columns = ["no.", "state", "at (UTC)", "who", "action", "changed", "why"]
    return _table(columns, map(_past, history))


def show_again_and_again(read: Callable[[], str]) -> None:
    """Show a text once a second, in place of the one before, until Ctrl-C; in a file or a pipe only the last one."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    terminal = sys.stdout.isatty()
    screen = Console(highlight=False, width=None if terminal else UNLIMITED)
    with suppress(KeyboardInterrupt), Live(console=screen, auto_refresh=False, screen=terminal) as live:
        while True:
            live.update(Text(f"{read()}\n"), refresh=True)
            time.sleep(WATCH_S)


def wanted_text(wanted: Wanted) -> str:
    """The wanted versions, for people: "production 3, canary 4 with 10 %, previous 2"."""
    parts = [f"production {wanted.production}"]
    if wanted.canary is not None:
        how = " interleaved" if wanted.interleave else ""
        parts.append(f"canary {wanted.canary} with {show_percent(wanted.share)}{how}")
    if wanted.shadow is not None:
        parts.append(f"shadow {wanted.shadow}")
    if wanted.previous is not None:
        parts.append(f"previous {wanted.previous}")
    if wanted.paused:
        parts.append("paused")
    return ", ".join(parts)


def _sentence(generation: Mapping[str, Any]) -> str:
    message = f": {generation['message']}" if generation["message"] else ""
    why = f" ({generation['why']})" if generation["why"] else ""
    return (
        f"generation {generation['number']} {generation['state']}, {generation['action']} by {generation['who']} at "
        f"{_time(generation['at'])} UTC{why}{message}"
    )


def _arm(arm: Mapping[str, Any]) -> list[str]:
    counts = [f"{arm[name]:,}" if name in arm else "-" for name in ("listeners", "errors", "empty", "cold")]
    name = f"{arm['arm']}, interleaved" if arm.get("interleave") else arm["arm"]
    return [name, arm["version"], show_percent(arm["share"]), *counts]


def _replica(replica: Mapping[str, Any]) -> list[str]:
    versions = ", ".join(
        f"{version} {held['state']}{': ' + held['message'] if held['message'] else ''}"
        for version, held in sorted(replica["versions"].items())
    )
    numbers = [str(replica["prepared"]), str(replica["following"])]
    return [replica["replica"], replica["role"], *numbers, f"{replica['age_s']:.1f} s ago", versions or "-"]


def _event(event: Mapping[str, Any]) -> list[str]:
    return [_time(event["at"]), str(event["generation"]), event["kind"], event["version"] or "-", event["message"]]


def _past(generation: Mapping[str, Any]) -> list[str]:
    changed = ", ".join(
        f"{name} {_shown(name, before)} -> {_shown(name, after)}"
        for name, (before, after) in generation["changed"].items()
    )
    why = "; ".join(filter(None, (generation["why"], generation["message"])))
    words = [generation["who"], generation["action"], changed or "-", why]
    return [str(generation["number"]), generation["state"], _time(generation["at"]), *words]


def _shown(name: str, value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return show_percent(value) if name == "share" else str(value)


def _time(iso: str) -> str:
    return iso[:19].replace("T", " ")


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return table(columns, rows, whole=[index for index, name in enumerate(columns) if name not in FOLDED])
