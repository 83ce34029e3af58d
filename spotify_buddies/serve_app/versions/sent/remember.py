"""Lists that are sent, as they are counted and remembered."""

from __future__ import annotations

from spotify_buddies.serve_app.ranking.gathering import count_sources
from spotify_buddies.serve_app.ranking.history import History, Shown
from spotify_buddies.serve_app.ranking.query import RankedLists, Source
from spotify_buddies.serve_app.telemetry.metrics import Telemetry


def count_sent(telemetry: Telemetry, lists: RankedLists) -> list[int]:
    """Count lists by source, and their places by what found them. Returns how many came from each source, by number."""
    sources = lists.count_sources()
    for number, count in enumerate(sources):
        if count:
            telemetry.count_lists(Source(number).name, count)
    if lists.candidate_sources is not None:
        for name, count in count_sources(lists.candidate_sources).items():
            telemetry.count_candidates(name, count)
    return sources


def record(history: History, telemetry: Telemetry, shown: Shown) -> None:
    """Remember lists; those whose request was too long to be remembered with them are counted."""
    if shown.unasked:
        telemetry.count_unasked(shown.unasked)
    history.record(shown)
