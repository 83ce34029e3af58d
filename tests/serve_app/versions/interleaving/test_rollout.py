"""From drafted lists on a real Postgres to a verdict: what is stored, whose like it is, and what the gates do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.generations import ledger
from spotify_buddies.serve_app.generations.state import Generation, GenerationState, Wanted
from spotify_buddies.serve_app.ranking.query import Query
from spotify_buddies.serve_app.rollout import changes
from spotify_buddies.serve_app.rollout.apply_verdict import apply_verdict
from spotify_buddies.serve_app.rollout.gates.judge import watching
from spotify_buddies.serve_app.rollout.gates.preference import Credits
from spotify_buddies.serve_app.rollout.gates.read_preference import read_credits
from spotify_buddies.serve_app.settings.gates import GateSettings
from spotify_buddies.serve_app.store.actions import Feedback
from spotify_buddies.serve_app.store.database.late_attribution import attribute_late
from spotify_buddies.serve_app.store.database.migrate import migrate
from spotify_buddies.serve_app.store.store import Store, StoreSettings
from spotify_buddies.serve_app.versions.answers import Answers
from spotify_buddies.serve_app.versions.counts import EDGES_MS
from spotify_buddies.serve_app.versions.rotation import Rotation
from tests.serve_app.versions.conftest import USER_IDS
from tests.serve_app.versions.interleaving.test_both import rotation
from tests.waiting import WITHIN_S, until

Make = Callable[..., Answers]
Connection = psycopg.AsyncConnection
PATIENT = StoreSettings(WITHIN_S, seen_s=WITHIN_S, attribution_s=WITHIN_S, load_s=WITHIN_S, flush_s=WITHIN_S)
SETTINGS = GateSettings(min_step_s=0, min_answers=1, min_error_calls=1, min_reacting=20, split_gate=False)


def ask(url: str, query: str, *values: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(query.encode(), values or None)
        return cursor.fetchall() if cursor.description else []


def empty(url: str) -> None:
    ask(url, "DROP SCHEMA public CASCADE")
    ask(url, "CREATE SCHEMA public")


async def on(url: str, work: Callable[[Connection], Awaitable[Any]]) -> Any:
    async with await Connection.connect(url, autocommit=True) as connection:
        await migrate(connection)
        return await work(connection)


async def listed(made: Rotation, users: tuple[str, ...], limit: int = 6) -> list[pb.Recommendation]:
    data = await made.route(Query(user_ids=users, limit=limit))
    return list(pb.RecommendResponse.FromString(data).recommendations)


def liking(answer: pb.Recommendation, playlists: list[str], **said: Any) -> Feedback:
    ignored = tuple(p.playlist_id for p in answer.playlists if p.playlist_id not in playlists)
    key = f"like-{answer.recommendation_id}"
    return Feedback(answer.recommendation_id, answer.user_id, tuple(playlists), ignored, (), key, **said)


async def start(connection: Connection) -> Generation:
    wanted = changes.start(Wanted("1"), "2", 100, paused=False, salt=lambda: "salt", interleave=True)
    made = await ledger.propose(connection, "m", wanted, after=0, who="ann", action="start", why="")
    await ledger.decide(connection, made.number, GenerationState.ACTIVE)
    active = await ledger.read_newest(connection)
    assert active is not None
    assert active.wanted == wanted
    return active


def test_each_place_is_stored_with_who_picked_it(postgres_url: str, answers: Make) -> None:
    empty(postgres_url)

    async def work() -> list[pb.Recommendation]:
        async with Store(postgres_url, PATIENT) as store:
            made = rotation(answers("1", history=store), answers("2", history=store), 0.5)
            return await listed(made, tuple(USER_IDS))

    for answer in asyncio.run(work()):
        stored = ask(
            postgres_url,
            "SELECT playlist_id, picked_by, score::float8, propensity FROM online_impressions"
            " WHERE user_id = %s AND recommendation_id = %s ORDER BY rank",
            answer.user_id, answer.recommendation_id,
        )  # fmt: skip
        drafted = answer.arm == pb.ARM_INTERLEAVED
        assert stored == [(p.playlist_id, p.picked_by or "1", p.score, None if drafted else 1.0)
                          for p in answer.playlists]  # fmt: skip
    arms = ask(postgres_url, "SELECT arm, count(picked_by), count(*) FROM impressions GROUP BY arm ORDER BY arm")
    assert [(arm, drafted == lists) for arm, drafted, lists in arms] == [("interleaved", True), ("production", False)]


def test_a_like_is_the_versions_that_picked_the_playlist(postgres_url: str, answers: Make) -> None:
    """Whatever the caller says: nothing, what the answer said, or production as a client of an earlier release."""
    empty(postgres_url)

    async def work() -> dict[tuple[str, str], str]:
        picked: dict[tuple[str, str], str] = {}
        async with Store(postgres_url, PATIENT) as store:
            made = rotation(answers("1", history=store), answers("2", history=store), 1.0)
            said = ({}, {"model_version": "1", "arm": "interleaved"}, {"model_version": "1"})
            for place, answer in enumerate(await listed(made, tuple(USER_IDS))):
                await store.store(liking(answer, [answer.playlists[0].playlist_id], **said[place % 3]))
                picked |= {(answer.user_id, p.playlist_id): p.picked_by for p in answer.playlists}
        return picked

    picked = asyncio.run(work())
    rows = ask(postgres_url, "SELECT user_id, playlist_id, picked_by, model_version, arm FROM online_reactions")
    assert {(user, playlist): whose for user, playlist, whose, _, _ in rows} == picked
    assert {row[3:] for row in rows} == {("1", "interleaved")}
    assert set(picked.values()) == {"1", "2"}


def test_a_like_that_came_before_its_list_was_written_is_credited_later(postgres_url: str, answers: Make) -> None:
    empty(postgres_url)

    async def work() -> tuple[Credits, Credits, str]:
        async with Store(postgres_url, PATIENT) as one, Store(postgres_url, PATIENT) as other:
            made = rotation(answers("1", history=one), answers("2", history=one), 1.0)
            (answer,) = await listed(made, ("user-1",))
            await until(lambda: one.impressions_waiting == 0, "what the store does by itself")
            moved = replace(liking(answer, [answer.playlists[0].playlist_id]), recommendation_id="0" * 32)
            await other.store(replace(moved, model_version="1", arm="interleaved"))

            async def look(connection: Connection) -> tuple[Credits, Credits]:
                active, since = await start(connection), datetime.now(UTC) - timedelta(hours=1)
                before = await read_credits(connection, active, since)
                await connection.execute(b"UPDATE impressions SET recommendation_id = %s", ("0" * 32,))
                await attribute_late(connection, timedelta(hours=1))
                return before, await read_credits(connection, active, since)

            return *(await on(postgres_url, look)), answer.playlists[0].picked_by

    before, after, picked = asyncio.run(work())
    assert before == Credits()
    value = 1.0 if picked == "2" else -1.0
    assert after == Credits(1, value, 1.0, int(picked == "2"), int(picked == "1"))


def rolled_out(url: str, answers: Make, liked: str) -> tuple[bool, Any]:
    """Every listener likes what version `liked` picked; whether the gates did something, and the newest generation."""
    empty(url)

    async def work(connection: Connection) -> tuple[bool, Any]:
        active = await start(connection)
        async with Store(url, PATIENT) as store:
            made = rotation(answers("1", history=store), answers("2", history=store), 1.0)
            for answer in await listed(made, tuple(USER_IDS)):
                playlists = [p.playlist_id for p in answer.playlists if p.picked_by == liked]
                if playlists:
                    await store.store(liking(answer, playlists))
        sides = [side and side.counts for side in (made.current.production, made.current.canary)]
        await ledger.count(connection, active.number, "r", [counts.row() for counts in sides if counts])
        acted = await apply_verdict(connection, "m", active, watching(SETTINGS, EDGES_MS))
        return acted, await ledger.read_newest(connection)

    return asyncio.run(on(url, work))


def test_a_version_whose_picks_are_liked_is_promoted(postgres_url: str, answers: Make) -> None:
    acted, newest = rolled_out(postgres_url, answers, "2")
    assert acted
    assert (newest.action, newest.wanted) == ("promote", Wanted("2", previous="1"))
    assert "likes of playlists that the canary picked, 0 of production's" in newest.why
    assert newest.why.endswith("better")


def test_a_version_whose_picks_are_not_liked_is_rolled_back(postgres_url: str, answers: Make) -> None:
    acted, newest = rolled_out(postgres_url, answers, "1")
    assert acted
    assert (newest.action, newest.wanted) == ("rollback", Wanted("1"))
    assert newest.why.startswith("preference: 0 likes of playlists that the canary picked")
