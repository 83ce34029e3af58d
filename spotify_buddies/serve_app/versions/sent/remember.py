"""Lists that are sent, as they are counted and remembered."""

from __future__ import annotations

from datetime import datetime

from spotify_buddies.serve_app.ranking.encoding import ID_BYTES
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.gathering import count_sources
from spotify_buddies.serve_app.ranking.history import History, Shown
from spotify_buddies.serve_app.ranking.query import Arm, Query, RankedLists, Source
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


def shown_of(engine: Engine, lists: RankedLists, drawn: bytes, arm: Arm, query: Query, now: datetime) -> Shown:
    """Lists of an engine as they were sent. drawn: random bytes of their ids. now: the time of a query without one."""
    digits, bundle = drawn.hex(), engine.bundle
    # Of users the rows of their songs are those of their candidates too; of tastes they are not.
    known = lists.songs is bundle.user_songs
    ids = tuple(digits[k : k + ID_BYTES] for k in range(0, len(digits), ID_BYTES))
    return Shown(
        lists.user_ids, ids, lists.sources, lists.rows, lists.counts, engine.playlist_ids,
        model_version=engine.version, arm=arm.label, at=query.at or now,
        scores=lists.scores, skipped=lists.skipped, candidates=lists.candidates,
        held=bundle.candidates if known else None, held_rows=lists.song_rows if known else None,
        asked=query.asked, tastes=None if known else tuple([taste.asked for taste in query.tastes]),
    )  # fmt: skip
