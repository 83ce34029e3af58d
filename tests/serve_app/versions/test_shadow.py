"""A shadow: it compares, and delays no answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.ranking.query import Query
from spotify_buddies.serve_app.versions import shadow as module
from spotify_buddies.serve_app.versions.answers import Answers
from spotify_buddies.serve_app.versions.counts import SHADOW, ArmCounter
from spotify_buddies.serve_app.versions.rotation import ArmAnswers, Assignment, Rotation
from spotify_buddies.serve_app.versions.shadow import Shadow
from tests.serve_app.bundles import PLAYLISTS
from tests.serve_app.versions.conftest import USER_IDS
from tests.waiting import wait_until

Make = Callable[..., Answers]


def beside(production: Answers, shadow: Answers) -> tuple[Rotation, Shadow]:
    made = Shadow(production, shadow, ArmCounter(SHADOW, shadow.version, PLAYLISTS))
    return Rotation(Assignment(ArmAnswers(production), shadow=made)), made


def finish(made: Shadow, calls: int) -> None:
    """Wait until so many calls are compared, lost or failed."""

    def done() -> bool:
        row = made.counts.row()
        return row.compared + row.lost >= calls or bool(row.errors)

    wait_until(done, "the shadow has finished")


def test_the_same_version_overlaps_wholly_and_does_not_drift(answers: Make) -> None:
    rotation, made = beside(answers("1"), answers("1"))
    asyncio.run(rotation.route(Query(user_ids=tuple(USER_IDS))))
    finish(made, 1)
    row = made.counts.row()
    assert (row.arm, row.version, row.compared, row.listeners, row.lost) == ("shadow", "1", 1, 59, 0), (
        "one has no candidates"
    )
    assert (row.overlap, row.drift) == (59.0, 0.0)
    made.close()
    assert made.join(30)


def test_overlap_and_drift_are_those_worked_out_from_both_answers(answers: Make) -> None:
    rotation, made = beside(answers("1"), answers("2"))
    served, other = (
        pb.RecommendResponse.FromString(asyncio.run(r.route(Query(user_ids=tuple(USER_IDS), limit=20))))
        for r in (rotation, Rotation(Assignment(ArmAnswers(answers("2")))))
    )
    finish(made, 1)
    overlap = drift = 0.0
    for a, b in zip(served.recommendations, other.recommendations, strict=True):
        if a.source != pb.SOURCE_LIVE:
            continue
        mine, theirs = ({p.playlist_id: p.score for p in r.playlists} for r in (a, b))
        both = mine.keys() & theirs.keys()
        overlap += len(both) / max(len(mine), len(theirs))
        if both:
            drift += float(np.mean([abs(mine[p] - theirs[p]) for p in both]))
    row = made.counts.row()
    assert 0 < overlap < 59
    assert row.overlap == pytest.approx(overlap)
    assert row.drift == pytest.approx(drift, rel=1e-5)
    made.close()


def test_a_shadow_that_hangs_holds_up_no_answer_and_what_does_not_fit_is_counted(
    answers: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAITING", 3)
    go, begun = threading.Event(), threading.Event()
    slow = answers("2")
    rank = slow.engine.rank_known

    def waits(*given: Any) -> Any:
        begun.set()
        assert go.wait(60)
        return rank(*given)

    monkeypatch.setattr(slow.engine, "rank_known", waits)
    rotation, made = beside(answers("1"), slow)
    asyncio.run(rotation.route(Query(user_ids=("user-1",))))
    assert begun.wait(60)
    for _ in range(8):
        call = rotation.route(Query(user_ids=("user-1",)))
        with pytest.raises(StopIteration):
            call.send(None)
    assert made.counts.row().lost == 5
    go.set()
    finish(made, 9)
    assert made.counts.row().compared == 4
    made.close()
    assert made.join(30)


def test_of_a_large_call_the_first_users_are_compared(answers: Make) -> None:
    rotation, made = beside(answers("1"), answers("2"))
    asyncio.run(rotation.route(Query(user_ids=tuple(USER_IDS[:59] * 20))))
    finish(made, 1)
    assert made.counts.row().listeners == module.USERS
    made.close()


def test_a_shadow_that_fails_is_counted_and_goes_on(answers: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = answers("2")
    rank, failing = broken.engine.rank_known, [True]

    def sometimes(*given: Any) -> Any:
        if failing[0]:
            raise IndexError("made up")
        return rank(*given)

    monkeypatch.setattr(broken.engine, "rank_known", sometimes)
    rotation, made = beside(answers("1"), broken)
    asyncio.run(rotation.route(Query(user_ids=("user-1", "user-2"))))
    finish(made, 1)
    assert (made.counts.row().errors, made.counts.row().compared) == (2, 0)
    failing[0] = False
    asyncio.run(rotation.route(Query(user_ids=("user-1",))))
    wait_until(lambda: made.counts.row().compared == 1, "the next one is compared")
    made.close()


def test_a_closed_shadow_takes_nothing_and_its_thread_ends(answers: Make) -> None:
    rotation, made = beside(answers("1"), answers("2"))
    made.close()
    assert made.join(30)
    asyncio.run(rotation.route(Query(user_ids=("user-1",))))
    assert made.counts.row().compared == made.counts.row().lost == 0
