"""The report: every signal counted and judged for one window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import psycopg

from spotify_buddies.serve_app.online.drift import read, reference
from spotify_buddies.serve_app.online.drift.asked import count_asked
from spotify_buddies.serve_app.online.drift.judge import Finding, judge
from spotify_buddies.serve_app.online.drift.read import Span
from spotify_buddies.serve_app.online.drift.serving import serving_version
from spotify_buddies.serve_app.online.drift.signals import OF_BUNDLE, Counted, Signal
from spotify_buddies.serve_app.settings.drift import DriftSettings
from spotify_buddies.trainer.bundle import Bundle

# Gives the bundle of a version, or None and why there is none.
FindBundle = Callable[[str], tuple[Bundle | None, str]]


@dataclass(frozen=True)
class DriftReport:
    """What was found in the window since <= at < until, UTC. version: that serves; None: none does, and none did."""

    since: datetime
    until: datetime
    version: str | None
    signals: tuple[Counted, ...]
    findings: tuple[Finding, ...]

    @property
    def alarms(self) -> tuple[Finding, ...]:
        """The findings that are alarms."""
        return tuple(finding for finding in self.findings if finding.alarm)

    def as_json(self) -> dict[str, Any]:
        """For scripts: the findings with their figures, without the counts."""
        return {
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "version": self.version,
            "alarm": bool(self.alarms),
            "findings": [asdict(finding) for finding in self.findings],
        }


async def make_report(
    connection: psycopg.AsyncConnection, until: datetime, window_days: int, settings: DriftSettings, find: FindBundle
) -> DriftReport:
    """Count and judge. until: with a time zone. A signal that lacks something says so. psycopg.Error."""
    span = Span(until, settings.history_days + window_days)
    version = await serving_version(connection, span)
    bundle, why = (None, "nothing serves") if version is None else find(version)
    signals = [*await _recent(connection, span)]
    if version is None or bundle is None:
        signals += _without_bundle(span, why)
    else:
        signals += await _of_version(connection, span, version, bundle)
        signals += count_asked(bundle, span.days, await read.read_asked(connection, span, settings.tastes_a_day))
    findings = [finding for counted in signals for finding in judge(counted, window_days, settings)]
    return DriftReport(until - timedelta(days=window_days), until, version, tuple(signals), tuple(findings))


async def _recent(connection: psycopg.AsyncConnection, span: Span) -> list[Counted]:
    """Signals that need no bundle."""
    lists = await read.read_lists(connection, span)
    reactions = await read.read_reactions(connection, span)
    warm = np.array([source in read.WARM for source in lists.sources], bool)
    cold = np.stack([lists.by_source[:, ~warm].sum(axis=1), lists.by_source[:, warm].sum(axis=1)], axis=1)
    return [
        Counted(Signal.COLD_USERS, "lists", ("cold", "warm"), cold),
        Counted(Signal.SOURCES, "lists", lists.sources, lists.by_source),
        Counted(Signal.SKIPPED_STEPS, "lists", ("with a step skipped", "complete"), lists.by_skipped),
        Counted(Signal.FEEDBACK_VOLUME, "reactions", ("liked", "other"), reactions),
        Counted(Signal.LIKE_RATE, "reactions", ("liked", "other"), reactions),
    ]


def _without_bundle(span: Span, why: str) -> list[Counted]:
    return [Counted(signal, "entries", (), np.zeros((span.days, 0)), unmeasured=why) for signal in OF_BUNDLE]


async def _of_version(connection: psycopg.AsyncConnection, span: Span, version: str, bundle: Bundle) -> list[Counted]:
    """Signals of what the version showed and whom it knows, whose bins are the bundle's."""
    # By far the longest query, and of no use to a bundle without genres.
    shown = [] if bundle.playlist_genre is None else await read.read_playlists(connection, span, version)
    libraries = reference.count_libraries(bundle, await read.read_users(connection, span))
    edges, expected = reference.score_edges(bundle)
    if edges.size:
        found = await read.read_scores(connection, span, version, edges.tolist())
        scores = Counted(Signal.SCORES, "scores", reference.ranges(edges, ""), found, expected)
    else:
        empty = np.zeros((span.days, 0))
        scores = Counted(Signal.SCORES, "scores", (), empty, unmeasured="the bundle has no scores of candidates")
    return [libraries, reference.count_genres(bundle, span.days, shown), scores]
