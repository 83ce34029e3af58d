"""The table of peers, for people and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from spotify_buddies.clients.load.peers.catalogue import PEERS, PeerName
from spotify_buddies.clients.load.peers.run import EDGE_TITLE
from spotify_buddies.clients.load.rounds import CLIENT_LIMIT
from spotify_buddies.foundation.terminal.tables import table

HEADERS = ("work", "server", "calls/s", "p50 ms", "p99 ms", "failed", "processor ms a call",
           "service / it: calls/s", "processor")  # fmt: skip
_TEXTS = 2


def lines(body: Mapping[str, Any]) -> Iterator[str]:
    """The report of a run, from what --json prints."""
    yield from table(HEADERS, rows(body), right=range(_TEXTS, len(HEADERS))).splitlines()
    yield ""
    yield from notes(body)


def markdown(body: Mapping[str, Any]) -> Iterator[str]:
    """The same for a page."""
    rule = ["---" if column < _TEXTS else "--:" for column in range(len(HEADERS))]
    for row in (HEADERS, rule, *rows(body)):
        yield "| " + " | ".join(row) + " |"
    yield ""
    yield from notes(body)


def rows(body: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """A row for each work and server; a server that was not measured has one that says so."""
    for case in body["cases"]:
        for row in case["rows"]:
            over = row["service_over"] or {}
            yield (
                case["name"], row["title"], f"{row['calls_per_s']:,.0f}", _number(row["p50_ms"], 2),
                _number(row["p99_ms"], 2), f"{row['failed']:,}", _number(row["cpu_ms_per_call"], 3),
                _number(over.get("calls_per_s"), 2), _number(over.get("cpu_per_call"), 2),
            )  # fmt: skip
    for name in body["not_measured"]:
        yield ("not measured", title(name), *[""] * (len(HEADERS) - _TEXTS))


def notes(body: Mapping[str, Any]) -> Iterator[str]:
    """What the figures cannot say: who was not measured and why, failures, and where the client was the limit."""
    for name, reason in body["not_measured"].items():
        yield f"{title(name)} was not measured: {reason}"
    for case in body["cases"]:
        for row in case["rows"]:
            for error in row["errors"]:
                yield f"{row['title']}, {case['name']}: failed with {error}"
            if row["client_cores"] > CLIENT_LIMIT:
                yield f"{row['title']}, {case['name']}: THE CLIENT IS AT ITS LIMIT, add --processes or cores"
    load = body["environment"]["load_average"][0]
    yield f"load average at the start {load:g} on {body['environment']['usable_cores']} cores; medians of the rounds"


def title(name: str) -> str:
    """The name for people of a peer, or of the edge."""
    return PEERS[PeerName(name)].title if name in set(PeerName) else EDGE_TITLE


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"
