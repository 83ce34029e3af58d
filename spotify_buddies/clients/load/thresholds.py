"""The thresholds that a run did not keep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from spotify_buddies.clients.load.options import Thresholds


def broken(body: Mapping[str, Any], thresholds: Thresholds) -> list[str]:
    """A sentence for each threshold that the service did not keep in a part of the run. body: as --json prints it."""
    parts = [("", body), *((f"{case['name']}: ", case) for case in body.get("cases", []))]
    parts.append(("soak: ", body.get("soak", {})))
    problems = [
        f"{name}{problem}"
        for name, part in parts
        if "service" in part
        for problem in _of_service(part["service"], thresholds)
    ]
    if thresholds.require_targets:
        rows = [row for row in body.get("targets", []) if row["met"] is not True]
        problems += [f"{row['work']}: {row['figure']} {row['reached']}, target {row['target']}" for row in rows]
    return problems


def _of_service(service: Mapping[str, Any], thresholds: Thresholds) -> Iterator[str]:
    most, least, most_p99 = thresholds.max_error_rate, thresholds.min_calls_per_s, thresholds.max_p99_ms
    p99 = service["latency_ms"]["p99"]
    if most is not None and service["error_rate"] > most:
        yield f"{service['error_rate']:.2%} of the calls failed, at most {most:.2%}"
    # Nothing answered is no p99, and no reason to pass.
    if most_p99 is not None and (p99 is None or p99 > most_p99):
        yield f"p99 {'unknown' if p99 is None else f'{p99:.2f} ms'}, at most {most_p99:g} ms"
    if least is not None and service["calls_per_s"] < least:
        yield f"{service['calls_per_s']:,.1f} calls/s, at least {least:g}"
