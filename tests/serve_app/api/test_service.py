from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.api.service import Service
from spotify_buddies.serve_app.errors import FeedbackUnavailable, NeighboursUnavailable
from spotify_buddies.serve_app.ranking.encoding import Encoded
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.telemetry.metrics import Silent
from spotify_buddies.serve_app.versions.answers import Budgets

TASTE = pb.Taste(user_id="x", songs=[pb.Song(song_id="SO0004"), pb.Song(song_id="nope")])


class Counting(Silent):
    def __init__(self) -> None:
        self.lists: dict[str, int] = {}

    def count_lists(self, source: str, count: int) -> None:
        self.lists[source] = self.lists.get(source, 0) + count


class Answering:
    def __init__(self, answer: Callable[[Csr, int], Awaitable[Csr]]) -> None:
        self.search = answer


def service(engine: Engine, neighbours: Any = None, telemetry: Any = None) -> Service:
    made = Service(
        engine,
        model="m",
        budgets=Budgets(neighbours_s=0.05, store_s=0.05),
        feedback=None,
        daily=None,
        telemetry=telemetry or Silent(),
    )
    if neighbours is not None:
        made.use_neighbours(Answering(neighbours))
    return made


def ask(made: Service, **fields: Any) -> pb.RecommendResponse:
    return parse(asyncio.run(made.recommend(pb.RecommendRequest(**fields))))


def parse(encoded: Encoded) -> pb.RecommendResponse:
    return pb.RecommendResponse.FromString(encoded.SerializeToString())


def test_users_come_first_then_tastes_in_the_order_asked(engine: Engine) -> None:
    answered = ask(service(engine), user_ids=["user-2", "nobody", "user-2"], tastes=[TASTE])
    assert [r.user_id for r in answered.recommendations] == ["user-2", "nobody", "user-2", "x"]
    assert [r.source for r in answered.recommendations] == [1, 4, 1, 5]
    assert len({r.recommendation_id for r in answered.recommendations}) == 4
    assert all(len(r.recommendation_id) == 32 for r in answered.recommendations)
    assert {r.model_version for r in answered.recommendations} == {"7"}


def test_a_recommendation_names_playlist_owner_title_and_reason(engine: Engine) -> None:
    first = ask(service(engine), user_ids=["user-39"], limit=1).recommendations[0].playlists[0]
    assert (first.playlist_id, first.owner_id, first.title) == ("list-95", "user-15", "Mixtape No. 95 é")
    assert first.reason.text == "made by someone who shares 2 of your songs"
    assert [(s.title, s.artist) for s in first.reason.examples] == [("Song 27", "Artist 5"), ("Song 52", "Artist 8")]


def test_reasons_are_left_out_when_they_are_not_wanted(engine: Engine) -> None:
    answered = ask(service(engine), user_ids=["user-39"], explain=False)
    assert not any(p.HasField("reason") for p in answered.recommendations[0].playlists)


def test_a_popular_playlist_of_nobody_has_no_owner(engine: Engine) -> None:
    playlists = ask(service(engine), user_ids=["nobody"], limit=50).recommendations[0].playlists
    assert {p.owner_id == "" for p in playlists if int(p.playlist_id.removeprefix("list-")) % 10 == 9} == {True}


def test_a_taste_is_answered_from_its_neighbours(engine: Engine) -> None:
    async def near(tastes: Csr, k: int) -> Csr:
        assert list(tastes.row(0)) == [4]
        return Csr(np.array([0, 1]), np.array([6], np.int32), 60, np.ones(1, np.float32))

    telemetry = Counting()
    answered = ask(service(engine, near, telemetry), tastes=[TASTE]).recommendations[0]
    assert answered.source == pb.SOURCE_COLD_NEIGHBOURS
    assert {p.owner_id for p in answered.playlists} == {"user-6"}
    assert (answered.unknown_songs, list(answered.skipped)) == (1, [])
    assert telemetry.lists == {"COLD_NEIGHBOURS": 1}


async def never(tastes: Csr, k: int) -> Csr:
    await asyncio.Event().wait()
    raise AssertionError


async def fail(tastes: Csr, k: int) -> Csr:
    raise NeighboursUnavailable("down")


@pytest.mark.parametrize("neighbours", [never, fail, None])
def test_a_taste_without_an_answer_from_the_index_is_popular_in_its_genre_and_labelled(
    engine: Engine, neighbours: Any
) -> None:
    answered = ask(service(engine, neighbours), tastes=[TASTE]).recommendations[0]
    assert answered.source == pb.SOURCE_POPULAR_IN_GENRE
    assert list(answered.skipped) == [pb.SKIPPED_NEIGHBOUR_SEARCH]


def test_the_daily_mode_without_a_store_scores_live_and_says_so(engine: Engine) -> None:
    answered = ask(service(engine), user_ids=["user-1"], mode=pb.MODE_DAILY).recommendations[0]
    assert (answered.source, list(answered.skipped)) == (pb.SOURCE_LIVE, [pb.SKIPPED_DAILY_LIST])


def test_a_taste_in_daily_mode_says_that_no_list_was_computed_ahead(engine: Engine) -> None:
    answered = ask(service(engine), tastes=[TASTE], mode=pb.MODE_DAILY).recommendations[0]
    assert list(answered.skipped) == [pb.SKIPPED_NEIGHBOUR_SEARCH, pb.SKIPPED_DAILY_LIST]


def test_others_get_a_turn_while_many_songs_are_looked_up(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []
    find = engine.find_songs

    def watched(tastes: Any) -> Any:
        threads.append(threading.current_thread())
        return find(tastes)

    monkeypatch.setattr(engine, "find_songs", watched)
    made = service(engine)
    name = pb.Song(name=pb.SongName(title="song 7", artist="artist 7"))
    ask(made, tastes=[pb.Taste(songs=[name] * 1000)])
    ask(made, tastes=[TASTE])
    assert [thread is threading.main_thread() for thread in threads] == [False, True]


def test_nothing_is_compiled_after_the_warm_up(bundle_dir: Path) -> None:
    code = f"""
import asyncio, importlib, pathlib, pkgutil
from spotify_buddies.pairing.neighbours import kernels as pairing
from spotify_buddies.pairing.neighbours.exact import kernels as exact
from spotify_buddies.pairing.neighbours.search import NeighbourSearch
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.ranking import kernels
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.neighbours.client import Local
from spotify_buddies.serve_app.versions.answers import Budgets
from spotify_buddies.serve_app.ranking.encoding import kernels as encoding
from spotify_buddies.serve_app.api.service import Service
from spotify_buddies.serve_app.telemetry.metrics import Silent
from spotify_buddies.trainer.bundle import open_bundle
engine = Engine(open_bundle(pathlib.Path({str(bundle_dir)!r})), "1")
service = Service(engine, model="m", budgets=Budgets(60, 1, 50_000), feedback=None, daily=None, telemetry=Silent())
service.use_neighbours(Local(NeighbourSearch.open(engine.bundle.index, engine.bundle.user_songs)))
service.warm_up()
def compiled():
    names = [m.name for p in (kernels, encoding) for m in pkgutil.iter_modules(p.__path__, p.__name__ + ".")]
    members = {{name: vars(importlib.import_module(name)) for name in (*names, pairing.__name__, exact.__name__)}}
    return {{f"{{kernel.__module__}}.{{name}}": len(kernel.signatures)
            for module in members.values() for name, kernel in module.items() if hasattr(kernel, "signatures")}}
before = compiled()
called = ("scoring.rank_columns", "gather.gather_owned", "keys.match_keys", "songs.share_columns", "songs.vote")
assert all(before[f"{{kernels.__name__}}.{{name}}"] for name in called), before
called = ("recommendations.encode_columns", "merging.merge")
assert all(before[f"{{encoding.__name__}}.{{name}}"] for name in called), before
taste = pb.Taste(user_id="user-1", songs=[pb.Song(song_id="SO0004")])
request = pb.RecommendRequest(user_ids=["user-2", "x", "user-59"], tastes=[taste], exclude_playlist_ids=["list-3"])
answered = pb.RecommendResponse.FromString(asyncio.run(service.recommend(request)).SerializeToString())
assert [r.source for r in answered.recommendations] == [1, 4, 3, 3]
several = pb.RecommendRequest(tastes=[taste, taste, pb.Taste(songs=[pb.Song(song_id="SO0005")])])
answered = pb.RecommendResponse.FromString(asyncio.run(service.recommend(several)).SerializeToString())
assert len(answered.recommendations) == 3
assert compiled() == before, (before, compiled())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_thousand_listeners_are_answered_and_others_get_a_turn_meanwhile(engine: Engine) -> None:
    made = service(engine)

    async def both() -> list[str]:
        order = []

        async def one(name: str, count: int) -> None:
            answered = await made.recommend(pb.RecommendRequest(user_ids=["user-1"] * count, limit=100))
            assert len(parse(answered).recommendations) == count
            order.append(name)

        await asyncio.gather(one("large", 1000), one("small", 1))
        return order

    assert asyncio.run(both()) == ["small", "large"]


def test_the_warm_path_awaits_nothing(engine: Engine) -> None:
    call = service(engine, never).recommend(pb.RecommendRequest(user_ids=["user-1"]))
    with pytest.raises(StopIteration) as finished:
        call.send(None)
    assert parse(finished.value.value).recommendations[0].source == pb.SOURCE_LIVE


def test_feedback_without_a_store_is_unavailable(engine: Engine) -> None:
    request = pb.FeedbackRequest(recommendation_id="0f" * 16, user_id="u", liked=["a"], idempotency_key="k")
    with pytest.raises(FeedbackUnavailable, match="no Postgres is configured"):
        asyncio.run(service(engine).feedback(request))


def test_the_status_tells_version_hash_and_sizes(engine: Engine) -> None:
    status = asyncio.run(service(engine).get_model_status(pb.GetModelStatusRequest()))
    version = status.versions[0]
    assert (status.model, version.version, version.bundle_sha256) == ("m", "7", engine.bundle.sha256)
    assert (version.users, version.playlists, version.share) == (60, 120, 1.0)
    assert (version.state, version.arm) == (pb.VERSION_STATE_READY, pb.ARM_PRODUCTION)
