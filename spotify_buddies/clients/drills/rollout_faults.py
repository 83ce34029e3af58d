"""What can go wrong while a version is brought to its listeners, under steady traffic."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict

from spotify_buddies.clients.drills.broken import flipped, missing
from spotify_buddies.clients.drills.fault_result import Found, counted
from spotify_buddies.clients.drills.rehearsal import Rehearsal, Stage, markdown
from spotify_buddies.clients.drills.rollout import finish, followed
from spotify_buddies.clients.drills.steady import Steady, capacity, errors_of, half_of
from spotify_buddies.clients.python import BuddiesError, Client

AWAY_S, TICK_S = 8.0, 0.1
BACK_S = 90.0
SETTLE_S = 3.0


Fault = Callable[[Stage, Steady, str], Found]


def play(stage: Stage) -> Rehearsal:
    """The drill. DrillError, CommandFailed: it could not be brought to its end."""
    rollout = stage.rollout
    found = []
    with rollout.restored() as production:
        asked = stage.rate or half_of(capacity(rollout.address, stage.user_ids, stage.tastes))
        with Steady(rollout.address, stage.user_ids, stage.tastes, asked).running() as traffic:
            for fault in FAULTS:
                began = time.time()
                one = fault(stage, traffic, production)
                time.sleep(SETTLE_S)
                found.append(counted(one, traffic.between(began, time.time())))
                stage.say(f"rollout-faults: {one.name}: {'; '.join(found[-1].problems) or 'passed'}")
    calls, errors = traffic.calls, errors_of(traffic.calls)
    problems = tuple(f"{one.name}: {problem}" for one in found for problem in one.problems)
    figures = {"calls_per_s": round(asked, 1), "faults": [asdict(one) for one in found]}
    return Rehearsal(
        "rollout-faults", len(calls), sum(errors.values()), errors, figures, tuple(_lines(found)), problems
    )


def registry_killed(stage: Stage, traffic: Steady, production: str) -> Found:
    """Kill -9 of MLflow, again and again for some seconds, while a version becomes canary."""
    rollout, problems = stage.rollout, []
    version = rollout.derive(production, "same", 11)
    with rollout.doing("start", version, "--percent", "10", "--force", "--manual", "--wait") as process:
        killed_at = time.time()
        said_so = False
        while time.time() - killed_at < AWAY_S or (not said_so and time.time() - killed_at < 2 * AWAY_S):
            for server in rollout.served.find("mlflow"):
                server.kill()
            said_so = said_so or (time.time() - killed_at > AWAY_S / 2 and _says_away(stage))
            time.sleep(TICK_S)
        ended_at = time.time()
        answered = [call for call in traffic.between(killed_at, ended_at) if not call.error]
        started = finish(process)
    if not answered:
        problems.append("nothing was answered while the registry was away")
    if not said_so:
        problems.append("the status does not say that the registry is away")
    if started.code:
        problems.append(f"the rollout was not completed: {started.said}")
    written = rollout.wait_aliases(lambda found: found.get("canary") == version, BACK_S)
    seconds = time.time() - ended_at
    if written.get("canary") != version:
        problems.append(f"alias canary is {written.get('canary')} after the registry came back, not {version}")
    rollout.do("rollback", "--wait")
    return Found(
        "registry killed", f"aliases right after it may come back, {AWAY_S:g} s away", seconds, tuple(problems)
    )


def _says_away(stage: Stage) -> bool:
    return bool(stage.rollout.status()["registry"]["state"] == "away")


def replica_killed(stage: Stage, traffic: Steady, production: str) -> Found:
    """Kill -9 of a ranker while it loads the version that becomes production."""
    rollout, problems = stage.rollout, []
    version = rollout.derive(production, "same", 12)
    replicas = len(rollout.served.find("replica"))
    with rollout.doing("start", version, "--percent", "50", "--manual", "--wait") as process:
        began = time.time()
        # A command that ended has loaded it everywhere: too late for the middle, and a defect of the drill's making.
        while not (loading := _is_held(stage, version)) and process.poll() is None:
            time.sleep(TICK_S / 2)
        killed_at = time.time()
        rollout.served.find("replica")[0].kill()
        started = finish(process)
    if not loading:
        problems.append(f"no replica was seen to load version {version} within {killed_at - began:.1f} s")
    if started.code:
        problems.append(f"the version was not served: {started.said}")
    else:
        promoted = rollout.do("promote", "--wait")
        rollout.wait(lambda status: followed(status, promoted.generation), "every replica serves it", BACK_S)
        time.sleep(1.0)
        late = [call for call in traffic.between(time.time() - 1.0, time.time()) if call.version not in ("", version)]
        if late:
            problems.append(f"{len(late):,} answers of another version after every replica served version {version}")
    seconds = time.time() - killed_at
    deadline = time.monotonic() + BACK_S
    while len(rollout.served.find("replica")) < replicas and time.monotonic() < deadline:
        time.sleep(TICK_S)
    if (now := len(rollout.served.find("replica"))) < replicas:
        problems.append(f"{now} replicas of {replicas} came back within {BACK_S:.0f} s")
    # The new replica too has to have the version before the next fault.
    rollout.do("rollback", "--wait")
    return Found("replica killed", "production everywhere after it", seconds, tuple(problems), killed_at)


def _is_held(stage: Stage, version: str) -> bool:
    """Whether the replica that happens to answer has begun to load a version."""
    with Client(stage.rollout.address) as client:
        try:
            return any(one.version == version for one in client.model_status().versions)
        except BuddiesError:
            return False


def two_at_once(stage: Stage, traffic: Steady, production: str) -> Found:
    """Two people promote the same canary at the same moment."""
    del traffic
    rollout, problems = stage.rollout, []
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
        problems.append(f"not one of two won and the other was told: {[(one.code, one.said) for one in done]}")
    active = rollout.status()["active"]["wanted"]
    if (active["production"], active["canary"]) != (version, None):
        problems.append(f"production is version {active['production']} afterwards, canary {active['canary']}")
    rollout.do("rollback", "--wait")
    what = "the winner's change; the other was told that it is done" if told else "nobody was told that it is done"
    return Found("two promote at once", what, won[0].seconds if won else 0.0, tuple(problems))


def _lines(found: Sequence[Found]) -> list[str]:
    head = ("fault", "calls", "failed", "seconds", "until", "verdict")
    rows = [
        (one.name, f"{one.requests:,}", f"{sum(one.errors.values()):,}", f"{one.seconds:.1f}", one.what,
         "; ".join(one.problems) or "passed")
        for one in found
    ]  # fmt: skip
    return markdown(head, rows)


FAULTS: tuple[Fault, ...] = (registry_killed, replica_killed, flipped, missing, two_at_once)
