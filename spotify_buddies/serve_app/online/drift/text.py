"""The report for people."""

from __future__ import annotations

from collections.abc import Iterator

from spotify_buddies.foundation.terminal.tables import table
from spotify_buddies.serve_app.online.drift.judge import Finding
from spotify_buddies.serve_app.online.drift.report import DriftReport

HEADERS = ("signal", "against", "value", "limit", "verdict", "entries")


def lines(report: DriftReport) -> Iterator[str]:
    """The verdict, the table, and a sentence for each alarm and for what was not measured or not judged."""
    yield headline(report)
    yield table(HEADERS, map(row, report.findings), right=(2, 3, 5))
    for finding in report.findings:
        if finding.alarm or finding.threshold is None:
            yield f"{finding.signal}, {finding.against}: {finding.why}"


def headline(report: DriftReport) -> str:
    """The window, the version and the verdict in a line."""
    version = "no version" if report.version is None else f"version {report.version}"
    judged = sum(finding.threshold is not None for finding in report.findings)
    verdict = f"{len(report.alarms)} of {judged} comparisons raise an alarm" if judged else "nothing can be judged yet"
    return f"{report.since:%Y-%m-%d %H:%M} to {report.until:%Y-%m-%d %H:%M} UTC, {version}: {verdict}"


def row(finding: Finding) -> tuple[str, ...]:
    """The cells of a finding."""
    if finding.value is None:
        return finding.signal, finding.against, "", "", verdict(finding), f"{finding.entries:,}"
    limit = "" if finding.threshold is None else f"{finding.threshold:.4f}"
    return finding.signal, finding.against, f"{finding.value:.4f}", limit, verdict(finding), f"{finding.entries:,}"


def verdict(finding: Finding) -> str:
    """ALARM, quiet, or why there is no verdict, in two words."""
    if finding.alarm:
        return "ALARM"
    if finding.threshold is not None:
        return "quiet"
    return "not measured" if finding.why.startswith("not measured") else "not judged"
