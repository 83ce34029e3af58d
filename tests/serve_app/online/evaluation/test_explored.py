"""What another version is worth, estimated from lists that a service drew, beside what serving that version earns."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg
import pytest
from typer.testing import CliRunner

from spotify_buddies.clients.main import build_app
from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.api.service import Service
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.query import Arm
from spotify_buddies.serve_app.ranking.rules import Exploration, Policy
from spotify_buddies.serve_app.store.store import Store, StoreSettings
from spotify_buddies.serve_app.telemetry.metrics import Silent
from spotify_buddies.serve_app.versions.answers import Answers, Budgets
from spotify_buddies.serve_app.versions.rotation import ArmAnswers, Assignment, Rotation
from tests.serve_app.bundles import NO_PAIRING, PLAYLISTS, USERS
from tests.waiting import WITHIN_S

PATIENT = StoreSettings(WITHIN_S, seen_s=WITHIN_S, attribution_s=WITHIN_S, load_s=WITHIN_S, flush_s=WITHIN_S)
BUDGETS = Budgets(WITHIN_S, WITHIN_S)
# More of them than places: each version's playlists are among those that the other may draw.
LIMIT, SHUFFLED, TOP, ROUNDS = 4, 6, 8, 25
ASKED: dict[str, Any] = {"limit": LIMIT, "max_per_owner": 100, "max_song_overlap": 1.0, "max_song_containment": 1.0}
LIKED = np.random.default_rng(5).uniform(0.05, 0.6, PLAYLISTS)


def other_of(engine: Engine, rng: np.random.Generator) -> Engine:
    """A version that shows the best six playlists of each listener in another order."""
    users = [f"user-{user}" for user in range(USERS)]
    best = engine.rank_known(users, SHUFFLED, np.empty(0, np.int32))
    rows = [rng.permutation(best.rows[user, : best.counts[user]]) for user in range(USERS)]
    candidates = Csr.from_rows([row if user != NO_PAIRING else [] for user, row in enumerate(rows)], PLAYLISTS)
    values = np.concatenate([np.arange(n, 0, -1) for n in np.diff(candidates.indptr)]).astype(np.float32)
    given = Csr(candidates.indptr, candidates.indices, PLAYLISTS, values)
    return Engine(replace(engine.bundle, candidates=given), "8")


@dataclass
class People:
    """They react to every place, each with the probability that its playlist has."""

    rng: np.random.Generator
    lists: list[tuple[str, list[str], list[int]]] = field(default_factory=list)

    async def react(self, service: Service, answers: list[pb.Recommendation]) -> None:
        said = []
        for answer in answers:
            ids = [playlist.playlist_id for playlist in answer.playlists]
            likes = (self.rng.random(len(ids)) < [LIKED[int(one.removeprefix("list-"))] for one in ids]).astype(int)
            self.lists.append((answer.user_id, ids, likes.tolist()))
            said.append(
                pb.FeedbackRequest(
                    recommendation_id=answer.recommendation_id, user_id=answer.user_id, arm=answer.arm,
                    idempotency_key=answer.recommendation_id, model_version=answer.model_version,
                    liked=[one for one, like in zip(ids, likes, strict=True) if like],
                    ignored=[one for one, like in zip(ids, likes, strict=True) if not like],
                )
            )  # fmt: skip
        await asyncio.gather(*map(service.feedback, said))


def serve(url: str, engine: Engine, explorations: dict[Arm, Exploration], seed: int, rounds: int) -> People:
    """Everybody is answered by this version as often, and reacts."""
    people, ids = People(np.random.default_rng(seed)), np.random.default_rng(seed + 1)
    users = [f"user-{user}" for user in range(USERS) if user != NO_PAIRING]

    async def run() -> None:
        async with Store(url, PATIENT) as store:
            service = Service(
                engine, model="m", budgets=BUDGETS, feedback=store, daily=None, telemetry=Silent(), history=store
            )
            made = Answers(
                engine, budgets=BUDGETS, daily=None, history=store, telemetry=Silent(), explorations=explorations,
                draw=lambda count: ids.bytes(16 * count),
            )  # fmt: skip
            service.rotation = Rotation(Assignment(ArmAnswers(made)))
            for _ in range(rounds):
                data = await service.recommend(pb.RecommendRequest(user_ids=users, **ASKED))
                answered = pb.RecommendResponse.FromString(data.SerializeToString())
                await people.react(service, list(answered.recommendations))

    asyncio.run(run())
    return people


def expected(drawn: People, served: People) -> tuple[int, float]:
    """The places that are compared, and what serving the version earned in those of the same listener and rank."""
    shown = {user: ids for user, ids, _ in served.lists}
    likes: dict[tuple[str, int], list[int]] = {}
    for user, _, reactions in served.lists:
        for rank, like in enumerate(reactions):
            likes.setdefault((user, rank), []).append(like)
    earned = [
        float(np.mean(likes[user, rank]))
        for user, ids, _ in drawn.lists
        for rank in range(len(ids))
        if rank < len(shown[user]) and shown[user][rank] not in ids[:rank]
    ]
    return len(earned), float(np.mean(earned))


@pytest.fixture
def fresh(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    monkeypatch.setenv("BUDDIES_POSTGRES_URL", postgres_url)
    return postgres_url


def worth(version: str) -> dict[str, Any]:
    until = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
    done = CliRunner().invoke(build_app(), ["online", "worth", "--version", version, "--until", until, "--json"])
    assert (done.exit_code, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    "exploration",
    [Exploration(Policy.EPSILON, 0.6, TOP), Exploration(Policy.PLACKETT_LUCE, 1.5, TOP)],
    ids=["epsilon", "plackett-luce"],
)
def test_estimates_are_what_serving_the_version_earns(
    fresh: str, engine: Engine, exploration: Exploration, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = other_of(engine, np.random.default_rng(11))
    drawn = serve(fresh, engine, {Arm.PRODUCTION: exploration}, 21, ROUNDS)
    served = serve(fresh, other, {}, 31, ROUNDS)
    places, truth = expected(drawn, served)
    found = worth("8")
    assert "refused" not in found, found
    # A place with one playlist left is not drawn, and not compared.
    assert 0.95 * places < found["decisions"] <= places
    assert found["mean_weight"]["low"] < 1 < found["mean_weight"]["high"]
    assert found["effective_size"] > 100
    for name in ("ips", "snips", "doubly_robust"):
        assert found[name]["low"] < truth < found[name]["high"], (name, found[name], truth)
    assert found["snips"]["high"] - found["snips"]["low"] < 0.2


def test_without_exploration_the_same_service_gives_no_estimate(fresh: str, engine: Engine) -> None:
    serve(fresh, engine, {}, 21, 1)
    serve(fresh, other_of(engine, np.random.default_rng(11)), {}, 31, 1)
    assert "no propensity below 1 is logged" in worth("8")["refused"]
