"""A list computed again, beside the one that was shown; and why the two may differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import zip_longest
from typing import NamedTuple

from google.protobuf.message import DecodeError

from spotify_buddies.serve_app.api import asked, limits
from spotify_buddies.serve_app.api.codec import decode_query
from spotify_buddies.serve_app.errors import InvalidRequest
from spotify_buddies.serve_app.offline.asked import OfflineRanker
from spotify_buddies.serve_app.online.replay.stored import Past, ReplayError, Stored
from spotify_buddies.serve_app.ranking.kernels import fold
from spotify_buddies.serve_app.ranking.query import ExcludeSeen, Query, RankedLists, Skipped, Source
from spotify_buddies.serve_app.ranking.rules import Exploration
from spotify_buddies.trainer.bundle import Bundle

# Of scores that count as equal: of a score, or of 1 where it is less.
TOLERANCE = 1e-6
_SEARCH, _SEEN = (step.name.lower() for step in (Skipped.NEIGHBOUR_SEARCH, Skipped.SEEN))


class Entry(NamedTuple):
    """A playlist of a list, its score, and the probability with which it stood there."""

    playlist_id: str
    score: float
    propensity: float


@dataclass(frozen=True)
class Computed:
    """A list as the bundle gives it now, best first. source: in lower case. candidates: as Stored.candidates.

    picked_by: as Stored.picked_by.
    """

    entries: list[Entry]
    source: str
    candidates: bytes | None
    picked_by: list[str] | None = None


@dataclass(frozen=True)
class Replay:
    """A list that was shown and the same computed again. largest: difference of scores at a rank that both have.

    differing: ranks, from 1, with another playlist, score or picking version. causes: why the two may differ, in words;
    empty where they are the same or no cause is known.
    """

    shown: list[Entry]
    computed: Computed
    differing: list[int]
    largest: float
    causes: list[str]

    @property
    def verdict(self) -> str:
        """The lists are the `same`, `explained`: they differ and may do so, or it `differs` for no known cause."""
        return "same" if not self.differing else "explained" if self.causes else "differs"


def query_of(stored: Stored) -> Query:
    """What was asked for the listener. ReplayError: it is not stored, or this release does not take it."""
    if stored.scores is None:
        raise ReplayError(
            f"list {stored.recommendation_id} of {stored.at:%F %T} UTC was written by a release that stored neither "
            "scores nor what was asked; it cannot be computed again"
        )
    if stored.asked is None:
        raise ReplayError(
            f"list {stored.recommendation_id}: what was asked was too long to be stored (at most "
            f"{limits.ASKED_BYTES:,} bytes, and {limits.ASKED_TASTE_BYTES:,} for a taste); it cannot be computed again"
        )
    try:
        return decode_query(asked.request_of(stored.asked, stored.user_id))
    except (DecodeError, InvalidRequest) as error:
        raise ReplayError(
            f"list {stored.recommendation_id}: what was asked is refused by this release: {error}"
        ) from None


def seen_of(stored: Stored, query: Query) -> ExcludeSeen | None:
    """What the listener had seen that was to be left out, and was."""
    return None if _SEEN in stored.skipped else query.exclude_seen


def exploration_of(stored: Stored) -> Exploration | None:
    """How the list's places were drawn; None: they were not. ReplayError: another release says it in another way."""
    try:
        drawn = stored.asked is not None and stored.propensities is not None
        return asked.exploration_of(stored.asked or b"") if drawn else None
    except (DecodeError, ValueError) as error:
        raise ReplayError(f"list {stored.recommendation_id}: how its places were drawn: {error}") from None


def compute(bundle: Bundle, stored: Stored, query: Query, past: Past, counted_listeners: int) -> Computed:
    """The list of a query with a past. counted_listeners: as in versions.answers.Budgets. BundleError.

    A search of neighbours that was skipped then is skipped now. Places that were drawn at random are drawn again, with
    the same numbers: those that the list's id gives.
    """
    lists = ranker_of(bundle, stored, counted_listeners).rank(query, [*past.blocked, *past.seen])
    return computed(bundle, lists, query)


def ranker_of(bundle: Bundle, stored: Stored, counted_listeners: int) -> OfflineRanker:
    """What computes a list again with a bundle."""
    drawn = bytes.fromhex(stored.recommendation_id)
    return OfflineRanker(
        bundle, counted_listeners=counted_listeners, searching=_SEARCH not in stored.skipped,
        exploration=exploration_of(stored), draw=lambda _: drawn,
    )  # fmt: skip


def computed(bundle: Bundle, lists: RankedLists, query: Query) -> Computed:
    """The first of some lists of a bundle."""
    count = int(lists.counts[0])
    ids = [bundle.playlist_ids.table[row] for row in lists.rows[0, :count].tolist()]
    propensities = [1.0] * count if lists.propensities is None else lists.propensities[0, :count].tolist()
    entries = [Entry(*place) for place in zip(ids, lists.scores[0, :count].tolist(), propensities, strict=True)]
    return Computed(entries, lists.sources[0].name.lower(), _candidates(bundle, lists, query))


def compare(stored: Stored, query: Query, past: Past, computed: Computed, kept_days: float, now: datetime) -> Replay:
    """The list that was shown beside the computed one. kept_days: for how long impressions are."""
    propensities = stored.propensities or [1.0] * len(stored.playlist_ids)
    shown = [Entry(*place) for place in zip(stored.playlist_ids, stored.scores or (), propensities, strict=True)]
    differing, largest = [], 0.0
    for rank, (old, new) in enumerate(zip_longest(shown, computed.entries), 1):
        if old is None or new is None or old.playlist_id != new.playlist_id:
            differing.append(rank)
            continue
        difference = abs(old.score - new.score)
        largest = max(largest, difference)
        teams = [None if names is None else names[rank - 1] for names in (stored.picked_by, computed.picked_by)]
        drawn = abs(old.propensity - new.propensity)
        if max(difference / max(1.0, abs(old.score)), drawn) > TOLERANCE or teams[0] != teams[1]:
            differing.append(rank)
    causes = _causes(stored, query, past, computed, now - timedelta(days=kept_days)) if differing else []
    return Replay(shown, computed, differing, largest, causes)


def _causes(stored: Stored, query: Query, past: Past, computed: Computed, kept_since: datetime) -> list[str]:
    known = bool(query.user_ids)
    said: Sequence[tuple[bool, str]] = (
        (
            stored.source == Source.DAILY.name.lower(),
            "the list of the day was sent, which was computed earlier and is not in the bundle",
        ),
        (
            any(propensity < 1 for propensity in stored.propensities or ()) and exploration_of(stored) is None,
            "some places were drawn at random (their propensities are below 1), and it is not stored how",
        ),
        (
            stored.candidates != computed.candidates and known and stored.source == computed.source,
            "the candidates differ: another bundle than this one answered under the version's name",
        ),
        (
            stored.candidates != computed.candidates and not known,
            "the candidates differ: the search of neighbours found others",
        ),
        (
            past.said_near,
            "the listener gave feedback within seconds of the answer; the replica may have known it or not",
        ),
        (
            past.shown_near,
            "the listener was shown another list within seconds of the answer, or of the first that counts as seen",
        ),
        (
            past.since is not None and past.since < kept_since,
            "what the listener had seen is not all stored any more (serve.impressions_days)",
        ),
    )
    return [cause for holds, cause in said if holds]


def _candidates(bundle: Bundle, lists: RankedLists, query: Query) -> bytes | None:
    """As the store writes them, see store/impressions/copy_kernels.py."""
    if lists.candidates is not None and lists.candidates[0]:
        folded = int(lists.candidates[0])
    elif query.user_ids and lists.song_rows[0] >= 0:
        folded = int(fold(bundle.candidates.row(int(lists.song_rows[0]))))
    else:
        return None
    return folded.to_bytes(8, "big")
