"""What one Recommend costs in the server, stage by stage, and beside it the answer built with protobuf's own classes.

    python tests/benchmarks/request_path.py BUNDLE                 1 and 1,000 listeners, and one taste, per request
    python tests/benchmarks/request_path.py BUNDLE --profile 1000  run one size for long, for `py-spy record`

BUNDLE: a bundle's directory. Every stage takes its turn in every round, each on other listeners; the table tells the
median of the rounds, in processor time of this thread, which says more than the clock on a machine that does other
things as well. Nothing here is a test.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from spotify_buddies.pairing.neighbours.counted import CountedSearch
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.api.codec import decode_query
from spotify_buddies.serve_app.api.service import Service
from spotify_buddies.serve_app.ranking.encoding import Encoder, Shared, TasteAnswers, draw_ids
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.kernels.kinds import OPEN
from spotify_buddies.serve_app.ranking.lookup import Keys, find
from spotify_buddies.serve_app.ranking.query import Arm
from spotify_buddies.serve_app.ranking.reasons import Reasons, explain, tie
from spotify_buddies.serve_app.ranking.rules import Rules
from spotify_buddies.serve_app.telemetry.metrics import Silent
from spotify_buddies.serve_app.versions.answers import Budgets
from spotify_buddies.serve_app.versions.batch_ranking import NEAREST
from spotify_buddies.trainer.bundle import open_bundle
from spotify_buddies.trainer.bundle.reasons import find_reasons
from tests.serve_app.reference import message

NOTHING = np.empty(0, np.int32)
# As `buddies load` sends them; each is counted in the song lists, however many listeners it has.
SONGS_A_TASTE = 15
EVERYTHING = 10**9
SEARCHES: dict[Engine, CountedSearch] = {}


def stages(
    service: Service, unsaid: Engine, encoder: Encoder, loop: asyncio.AbstractEventLoop, data: bytes
) -> dict[str, Callable[[], Any]]:
    """Every stage of one request as a call of its own, on what the stage before it answered.

    unsaid: the engine of a bundle that does not say why its candidates suit their users, as those of earlier releases.
    """
    engine = service.engine
    request = pb.RecommendRequest.FromString(data)
    query = decode_query(request)
    keys = Keys.of(query.user_ids)
    rules = Rules(None, query.max_per_owner, query.max_song_overlap)
    apart = Rules(None, query.max_per_owner, query.max_song_overlap, query.max_song_containment)
    lists = engine.rank_known(query.user_ids, query.limit, NOTHING, rules)
    reasons = explain(engine, lists)
    drawn = draw_ids(len(lists))
    open_places = np.where(lists.rows >= 0, OPEN, 0).astype(np.int8)

    def whole() -> bytes:
        answer = loop.run_until_complete(service.recommend(pb.RecommendRequest.FromString(data)))
        return answer.SerializeToString()

    return {
        "parse": lambda: pb.RecommendRequest.FromString(data),
        "decode": lambda: decode_query(request),
        "hash ids": lambda: Keys.of(query.user_ids),
        "find rows": lambda: find(engine.bundle.user_ids, keys),
        "rank (with ids)": lambda: engine.rank_known(query.user_ids, query.limit, NOTHING, rules),
        "with containment": lambda: engine.rank_known(query.user_ids, query.limit, NOTHING, apart),
        "adventurous": lambda: engine.rank_known(query.user_ids, query.limit, NOTHING, replace(apart, adventurous=0.3)),
        "calibrated": lambda: engine.rank_known(query.user_ids, query.limit, NOTHING, replace(apart, calibration=0.3)),
        "explain": lambda: explain(engine, lists),
        "explain, unsaid": lambda: explain(unsaid, replace(lists, songs=unsaid.bundle.user_songs)),
        # As if no place of any list shared a song: what artists and followers cost where they are looked for.
        "tie every place": lambda: tie(
            engine, lists, Reasons(reasons.shared.copy(), open_places.copy(), reasons.examples.copy())
        ),
        "encode": lambda: encoder.encode(lists, drawn, reasons),
        "encode, protobuf": lambda: message(engine.bundle, engine.version, lists, drawn, reasons).SerializeToString(),
        "whole": whole,
    }


def taste_stages(
    service: Service, encoder: Encoder, loop: asyncio.AbstractEventLoop, data: bytes
) -> dict[str, Callable[[], Any]]:
    """The stages of a request for one taste: by itself in two kernels, and as tastes of many go, step by step."""
    engine, search = service.engine, SEARCHES[service.engine]
    request = pb.RecommendRequest.FromString(data)
    query = decode_query(request)
    rules = Rules(None, query.max_per_owner, query.max_song_overlap, query.max_song_containment)
    single = TasteAnswers(engine, Shared.of(engine, encoder), search, NEAREST)
    taste, drawn = query.tastes[0], draw_ids(1)
    counted = single.count(taste)
    nearest = single.nearest(taste, counted, NOTHING, rules)
    songs = engine.find_songs(query.tastes)
    near = search.search(songs.songs, NEAREST)
    lists = engine.rank_tastes(query.tastes, songs, near, query.limit, NOTHING, rules)
    reasons = explain(engine, lists)

    def answer() -> bytes:
        return single.answer(
            taste, counted, nearest, query.limit, NOTHING, rules, drawn, Arm.PRODUCTION, explained=True
        )[0]

    def whole() -> bytes:
        answered = loop.run_until_complete(service.recommend(pb.RecommendRequest.FromString(data)))
        return answered.SerializeToString()

    return {
        "parse": lambda: pb.RecommendRequest.FromString(data),
        "decode": lambda: decode_query(request),
        "songs, neighbours": lambda: single.count(taste),
        "answer": answer,
        "step: find songs": lambda: engine.find_songs(query.tastes),
        "step: count": lambda: search.search(songs.songs, NEAREST),
        "step: rank": lambda: engine.rank_tastes(query.tastes, songs, near, query.limit, NOTHING, rules),
        "step: explain": lambda: explain(engine, lists),
        "step: encode": lambda: encoder.encode(lists, drawn, reasons),
        "whole": whole,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--profile", type=int)
    given = parser.parse_args()
    bundle = open_bundle(given.bundle, check_hashes=False)
    said = bundle.candidate_reasons
    engine = Engine(replace(bundle, candidate_reasons=find_reasons(bundle) if said is None else said), "7")
    unsaid = Engine(replace(bundle, candidate_reasons=None), "7")
    budgets = Budgets(0.05, 0.05, EVERYTHING)
    SEARCHES[engine] = CountedSearch.open(bundle.index, bundle.user_songs, EVERYTHING)
    service = Service(engine, model="m", budgets=budgets, feedback=None, daily=None, telemetry=Silent())
    service.warm_up()
    encoder = Encoder(engine)
    loop = asyncio.new_event_loop()
    rng = np.random.default_rng(1)
    users = engine.bundle.manifest.users

    def request(count: int) -> bytes:
        chosen = rng.integers(0, users, count).tolist()
        return pb.RecommendRequest(user_ids=[engine.bundle.user_ids.table[row] for row in chosen]).SerializeToString()

    def taste(count: int) -> bytes:
        del count
        user = int(rng.integers(0, users))
        songs = engine.bundle.user_songs.row(user)
        titles, artists = engine.bundle.song_titles, engine.bundle.song_artists
        named = [
            pb.Song(name=pb.SongName(title=titles[song], artist=artists[song]))
            for song in rng.choice(songs, min(SONGS_A_TASTE, songs.size), replace=False).tolist()
        ]
        return pb.RecommendRequest(tastes=[pb.Taste(user_id="guest", songs=named)]).SerializeToString()

    if given.profile:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            stages(service, unsaid, encoder, loop, request(given.profile))["whole"]()
        return

    def whole_path(*arguments: Any) -> dict[str, Callable[[], Any]]:
        return stages(arguments[0], unsaid, *arguments[1:])

    for what, count, repeats, drawn, cut in (
        ("listeners", 1, 300, request, whole_path),
        ("listeners", 1000, 1, request, whole_path),
        ("tastes", 1, 300, taste, taste_stages),
    ):
        taken: dict[str, list[float]] = defaultdict(list)
        for _ in range(given.rounds):
            made = [cut(service, encoder, loop, drawn(count)) for _ in range(repeats)]
            for name in made[0]:
                calls = [stage[name] for stage in made]
                started = time.thread_time()
                for call in calls:
                    call()
                taken[name].append((time.thread_time() - started) / repeats)
        size = len(made[0]["whole"]())
        print(f"\n{count:,} {what} per request, answer of {size:,} bytes; microseconds of processor time")
        for name, seconds in taken.items():
            median = statistics.median(seconds)
            print(f"  {name:18} {median * 1e6:10.1f}   {median / count * 1e6:8.3f} per listener")
        print(f"  {'':18} {count / statistics.median(taken['whole']):10,.0f} listeners a second of one core")


if __name__ == "__main__":
    main()
