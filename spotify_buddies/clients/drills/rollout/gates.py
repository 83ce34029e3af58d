"""The drill `gates`: three canaries before simulated users; one fails, one ranks worse, and one is as good.

The gates alone decide, with short steps and limits that few users can show. The steps of an ordinary service are no
part of the drill.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from spotify_buddies.clients.command.invoke import command, stop
from spotify_buddies.clients.drills.framework.drill import Stage
from spotify_buddies.clients.drills.framework.result import DrillResult
from spotify_buddies.clients.drills.framework.service import DrillError
from spotify_buddies.clients.drills.rollout.driven import POLL_S, Rollout, moment
from spotify_buddies.foundation.terminal.tables import table

SETTINGS: Mapping[str, str] = {
    "BUDDIES_ROLLOUT__STEPS": "[25, 50, 100]",
    "BUDDIES_ROLLOUT__MIN_STEP_S": "10",
    "BUDDIES_ROLLOUT__MIN_ANSWERS": "200",
    "BUDDIES_ROLLOUT__LIKE_MARGIN": "0.3",
}
FIRST = 25
# Visits a second; each is a call for a list and one of feedback.
MOST_VISITS = 100.0
LONGEST_S = 200.0
STOP_S = 60.0
ERRORS_S = 10.0
# The registry's tag of a version that the gates rolled back.
TAG, TAG_WITHIN_S = "rollout_rolled_back", 15.0


@dataclass(frozen=True)
class CanaryCase:
    """A kind of version, and what the gates have to do with it: the action, by the gates of these names."""

    kind: str
    action: str
    gates: tuple[str, ...] = ()
    within_s: float = LONGEST_S


CASES = (
    CanaryCase("erring", "rollback", ("recent errors", "errors"), ERRORS_S),
    CanaryCase("shuffled", "rollback", ("like rate",)),
    CanaryCase("same", "promote"),
)


@dataclass(frozen=True)
class Decision:
    """A generation that the gates made. seconds: since the canary was active; gates: as the verdict gives them."""

    action: str
    seconds: float
    reason: str
    gates: Sequence[Mapping[str, Any]] = ()

    @property
    def broken(self) -> tuple[str, ...]:
        """The gates that were broken."""
        return tuple(str(gate["name"]) for gate in self.gates if gate["outcome"] == "broken")


@dataclass(frozen=True)
class Trial:
    """A canary from its start to its end. decisions: of the gates, in their order; tag: of the version, as far as it is
    of this trial; tally: what `buddies simulate run` counted.
    """

    version: str
    decisions: Sequence[Decision] = ()
    tag: str = ""
    tally: Mapping[str, Any] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        """Calls of the simulated users that failed."""
        return int(self.tally.get("errors", 0))


def play(stage: Stage) -> DrillResult:
    """The drill. DrillError, CommandFailed: it could not be brought to its end."""
    rollout = Rollout.of(stage.service, stage.options.model)
    trials = []
    with rollout.restored() as production:
        versions = {case.kind: rollout.derive(production, case.kind) for case in CASES}
        # As many calls as half of what is answered, two for each visit.
        visits = min(MOST_VISITS, stage.rate() / 2)
        for seed, case in enumerate(CASES, 1):
            stage.say(f"gates: {case.kind} version {versions[case.kind]}, {visits:.0f} visits/s")
            trials.append(_try(rollout, versions[case.kind], visits, seed))
            last = trials[-1].decisions[-1] if trials[-1].decisions else None
            stage.say(f"gates: {case.kind}: {f'{last.action} after {last.seconds:.1f} s' if last else 'no decision'}")
    problems = [problem for case, trial in zip(CASES, trials, strict=True) for problem in judge(case, trial)]
    return _result(trials, tuple(problems))


def _try(rollout: Rollout, version: str, visits: float, seed: int) -> Trial:
    # Users first: the time to a decision counts from the start of the canary, and needs calls from then on.
    with _simulated(rollout, visits, seed) as process:
        started = rollout.do("start", version, "--percent", str(FIRST), "--wait", "--why", "a drill of the gates")
        active_at = moment(started.body["decided_at"])
        deadline = time.monotonic() + LONGEST_S
        # The newest generation has no canary any more: it was promoted, or rolled back.
        while (status := rollout.status())["active"]["wanted"]["canary"] is not None and time.monotonic() < deadline:
            time.sleep(POLL_S)
        process.terminate()
        out, _ = process.communicate(timeout=STOP_S)
    made = [one for one in reversed(rollout.history()) if one["number"] > started.generation and one["who"] == "gates"]
    details = {event["generation"]: event["details"] for event in status["events"]}
    decisions = [
        Decision(
            one["action"], moment(one["at"]) - active_at, one["why"], details.get(one["number"], {}).get("gates", ())
        )
        for one in made
    ]
    rolled_back = next((one["number"] for one in made if one["action"] == "rollback"), None)
    tag = "" if rolled_back is None else _tag(rollout, version, int(rolled_back))
    return Trial(version, decisions, tag, json.loads(out.strip().rpartition("\n")[2] or "{}"))


@contextmanager
def _simulated(rollout: Rollout, visits: float, seed: int) -> Iterator[subprocess.Popen[str]]:
    """Users of the data set who visit the service until the block ends."""
    # Longer than any trial: it is stopped once the gates have decided.
    window_s, dataset = 4 * LONGEST_S, rollout.service.state_dir / "dataset"
    process = subprocess.Popen(
        command("simulate", "run", "--address", rollout.address, "--dataset", str(dataset), "--json",
                "--over", f"{window_s:.0f}s", "--visits", f"{visits * window_s:.0f}", "--seed", str(seed)),
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        stop(process, STOP_S)
        if process.stdout is not None:
            process.stdout.close()
    # 130: interrupted, by us.
    if process.returncode not in (0, 130):
        raise DrillError(f"`buddies simulate run` ended with {process.returncode}")


def _tag(rollout: Rollout, version: str, generation: int) -> str:
    """The tag of a version that says why it was rolled back, "" where it is not of this generation."""
    deadline = time.monotonic() + TAG_WITHIN_S
    while True:
        tag = rollout.aliases.tags(version).get(TAG, "")
        # The version may have been in an earlier drill, whose tag it still has.
        if tag.startswith(f"generation {generation}:"):
            return tag
        if time.monotonic() > deadline:
            return ""
        time.sleep(POLL_S)


def judge(case: CanaryCase, trial: Trial) -> list[str]:
    """A sentence for each limit that is broken."""
    problems = []
    if trial.failed:
        problems.append(f"{case.kind}: {trial.failed:,} calls of the users failed")
    if not trial.decisions:
        return [*problems, f"{case.kind}: the gates decided nothing within {LONGEST_S:.0f} s"]
    last = trial.decisions[-1]
    if last.action != case.action:
        return [*problems, f"{case.kind}: the gates' last word is {last.action}, not {case.action}: {last.reason}"]
    # One of them is enough: which gate breaks first depends on how many calls have come.
    if case.gates and not set(case.gates) & set(last.broken):
        problems.append(f"{case.kind}: {', '.join(last.broken) or 'no gate'} broken instead of {case.gates[0]}")
    if last.seconds > case.within_s:
        problems.append(f"{case.kind}: {last.action} after {last.seconds:.1f} s, limit {case.within_s:g} s")
    if case.action == "rollback" and not trial.tag:
        problems.append(f"{case.kind}: version {trial.version} has no tag {TAG} that says why")
    if not all(decision.gates for decision in trial.decisions):
        problems.append(f"{case.kind}: a decision left no event with its figures")
    return problems


def _result(trials: Sequence[Trial], problems: tuple[str, ...]) -> DrillResult:
    rows, lines, requests = [], [], 0
    for case, trial in zip(CASES, trials, strict=True):
        requests += 2 * int(trial.tally.get("visits", 0))
        rows += [
            (f"{case.kind} ({trial.version})", one.action, f"{one.seconds:.1f} s", ", ".join(one.broken) or "none")
            for one in trial.decisions
        ]
        lines += [line for one in trial.decisions for line in _decision_lines(case.kind, one)]
        if trial.tag:
            lines += ["", f"tag {TAG} of version {trial.version}: {trial.tag}"]
    failed = sum(trial.failed for trial in trials)
    return DrillResult(
        "gates", requests, failed, {"simulated": failed} if failed else {},
        figures={case.kind: asdict(trial) for case, trial in zip(CASES, trials, strict=True)},
        lines=(table(("canary", "decision", "after", "broken gates"), rows, right={2}), *lines), problems=problems,
    )  # fmt: skip


def _decision_lines(kind: str, decision: Decision) -> list[str]:
    gates = [(gate["name"], gate["outcome"], gate["message"]) for gate in decision.gates]
    return ["", f"{kind}, {decision.action} after {decision.seconds:.1f} s:", table(("gate", "outcome", ""), gates)]
