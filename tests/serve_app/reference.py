"""The rules of ranking and the encoding of answers once more, slow and plain, to hold the fast ones against."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.ranking.query import RankedLists, ReasonKind
from spotify_buddies.serve_app.ranking.reasons import Reasons, sentence
from spotify_buddies.trainer.bundle import Bundle
from spotify_buddies.trainer.bundle.sources import names_of


def overlap(bundle: Bundle, a: int, b: int) -> float:
    """Estimated share of songs in common: bytes of two sketches are equal with probability j + (1 - j) / 256."""
    equal = float(np.mean(bundle.sketches[a] == bundle.sketches[b]))
    return (equal - 1 / 256) / (1 - 1 / 256)


def pick(
    bundle: Bundle, ordered: Iterable[int], user: int, limit: int, banned: set[int], per_owner: int, most_overlap: float
) -> list[int]:
    """Best first, whatever is allowed beside those that were taken before."""
    taken: list[int] = []
    for playlist in ordered:
        owner = int(bundle.owner[playlist])
        if playlist in banned or (user >= 0 and owner == user):
            continue
        if owner >= 0 and [int(bundle.owner[other]) for other in taken].count(owner) >= per_owner:
            continue
        if any(overlap(bundle, playlist, other) > most_overlap for other in taken):
            continue
        taken.append(int(playlist))
    return taken[:limit]


def ranked(bundle: Bundle, candidates: Iterable[int], factor: Any) -> list[int]:
    """Candidates, best first; of equal ones who came first."""
    found = [int(p) for p in candidates]
    scores = {p: float(np.float32(bundle.playlist_factors[p].astype(np.float32) @ factor)) for p in found}
    return sorted(found, key=lambda p: -scores[p])


def message(
    bundle: Bundle,
    version: str,
    lists: RankedLists,
    drawn: bytes,
    reasons: Reasons | None,
    only: Sequence[int] | None = None,
) -> pb.RecommendResponse:
    """The answer as protobuf's own classes build it."""
    answer = pb.RecommendResponse()
    for i in range(len(lists)) if only is None else only:
        item = answer.recommendations.add(
            user_id=lists.user_ids[i],
            recommendation_id=drawn[16 * i : 16 * i + 16].hex(),
            model_version=version,
            arm=pb.ARM_PRODUCTION,
            source=pb.Source.ValueType(lists.sources[i]),
            skipped=[pb.Skipped.ValueType(step) for step in lists.skipped[i]],
            unknown_songs=lists.unknown_songs[i],
        )
        for j in range(int(lists.counts[i])):
            row, score = int(lists.rows[i, j]), float(lists.scores[i, j])
            owner = int(bundle.owner[row])
            playlist = item.playlists.add(
                playlist_id=bundle.playlist_ids.table[row],
                title=bundle.playlist_titles[row],
                owner_id=bundle.user_ids.table[owner] if owner >= 0 else "",
                score=score,
            )
            if lists.candidate_sources is not None:
                for name in names_of(int(lists.candidate_sources[i, j])):
                    playlist.found_by.append(pb.CandidateSource.Value(f"CANDIDATE_SOURCE_{name.upper()}"))
            if reasons is not None:
                examples = [int(song) for song in reasons.examples[i, j] if song >= 0]
                kind, shared = ReasonKind(reasons.kinds[i, j]), int(reasons.shared[i, j])
                fill(bundle, playlist.reason, kind, shared, score, examples)
    return answer


def fill(
    bundle: Bundle, reason: pb.Reason, kind: ReasonKind, shared: int, score: float, examples: Sequence[int]
) -> None:
    """The fields of a reason."""
    popular = kind in (ReasonKind.POPULAR, ReasonKind.POPULAR_IN_GENRE)
    reason.kind = pb.ReasonKind.ValueType(kind)
    reason.text = sentence(kind, int(score) if popular else shared)
    if kind in (ReasonKind.OWNER, ReasonKind.SONGS):
        reason.shared_songs = shared
        for song in examples:
            reason.examples.add(title=bundle.song_titles[song], artist=bundle.song_artists[song])
    elif kind is ReasonKind.ARTISTS:
        reason.artist_songs = shared
        reason.artists.extend(name for song in examples if (name := bundle.song_artists[song]))
    elif kind is ReasonKind.FOLLOWERS:
        reason.common_followers = shared
