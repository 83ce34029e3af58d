"""The record of a measurement: counted by the client processes, merged by the command."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from spotify_buddies.clients.load.mix import CallKind
from spotify_buddies.clients.load.worker.histogram import Histogram

# Codes of our own, beside gRPC's.
NOT_SENT = "NOT_SENT"
WRONG_ANSWER = "WRONG_ANSWER"


@dataclass(frozen=True)
class CallOutcome:
    """The end of one call. code: gRPC's name, or one of ours. reason: a constant, or nothing. users: users answered.

    message: for people.
    """

    code: str = "OK"
    reason: str = ""
    message: str = ""
    users: int = 0

    @property
    def ok(self) -> bool:
        """Whether it was answered as asked."""
        return self.code == "OK"


@dataclass
class CallTally:
    """Calls of one kind. latency: of answered calls, from when they were to be sent; service: from when they were sent.

    failed: the same as latency for calls that failed, so that neither hides in the other. users: users answered.
    """

    latency: Histogram = field(default_factory=Histogram)
    service: Histogram = field(default_factory=Histogram)
    failed: Histogram = field(default_factory=Histogram)
    users: int = 0

    def merge(self, other: CallTally) -> None:
        """Count what the other one counted."""
        self.latency.merge(other.latency)
        self.service.merge(other.service)
        self.failed.merge(other.failed)
        self.users += other.users

    def to_json(self) -> dict[str, Any]:
        """The form that from_json reads."""
        histograms = {name: getattr(self, name).to_json() for name in ("latency", "service", "failed")}
        return {**histograms, "users": self.users}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> CallTally:
        """Read what to_json wrote."""
        latency, service, failed = (Histogram.from_json(body[name]) for name in ("latency", "service", "failed"))
        return cls(latency, service, failed, int(body["users"]))


@dataclass
class Second:
    """Calls that were to be sent in one second."""

    latency: Histogram = field(default_factory=Histogram)
    failed: int = 0


@dataclass
class Record:
    """Everything counted in one measurement. delay: from when a call was to be sent to when it was.

    errors: counts by (kind, code, reason); messages: one example of each. sources: of the answers that were decoded.
    answered, answered_users: good answers that came within the measurement, whenever they were asked for, and the
    users in them; tallies hold the calls that were to be sent within it, whenever they were answered.
    span_s: how long was measured, summed over merged rounds; processes count once.
    """

    tallies: dict[CallKind, CallTally] = field(default_factory=dict)
    seconds: dict[int, Second] = field(default_factory=dict)
    delay: Histogram = field(default_factory=Histogram)
    errors: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    messages: dict[tuple[str, str, str], str] = field(default_factory=dict)
    sources: Counter[str] = field(default_factory=Counter)
    checked: int = 0
    answered: int = 0
    answered_users: int = 0
    span_s: float = 0.0

    def add(self, kind: CallKind, outcome: CallOutcome, second: int, latency_us: int, service_us: int) -> None:
        """Count one call. second: of the measurement, in which it was to be sent."""
        tally = self.tallies.setdefault(kind, CallTally())
        # By the second of the schedule: a stall shows where it was, not where its calls ended.
        of_second = self.seconds.setdefault(second, Second())
        self.delay.add(latency_us - service_us)
        if outcome.ok:
            tally.latency.add(latency_us)
            tally.service.add(service_us)
            tally.users += outcome.users
            of_second.latency.add(latency_us)
            return
        tally.failed.add(latency_us)
        of_second.failed += 1
        key = (kind.value, outcome.code, outcome.reason)
        self.errors[key] += 1
        self.messages.setdefault(key, outcome.message)

    def whole(self) -> CallTally:
        """All kinds together."""
        tally = CallTally()
        for one in self.tallies.values():
            tally.merge(one)
        return tally

    def beside(self, other: Record) -> None:
        """Merge another process's part of the same measurement."""
        # Processes measure at the same time, so the longest span is that of all.
        span_s = max(self.span_s, other.span_s)
        self._merge(other, 0)
        self.span_s = span_s

    @property
    def calls_per_s(self) -> float:
        """Good answers a second."""
        return self.answered / self.span_s if self.span_s else 0.0

    @property
    def users_per_s(self) -> float:
        """Users answered a second."""
        return self.answered_users / self.span_s if self.span_s else 0.0

    def after(self, other: Record) -> None:
        """Merge a later measurement."""
        # Its seconds follow ours, so that the series over time stays one.
        self._merge(other, max(self.seconds, default=-1) + 1)
        self.span_s += other.span_s

    def _merge(self, other: Record, offset: int) -> None:
        for kind, tally in other.tallies.items():
            self.tallies.setdefault(kind, CallTally()).merge(tally)
        for second, theirs in other.seconds.items():
            mine = self.seconds.setdefault(second + offset, Second())
            mine.latency.merge(theirs.latency)
            mine.failed += theirs.failed
        self.delay.merge(other.delay)
        self.errors += other.errors
        self.messages = {**other.messages, **self.messages}
        self.sources += other.sources
        self.checked += other.checked
        self.answered += other.answered
        self.answered_users += other.answered_users

    def to_json(self) -> dict[str, Any]:
        """The form that from_json reads."""
        return {
            "tallies": {kind.value: tally.to_json() for kind, tally in self.tallies.items()},
            "seconds": [[number, one.latency.to_json(), one.failed] for number, one in self.seconds.items()],
            "delay": self.delay.to_json(),
            "errors": [[*key, count, self.messages[key]] for key, count in self.errors.items()],
            "sources": dict(self.sources),
            "checked": self.checked,
            "answered": self.answered,
            "answered_users": self.answered_users,
            "span_s": self.span_s,
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Record:
        """Read what to_json wrote."""
        errors = {(kind, code, reason): (count, said) for kind, code, reason, count, said in body["errors"]}
        return cls(
            tallies={CallKind(name): CallTally.from_json(tally) for name, tally in body["tallies"].items()},
            seconds={
                int(number): Second(Histogram.from_json(latency), failed) for number, latency, failed in body["seconds"]
            },
            delay=Histogram.from_json(body["delay"]),
            errors=Counter({key: count for key, (count, _) in errors.items()}),
            messages={key: said for key, (_, said) in errors.items()},
            sources=Counter(body["sources"]),
            checked=int(body["checked"]),
            answered=int(body["answered"]),
            answered_users=int(body["answered_users"]),
            span_s=float(body["span_s"]),
        )
