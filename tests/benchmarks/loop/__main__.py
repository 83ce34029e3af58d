"""Six simulated weeks of a service that is retrained twice from what its listeners do, and three spoiled retrainings.

    python -m tests.benchmarks.loop                  # also `make loop`; prints JSON last
    python -m tests.benchmarks.loop --unattended     # `buddies schedule` alone, its clock simulated
    python -m tests.benchmarks.loop --keep DIRECTORY

Every step is a command of the product, run as a person would run it. Weeks 0 and 1 are served by a version that knows
no feedback. What was said then is extracted, a version is trained, judged against the one that serves and, not being
worse, shown to half of the listeners in weeks 2 and 3; the report of these weeks decides on it. The same once more for
weeks 4 and 5. The gates of a rollout measure in real time and so not in weeks that pass in a minute: the canary is
paused, and the difference by listener, with its interval, is the verdict. Exit code 1: a version was not better with an
interval without zero, a spoiled one became staging or production, or a call failed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.benchmarks.loop import spoil
from tests.benchmarks.loop.story import SPAN, Failed, Loop
from tests.benchmarks.loop.unattended import live_alone

SPOILED = {"shuffled likes": spoil.shuffled, "popularity inflated": spoil.inflated, "truncated extract": spoil.cut}


def play(loop: Loop) -> dict[str, Any]:
    """The whole loop; what happened."""
    loop.prepare()
    with loop.serving():
        weeks = loop.live(SPAN)
        rounds, spoiled = [], {}
        for number in (1, 2):
            first, last = number * SPAN, (number + 1) * SPAN
            made = json.loads(loop.run("retrain", "run", "--window", f"{first}d", "--until", loop.day(first), "--json"))
            _told(loop, made)
            if number == 1:
                spoiled = spoil_all(loop)
            if made["outcome"] != "registered":
                raise Failed(f"version {made['version']} was kept back: {made['against']}")
            loop.run("rollout", "start", made["version"], "--percent", "50", "--manual", "--wait")
            weeks += loop.live(last)
            rounds.append({"retrained": made, **verdict(loop, made, first, last)})
        aliases = {one["number"]: one["aliases"] for one in json.loads(loop.run("registry", "list", "--json"))}
    return {
        "weeks": weeks,
        "retrainings": rounds,
        "spoiled": spoiled,
        "aliases": aliases,
        "reached_production": sorted({arm["version"] for week in weeks for arm in week["arms"]}),
        "seconds": {name: round(value, 1) for name, value in loop.seconds.items()},
        "took_s": loop.took_s,
    }


def spoil_all(loop: Loop) -> dict[str, Any]:
    """Retrain from spoiled copies of the newest extract; what became of each."""
    extract = max((loop.state / "retrain").iterdir())
    found: dict[str, Any] = {}
    for name, make in SPOILED.items():
        target = loop.state / "spoiled" / name.replace(" ", "-")
        target.parent.mkdir(exist_ok=True)
        make(extract, target)
        arguments = ("retrain", "run", "--extract", str(target), "--json")
        if make is spoil.cut:
            found[name] = {"outcome": "refused", "against": [loop.run(*arguments, fails=True).strip().splitlines()[-1]]}
        else:
            made = json.loads(loop.run(*arguments, BUDDIES_RETRAIN__WEIGHTS="[4]"))
            refused = loop.run("rollout", "start", made["version"], fails=True) if made["against"] else ""
            found[name] = {key: made[key] for key in ("outcome", "version", "against")} | {"start": refused.strip()}
        loop.say(f"{name}: {found[name]['outcome']}: {'; '.join(found[name]['against'])}")
    return found


def verdict(loop: Loop, made: Mapping[str, Any], first: int, last: int) -> dict[str, Any]:
    """What the days say of the canary, and what was done about it."""
    days = ("--since", loop.day(first), "--until", loop.day(last))
    decision = json.loads(loop.run("online", "decide", *days, "--wait", "--json"))
    loop.say(f"version {made['version']} beside {made['serving']}: {decision['action']}: {decision['why']}")
    return {"decision": decision, "promoted": decision["action"] == "promote"}


def _told(loop: Loop, made: Mapping[str, Any]) -> None:
    feedback = made["judgement"]["feedback"]
    beside = "" if feedback is None else f"; MRR within held-out lists {feedback['difference']['value']:+.4f}"
    loop.say(f"version {made['version']} retrained from {made['blocks']:,} user-blocks: {made['outcome']}{beside}")


def faults(body: Mapping[str, Any]) -> list[str]:
    """What the loop should have shown and did not."""
    found = [
        f"version {one['retrained']['version']} is not better than version {one['retrained']['serving']}"
        for one in body["retrainings"] if not one["promoted"]
    ]  # fmt: skip
    bad = {one["version"] for one in body["spoiled"].values() if "version" in one}
    found += [f"{name} was not refused" for name, one in body["spoiled"].items() if one["outcome"] == "registered"]
    found += [
        f"the spoiled version {version} was shown to listeners" for version in bad & set(body["reached_production"])
    ]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="state directory, which is kept; default: a temporary one")
    parser.add_argument("--unattended", action="store_true", help="let `buddies schedule` do it all, and spoil nothing")
    asked = parser.parse_args()
    keep: Path | None = asked.keep
    state = keep or Path(tempfile.mkdtemp(prefix="loop-"))
    try:
        body = live_alone(Loop(state)) if asked.unattended else play(Loop(state))
    except Failed as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    finally:
        if keep is None:
            shutil.rmtree(state, ignore_errors=True)
    problems = [] if asked.unattended else faults(body)
    if asked.unattended and len(body["promoted"]) < 2:
        problems.append("fewer than two retrained versions were promoted")
    print(json.dumps({**body, "problems": problems}))
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
