"""Lists of both versions in rotation for the same listeners: ranked, drafted, encoded and remembered.

Each version ranks and explains with its own bundle. The lists bear production's version, and every playlist the version
that picked it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.ranking.encoding import draw_ids
from spotify_buddies.serve_app.ranking.history import Past, Shown
from spotify_buddies.serve_app.ranking.query import Arm, Query, RankedLists, Skipped
from spotify_buddies.serve_app.ranking.rules import Rules
from spotify_buddies.serve_app.versions.answers import BATCH_USERS, AnswerCounter, Answers
from spotify_buddies.serve_app.versions.batch_ranking import run_for
from spotify_buddies.serve_app.versions.interleaving.draft import CANARY, PRODUCTION, Drafted, coins_of, draft

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Ranking:
    """What production ranks for a batch: lists of user_ids, then of tastes."""

    query: Query
    past: Past
    lists: Sequence[RankedLists]


@dataclass(frozen=True)
class Part:
    """Drafted lists of some listeners: user_ids or tastes of `query`. mine, theirs: as production and canary would send
    them. drawn: the random bytes of their ids. data: the fields of a RecommendResponse.
    """

    query: Query
    mine: RankedLists
    theirs: RankedLists
    drafted: Drafted
    drawn: bytes
    data: bytes


@dataclass(frozen=True)
class Interleaved:
    """Drafted lists in the order asked. seconds: how long the canary's ranking took."""

    production: Answers
    canary: Answers
    parts: Sequence[Part]
    seconds: float

    @property
    def data(self) -> bytes:
        """The fields of a RecommendResponse."""
        return b"".join(part.data for part in self.parts)

    def note(self, production: AnswerCounter | None, canary: AnswerCounter | None) -> None:
        """Count and remember what is sent: for each arm the lists that it would have sent alone."""
        for part in self.parts:
            self.production.count(part.mine, production)
            if canary is not None:
                canary.add(part.theirs, part.theirs.count_sources())
            shown = self.production.show(part.mine, part.drawn, Arm.INTERLEAVED, part.query)
            self.production.remember(_drafted(shown, part, self.production, self.canary))


async def rank_production(production: Answers, query: Query, excluded: Array) -> list[Ranking]:
    """What production ranks for a query without refused users, batch by batch. excluded: rows of production."""
    made = []
    for first in range(0, len(query), BATCH_USERS):
        batch = query.part(first, BATCH_USERS)
        past = await production.read_past(batch)
        lists, _ = await production.rank(batch, excluded, past)
        made.append(Ranking(batch, past, lists))
    return made


async def interleave(production: Answers, canary: Answers, ranked: Sequence[Ranking], excluded: Array) -> Interleaved:
    """Rank the same with the canary, and draft. ranked: from rank_production. excluded: rows of the canary."""
    parts, seconds = [], 0.0
    for ranking in ranked:
        started = time.perf_counter()
        theirs, _ = await canary.rank(ranking.query, excluded, ranking.past)
        seconds += time.perf_counter() - started
        parts += await run_for(len(ranking.query))(_draft, production, canary, ranking, theirs)
    return Interleaved(production, canary, parts, seconds)


def rules_of(query: Query) -> Rules:
    """The rules that compare the playlists of a list."""
    return Rules(
        max_per_owner=query.max_per_owner,
        max_song_overlap=query.max_song_overlap,
        max_song_containment=query.max_song_containment,
    )


def _draft(production: Answers, canary: Answers, ranking: Ranking, others: Sequence[RankedLists]) -> list[Part]:
    """Any thread may do it."""
    query, rules, parts = ranking.query, rules_of(ranking.query), []
    for mine, theirs in zip(ranking.lists, others, strict=True):
        drawn = draw_ids(len(mine))
        drafted = draft(production.engine, canary.engine, mine, theirs, rules, coins_of(drawn))
        labelled = replace(mine, skipped=_skipped(mine, theirs, ranking.past.skipped))
        data = _encode(production, canary, labelled, theirs, drafted, drawn, explained=query.explain)
        parts.append(Part(query, labelled, theirs, drafted, drawn, data))
    return parts


def _skipped(mine: RankedLists, theirs: RankedLists, both: tuple[Skipped, ...]) -> tuple[tuple[Skipped, ...], ...]:
    """The steps that either version left out, for each listener."""
    pairs = zip(mine.skipped, theirs.skipped, strict=True)
    return tuple(tuple(dict.fromkeys((*one, *other, *both))) for one, other in pairs)


def _encode(
    production: Answers, canary: Answers, mine: RankedLists, theirs: RankedLists, drafted: Drafted, drawn: bytes, *,
    explained: bool,
) -> bytes:  # fmt: skip
    """Each version's picks as it encodes them, put into one order."""
    sides = (production, drafted.picks(mine, PRODUCTION)), (canary, drafted.picks(theirs, CANARY))
    answers = [
        pb.RecommendResponse.FromString(side.encode(lists, drawn, Arm.INTERLEAVED, explained=explained))
        for side, lists in sides
    ]
    for i, count in enumerate(drafted.counts.tolist()):
        first, second = (answer.recommendations[i] for answer in answers)
        left = [iter([*first.playlists]), iter([*second.playlists])]
        playlists = []
        for team in drafted.teams[i, :count].tolist():
            playlist = next(left[team])
            playlist.picked_by = sides[team][0].version
            playlists.append(playlist)
        first.ClearField("playlists")
        first.playlists.extend(playlists)
    data: bytes = answers[0].SerializeToString()
    return data


def _drafted(shown: Shown, part: Part, production: Answers, canary: Answers) -> Shown:
    """What is remembered of drafted lists, from what would be of production's."""
    drafted, sides = part.drafted, [(production, part.mine), (canary, part.theirs)]
    ids: list[str] = []
    scores: Array = np.zeros(drafted.teams.shape, np.float32)
    teams: list[tuple[str, ...]] = []
    for i, count in enumerate(drafted.counts.tolist()):
        picks = list(zip(drafted.teams[i, :count].tolist(), drafted.places[i, :count].tolist(), strict=True))
        for k, (team, place) in enumerate(picks):
            side, lists = sides[team]
            ids.append(side.engine.playlist_ids[int(lists.rows[i, place])])
            scores[i, k] = lists.scores[i, place]
        teams.append(tuple([sides[team][0].version for team, _ in picks]))
    filled = np.arange(scores.shape[1]) < drafted.counts[:, None]
    rows = np.full(scores.shape, -1, np.int32)
    rows[filled] = np.arange(len(ids))
    return replace(
        shown, rows=rows, counts=drafted.counts, playlist_ids=tuple(ids), scores=scores, picked_by=tuple(teams)
    )
