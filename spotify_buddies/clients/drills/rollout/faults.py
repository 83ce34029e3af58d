"""The drill `rollout-faults`: what can go wrong while a version is brought to its users."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict

from spotify_buddies.clients.drills.framework.account import errors_of
from spotify_buddies.clients.drills.framework.drill import Stage
from spotify_buddies.clients.drills.framework.result import DrillResult
from spotify_buddies.clients.drills.framework.traffic import Traffic
from spotify_buddies.clients.drills.framework.waiting import wait
from spotify_buddies.clients.drills.rollout.broken import byte_flipped, half_written
from spotify_buddies.clients.drills.rollout.driven import Rollout, finish, followed
from spotify_buddies.clients.drills.rollout.fault_result import FaultResult, counted
from spotify_buddies.clients.python import BuddiesError, Client
from spotify_buddies.foundation.terminal.tables import table

NAME = "rollout-faults"
AWAY_S, TICK_S = 8.0, 0.1
BACK_S = 90.0
SETTLE_S = 3.0


RolloutFault = Callable[[Rollout, Traffic, str], FaultResult]


def play(stage: Stage) -> DrillResult:
    """The drill. DrillError, CommandFailed: it could not be brought to its end."""
    rollout = Rollout.of(stage.service, stage.options.model)
    results = []
    with rollout.restored() as production, Traffic(stage.address, stage.users, stage.rate()).running() as traffic:
        for fault in FAULTS:
            began = time.time()
            one = fault(rollout, traffic, production)
            time.sleep(SETTLE_S)
            results.append(counted(one, traffic.between(began, time.time())))
            stage.say(f"rollout-faults: {one.name}: {'; '.join(results[-1].problems) or 'passed'}")
    calls, errors = traffic.calls, errors_of(traffic.calls)
    problems = tuple(f"{one.name}: {problem}" for one in results for problem in one.problems)
    figures = {"calls_per_s": round(traffic.rate, 1), "faults": [asdict(one) for one in results]}
    return DrillResult(
        NAME, len(calls), sum(errors.values()), errors, figures=figures, lines=(_table(results),), problems=problems
    )


def registry_killed(rollout: Rollout, traffic: Traffic, production: str) -> FaultResult:
    """Kill -9 of MLflow, again and again for some seconds, while a version becomes canary."""
    problems = []
    version = rollout.derive(production, "same", 11)
    with rollout.doing("start", version, "--percent", "10", "--force", "--manual", "--wait") as process:
        killed_at = time.time()
        said_so = False
        # Longer where it was not noticed yet: the status is asked in between, and a busy machine answers slowly.
        while time.time() - killed_at < AWAY_S or (not said_so and time.time() - killed_at < 2 * AWAY_S):
            for server in rollout.service.find("mlflow"):
                server.kill()
            # Not before half of the time: the controller has to look at the registry in vain first.
            said_so = said_so or (time.time() - killed_at > AWAY_S / 2 and _says_away(rollout))
            time.sleep(TICK_S)
        ended_unix = time.time()
        answered = [call for call in traffic.between(killed_at, ended_unix) if not call.error]
        started = finish(process)
    if not answered:
        problems.append("nothing was answered while the registry was unreachable")
    if not said_so:
        problems.append("the status does not say that the registry is unreachable")
    if started.code:
        problems.append(f"the rollout was not completed: {started.said}")
    written = rollout.wait_aliases(lambda aliases: aliases.get("canary") == version, BACK_S)
    seconds = time.time() - ended_unix
    if written.get("canary") != version:
        problems.append(f"alias canary is {written.get('canary')} after the registry came back, not {version}")
    rollout.do("rollback", "--wait")
    return FaultResult(
        "registry killed", f"aliases right after it may come back, {AWAY_S:g} s unreachable", seconds, tuple(problems)
    )


def _says_away(rollout: Rollout) -> bool:
    return bool(rollout.status()["registry"]["state"] == "away")


def replica_killed(rollout: Rollout, traffic: Traffic, production: str) -> FaultResult:
    """Kill -9 of a ranker while it loads the version that becomes production."""
    problems = []
    version = rollout.derive(production, "same", 12)
    replicas = len(rollout.service.find("replica"))
    with rollout.doing("start", version, "--percent", "50", "--manual", "--wait") as process:
        began = time.time()
        # A command that ended has loaded it everywhere: too late to be in the middle.
        while not (loading := _is_held(rollout, version)) and process.poll() is None:
            time.sleep(TICK_S / 2)
        killed_at = time.time()
        rollout.service.find("replica")[0].kill()
        started = finish(process)
    if not loading:
        problems.append(f"no replica was seen to load version {version} within {killed_at - began:.1f} s")
    if started.code:
        problems.append(f"the version was not served: {started.said}")
    else:
        promoted = rollout.do("promote", "--wait")
        rollout.wait(lambda status: followed(status, promoted.generation), "every replica serves it", BACK_S)
        time.sleep(1.0)
        # A second after the swap everywhere, in which no answer may be of another version.
        late = [call for call in traffic.between(time.time() - 1.0, time.time()) if call.version not in ("", version)]
        if late:
            problems.append(f"{len(late):,} answers of another version after every replica served version {version}")
    seconds = time.time() - killed_at
    if not wait(lambda: len(rollout.service.find("replica")) >= replicas, BACK_S):
        now = len(rollout.service.find("replica"))
        problems.append(f"{now} replicas of {replicas} came back within {BACK_S:.0f} s")
    # The new replica too has to have the version before the next fault.
    rollout.do("rollback", "--wait")
    return FaultResult("replica killed", "production everywhere after it", seconds, tuple(problems), killed_at)


def _is_held(rollout: Rollout, version: str) -> bool:
    """Whether the replica that happens to answer has begun to load a version."""
    with Client(rollout.address) as client:
        try:
            return any(one.version == version for one in client.model_status().versions)
        except BuddiesError:
            return False


def two_at_once(rollout: Rollout, traffic: Traffic, production: str) -> FaultResult:
    """Two operators promote the same canary at the same moment."""
    del traffic
    problems = []
    version = rollout.derive(production, "same", 11)
    rollout.do("start", version, "--percent", "10", "--manual", "--wait")
    with (
        rollout.doing("promote", "--wait", "--who", "anna") as anna,
        rollout.doing("promote", "--wait", "--who", "ben") as ben,
    ):
        done = [finish(anna), finish(ben)]
    won = [one for one in done if one.code == 0 and one.body["changed"]]
    told = [one for one in done if one.code == 0 and not one.body["changed"]]
    if len(won) != 1 or len(told) != 1:
        problems.append(f"not one of two succeeded, the other unchanged: {[(one.code, one.said) for one in done]}")
    active = rollout.status()["active"]["wanted"]
    if (active["production"], active["canary"]) != (version, None):
        problems.append(f"production is version {active['production']} afterwards, canary {active['canary']}")
    rollout.do("rollback", "--wait")
    what = "the first one's change; the other learned that it is done" if told else "nobody learned that it is done"
    return FaultResult("two promote at once", what, won[0].seconds if won else 0.0, tuple(problems))


def _table(results: Sequence[FaultResult]) -> str:
    rows = [
        (one.name, f"{one.requests:,}", f"{sum(one.errors.values()):,}", f"{one.seconds:.1f}", one.what,
         "; ".join(one.problems) or "passed")
        for one in results
    ]  # fmt: skip
    return table(("fault", "calls", "failed", "seconds", "until", "verdict"), rows, right=range(1, 4))


FAULTS: tuple[RolloutFault, ...] = (registry_killed, replica_killed, byte_flipped, half_written, two_at_once)
