"""Counts of the lists shown to simulated users and of their likes, by version and arm."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from spotify_buddies.clients.python import Recommendation
from spotify_buddies.foundation.terminal.tables import table


@dataclass
class ArmTally:
    """One version in one arm. calls: lists answered. impressions: playlists in them. errors: feedback that failed."""

    calls: int = 0
    impressions: int = 0
    likes: int = 0
    empty: int = 0
    errors: int = 0
    users: set[str] = field(default_factory=set)
    sources: Counter[str] = field(default_factory=Counter)

    def to_json(self) -> dict[str, Any]:
        """Counts, and like_rate: likes per playlist shown, None where none was."""
        rate = round(self.likes / self.impressions, 6) if self.impressions else None
        return {
            "calls": self.calls, "listeners": len(self.users), "impressions": self.impressions,
            "likes": self.likes, "like_rate": rate, "empty": self.empty, "errors": self.errors,
            "sources": dict(self.sources),
        }  # fmt: skip


@dataclass
class VisitTally:
    """One window. visits: users who came. failed: calls without an answer, by gRPC status."""

    visits: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    arms: dict[tuple[str, str], ArmTally] = field(default_factory=dict)

    def of(self, answer: Recommendation) -> ArmTally:
        """The version and arm that answered."""
        return self.arms.setdefault((answer.model_version, answer.arm.value), ArmTally())

    def show(self, answer: Recommendation, liked: int) -> None:
        """Count an answer and what was liked of it."""
        arm = self.of(answer)
        arm.calls += 1
        arm.impressions += len(answer.playlists)
        arm.likes += liked
        arm.empty += not answer.playlists
        arm.users.add(answer.user_id)
        arm.sources[answer.source.value] += 1

    @property
    def errors(self) -> int:
        """Calls of both kinds that failed."""
        return self.failed.total() + sum(arm.errors for arm in self.arms.values())

    def to_json(self) -> dict[str, Any]:
        """By version, then arm."""
        arms = [
            {"version": version, "arm": arm, **tally.to_json()} for (version, arm), tally in sorted(self.arms.items())
        ]
        return {"visits": self.visits, "failed": dict(self.failed), "errors": self.errors, "arms": arms}

    def lines(self) -> list[str]:
        """For people."""
        rows = [
            (version, name, f"{arm.calls:,}", f"{len(arm.users):,}", f"{arm.impressions:,}", f"{arm.likes:,}",
             f"{arm.likes / arm.impressions:.4f}" if arm.impressions else "-", f"{arm.errors:,}")
            for (version, name), arm in sorted(self.arms.items())
        ]  # fmt: skip
        headers = ("version", "arm", "calls", "users", "shown", "likes", "like rate", "errors")
        lines = table(headers, rows, right=range(2, 8)).splitlines()
        lines += [f"{count:,} calls failed: {code}" for code, count in sorted(self.failed.items())]
        return lines
