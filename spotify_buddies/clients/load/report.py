"""The report of a measurement for people, and its progress."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from textwrap import indent
from typing import Any

from spotify_buddies.clients.load.client_processes import OnSecond
from spotify_buddies.clients.load.plan import LoadPlan
from spotify_buddies.foundation.terminal.tables import table

EVERY_S = 5.0
_PERCENTILES = ("p50", "p90", "p99", "p99.9", "max")


def ticker(plan: LoadPlan) -> Callable[[str], OnSecond]:
    """Progress on standard error: a rewritten line on a terminal, one every few seconds elsewhere."""
    terminal = sys.stderr.isatty()

    def of_round(title: str) -> OnSecond:
        started, shown = float("inf"), float("-inf")

        def tell(phase: str, calls: int, errors: int) -> None:
            nonlocal started, shown
            now = time.monotonic()
            started = min(started, now - 1.0)  # the first second is reported at its end
            if now - shown < (0.5 if terminal else EVERY_S):
                return
            shown = now
            whole = plan.warmup_s + plan.duration_s
            line = f"{title}: {phase}, {min(now - started, whole):.0f} of {whole:.0f} s, {calls:,} calls"
            line += f", {errors:,} failed" if errors else ""
            print("\r\x1b[2K" + line if terminal else line, end="" if terminal else "\n", file=sys.stderr, flush=True)  # noqa: T201

        return tell

    return of_round


def whole(body: Mapping[str, Any]) -> Iterator[str]:
    """The report of a run with all its parts, from what --json prints."""
    if "service" in body:
        yield from lines(body)
    for case in body.get("cases", []):
        yield from ("", f"== {case['name']}", *lines(case))
    if "soak" in body:
        yield from ("", "== soak", *lines(body["soak"]))
    if body.get("targets"):
        yield from ("", "== targets", *target_lines(body["targets"]))


def lines(body: Mapping[str, Any]) -> list[str]:
    """The report of one measurement, from what --json prints."""
    plan, service = body["plan"], body["service"]
    results = [service, *([body["baseline"]] if body.get("baseline") else [])]
    rows = [row for result in results for row in _rows(plan, result)]
    said = [_headline(plan), "", table(("", "calls/s", "users/s", "failed", *_PERCENTILES), rows, right=range(1, 9))]
    if (ratio := body.get("ratio_to_baseline")) is not None:
        said += ["", "ratio to baseline (medians of rounds): " + ", ".join(
            f"{name} {'-' if value is None else f'{value:.3f}'}" for name, value in ratio.items())]  # fmt: skip
    for result in results:
        said += _errors(result)
    for result in results:
        said += _usage(result)
    return [*said, "", *_notes(plan, service)]


def target_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The table of targets."""
    marks = {True: "yes", False: "no", None: ""}
    cells = [(row["work"], row["figure"], row["target"], row["reached"], marks[row["met"]]) for row in rows]
    return table(("work", "figure", "target", "reached", "met"), cells).splitlines()


def _rows(plan: Mapping[str, Any], result: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """A server's rates and times, and the same by kind of call where there are several."""
    rates = (f"{result['calls_per_s']:,.1f}", f"{result['users_per_s']:,.0f}", f"{result['failed']:,}")
    yield (result["server"]["name"], *rates, *_times(result["latency_ms"]))
    if plan["rate"] is not None:
        yield ("  from actual sending", "", "", "", *_times(result["service_ms"]))
    if len(result["kinds"]) > 1:
        for kind, tally in result["kinds"].items():
            counts = (f"{tally['calls']:,} calls", "", f"{tally['failed']:,}")
            yield (f"  {kind}", *counts, *_times(tally["latency_ms"]))


def _times(values: Mapping[str, float | None]) -> tuple[str, ...]:
    return tuple(_ms(values[name]) for name in _PERCENTILES)


def _headline(plan: Mapping[str, Any]) -> str:
    loop = (
        f"closed loop of {plan['callers']} callers"
        if plan["rate"] is None
        else f"{plan['rate']:g} calls/s whatever the server does, {plan['callers']} in flight at most"
    )
    whole = sum(plan["mix"].values())
    mix = ", ".join(f"{kind} {weight / whole:.0%}" for kind, weight in plan["mix"].items())
    users = f"{plan['users_per_call']:,} user{'s' if plan['users_per_call'] > 1 else ''} a call"
    return (
        f"{loop}; {mix}; {users}, {plan['limit']} playlists each; {plan['processes']} client process(es), "
        f"{plan['connections']} connection(s); times in ms"
    )


def _errors(result: Mapping[str, Any]) -> list[str]:
    if not result["errors"]:
        return []
    rows = []
    for one in result["errors"]:
        message = one["message"].splitlines()[0][:70] if one["message"] else ""
        rows.append((f"{one['calls']:,}", one["kind"], one["code"], one["reason"], message))
    listed = table(("calls", "kind", "code", "reason", "message"), rows, right={0})
    return ["", f"failed calls of {result['server']['name']}", indent(listed, "  ")]


def _usage(result: Mapping[str, Any]) -> list[str]:
    usage, name = result["server_usage"], result["server"]["name"]
    if usage is None:
        return []
    rows = [row for row, cpu_s in _by_name(usage["processes"]) if cpu_s >= 0.01 * result["measured_s"]]
    grown = "" if usage["rss_growth"] is None else f" ({usage['rss_growth']:+.1%})"
    each = "" if result["cpu_ms_per_call"] is None else f" ({result['cpu_ms_per_call']:.3f} ms a call)"
    total = (
        f"{name} used {usage['cpu_s']:.2f} processor seconds{each} in {result['measured_s']:.1f} s, "
        f"{usage['rss_mib']:,.0f} MiB{grown}"
    )
    return ["", total, indent(table(("process", "pid", "cpu s", "rss MiB"), rows, right=range(1, 4)), "  ")]


def _by_name(processes: Sequence[Mapping[str, Any]]) -> list[tuple[tuple[str, str, str, str], float]]:
    """A row for each name, the busiest first, and its processor seconds; processes of one name are added up."""
    by_name: dict[str, list[Mapping[str, Any]]] = {}
    for one in processes:
        by_name.setdefault(one["name"], []).append(one)
    rows = []
    for name, same in by_name.items():
        cpu_s, rss_mib = sum(one["cpu_s"] for one in same), sum(one["rss_after_mib"] for one in same)
        title, pid = (f"{name} x {len(same)}", "") if len(same) > 1 else (name, str(same[0]["pid"]))
        rows.append(((title, pid, f"{cpu_s:.2f}", f"{rss_mib:.0f}"), cpu_s))
    return sorted(rows, key=lambda row: -row[1])


def _notes(plan: Mapping[str, Any], service: Mapping[str, Any]) -> list[str]:
    client = service["client_usage"]
    used = sum(process["cpu_s"] for process in client["processes"])
    notes = [
        f"clients used {used:.2f} processor seconds, the busiest process {client['busiest_cores']:.2f} of a core"
        + ("; THE CLIENT IS AT ITS LIMIT, add --processes or cores" if client["at_its_limit"] else "")
    ]
    if service["other_cpu_s"] is not None:
        notes.append(f"everything else on the machine used {service['other_cpu_s']:.2f} processor seconds meanwhile")
    answers = service["answers"]
    sources = ", ".join(f"{source} {count:,}" for source, count in answers["sources"].items())
    notes.append(f"{answers['checked']:,} answers were decoded and checked" + (f": {sources}" if sources else ""))
    if plan["rate"] is not None and (delay := service["send_delay_ms"]["p99"]) is not None:
        notes.append(f"calls were sent {delay:.2f} ms after their time at p99; latency counts from their time")
    return notes


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
