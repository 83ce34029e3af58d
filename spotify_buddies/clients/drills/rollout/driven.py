"""The rollout of a running service, driven with the commands that an operator types."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from spotify_buddies.clients.command.endpoints import CONFIGURED
from spotify_buddies.clients.command.invoke import CommandFailed, answer, command, stop
from spotify_buddies.clients.drills.framework.service import DrillError, ServiceUnderTest
from spotify_buddies.clients.drills.rollout.aliases import Aliases, RegistryUnreachable

WITHIN_S = 240.0
POLL_S = 0.5
# An operator's command runs on another machine and takes no processor from the service.
GENTLY = ("nice", "-n", "10")
# The registry's aliases that belong to the rollout.
NAMES = ("production", "canary", "shadow", "previous")


@dataclass(frozen=True)
class Done:
    """A command that ended. said: its error. body: its JSON output, None where it failed. ended_unix: Unix time."""

    code: int
    said: str
    body: Any
    ended_unix: float

    @property
    def generation(self) -> int:
        """The generation that it made."""
        return int(self.body["number"])

    @property
    def seconds(self) -> float:
        """From the proposal of its change until it was served everywhere and the command had ended."""
        return self.ended_unix - moment(self.body["at"])


@dataclass(frozen=True)
class Rollout:
    """One service and its registry."""

    service: ServiceUnderTest
    aliases: Aliases

    @classmethod
    def of(cls, service: ServiceUnderTest, model: str) -> Rollout:
        """DrillError: its registry is not the embedded one; another is not a drill's to break."""
        if service.endpoints.mlflow == CONFIGURED:
            raise DrillError("drills of the rollout need the embedded MLflow; unset MLFLOW_TRACKING_URI for them")
        return cls(service, Aliases(service.endpoints.mlflow, model))

    @property
    def address(self) -> str:
        """Of the service's gRPC."""
        return self.service.endpoints.grpc

    def do(self, *arguments: str) -> Done:
        """Run `buddies rollout ARGUMENTS` and wait for its end. CommandFailed: it failed."""
        with self.doing(*arguments) as process:
            done = finish(process)
        if done.code:
            raise CommandFailed(f"`buddies rollout {' '.join(arguments)}`: {done.said}")
        return done

    @contextmanager
    def doing(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """`buddies rollout ARGUMENTS` beside us, for `finish`; stopped when the block ends before it does."""
        process = subprocess.Popen(
            [*GENTLY, *command("rollout", *arguments, "--json")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                stop(process, WITHIN_S)
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()

    def status(self) -> dict[str, Any]:
        """As `buddies rollout status --json`."""
        return dict(answer("rollout", "status"))

    def history(self, limit: int = 20) -> list[dict[str, Any]]:
        """As `buddies rollout history --json`, newest first."""
        return list(answer("rollout", "history", "--limit", str(limit)))

    def wait(
        self, condition: Callable[[dict[str, Any]], bool], what: str, within_s: float = WITHIN_S
    ) -> dict[str, Any]:
        """Look at the status until the condition holds. DrillError names what did not come."""
        deadline = time.monotonic() + within_s
        while not condition(status := self.status()):
            if time.monotonic() > deadline:
                raise DrillError(f"{what}: not within {within_s:.0f} s; see `buddies rollout status`")
            time.sleep(POLL_S)
        return status

    def wait_aliases(self, condition: Callable[[dict[str, str]], bool], within_s: float) -> dict[str, str]:
        """The rollout's aliases once the condition holds, or as they are after that time.

        A registry that is unreachable is waited for; it has none.
        """
        deadline = time.monotonic() + within_s
        while True:
            try:
                named = self._named()
            except RegistryUnreachable:
                named = {}
            # An unreachable registry has no aliases, so that "there is no canary" would hold at once.
            if (named and condition(named)) or time.monotonic() > deadline:
                return named
            time.sleep(POLL_S)

    def derive(self, version: str, kind: str, seed: int = 1) -> str:
        """The number of a version made from another one (`buddies registry derive`)."""
        return str(self.derived(version, kind, seed)["version"])

    def derived(self, version: str, kind: str, seed: int = 1) -> dict[str, Any]:
        """The same with its hash."""
        return dict(answer("registry", "derive", version, "--kind", kind, "--seed", str(seed)))

    @contextmanager
    def restored(self) -> Iterator[str]:
        """Yields production, and makes it production again afterwards, with the other aliases as they were.

        DrillError: a canary is being rolled out, or nothing is served yet.
        """
        active = self.wait(lambda status: status["active"] is not None, "the first generation")["active"]
        if active["wanted"]["canary"] is not None:
            raise DrillError("a canary is being rolled out; promote it or roll back before a drill")
        # From the registry, not from the generation: the aliases are what people and later starts see.
        before = self._named()
        try:
            yield active["wanted"]["production"]
        finally:
            try:
                self._restore(before)
            except (CommandFailed, DrillError) as error:
                raise DrillError(f"the aliases were {before} and could not be restored: {error}") from error

    def _restore(self, before: dict[str, str]) -> None:
        if (self.status()["active"] or {"wanted": {}})["wanted"].get("canary") is not None:
            self.do("rollback", "--wait", "--why", "end of a drill")
        self.wait_aliases(lambda named: "canary" not in named, WITHIN_S)
        # One after the other: a new production makes the old one previous, which is then moved in its turn.
        for name in NAMES:
            wanted = before.get(name)
            if self._named().get(name) == wanted:
                continue
            self.aliases.move(name, wanted)
            self.wait(lambda status: _as_served(status).get(name) == wanted, f"alias {name} as before the drill")  # noqa: B023
            self.wait_aliases(lambda named: named == _as_served(self.status()), WITHIN_S)
        if (left := self._named()) != before:
            raise DrillError(f"they are {left}")

    def _named(self) -> dict[str, str]:
        return {name: version for name, version in self.aliases.read().items() if name in NAMES}


def finish(process: subprocess.Popen[str], within_s: float = WITHIN_S) -> Done:
    """Wait for a command's end. DrillError: it does not end."""
    try:
        out, said = process.communicate(timeout=within_s)
    except subprocess.TimeoutExpired as error:
        raise DrillError(f"a command did not end within {within_s:.0f} s; is the machine too busy?") from error
    ended_unix = time.time()
    body = json.loads(out) if process.returncode == 0 and out.strip() else None
    return Done(process.returncode, said.strip().removeprefix("error: "), body, ended_unix)


def moment(text: str) -> float:
    """The Unix time of a time as JSON holds it."""
    return datetime.fromisoformat(text).timestamp()


def followed(status: dict[str, Any], number: int) -> bool:
    """Whether every live replica serves a generation or one that came later."""
    replicas = status["replicas"]
    return bool(replicas) and all(replica["following"] >= number for replica in replicas)


def _as_served(status: dict[str, Any]) -> dict[str, str]:
    """The aliases that follow from what is active; empty while something else is being prepared."""
    active = status["active"]
    if active is None or status["generation"]["state"] == "preparing":
        return {}
    return {name: active["wanted"][name] for name in NAMES if active["wanted"][name] is not None}
