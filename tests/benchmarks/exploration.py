"""What exploration costs: a list whose places are drawn at random, beside one that is not, and beside another tree.

    python tests/benchmarks/exploration.py BUNDLE                  drawn and not drawn
    python tests/benchmarks/exploration.py BUNDLE --tree ../other  not drawn beside other trees of the source too

Each tree has a process of its own that stays for the whole run; every round measures each work in each tree, one after
the other. A work is a Recommend without the wire: parsed, checked, ranked, explained, encoded. The table tells the
medians of the rounds, in microseconds of processor time a list, and the median over rounds of the ratio to the first
line of the same work. Nothing here is a test.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from trees import HERE, ask, measuring

POLICIES = {"epsilon 0.1 of 20": (1, 0.1, 20), "Plackett-Luce of 20": (2, 0.1, 20)}
# Listeners or tastes a call, and calls a round.
WORKS = {"a user": (1, 300), "a taste": (1, 100), "500 users": (500, 3)}


def main() -> None:
    """Measure and print; as the process of one tree, measure what is asked for on standard input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, nargs="?")
    parser.add_argument("--tree", type=Path, action="append", default=[])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        answer(given.worker)
        return
    if given.bundle is None:
        parser.error("name a bundle")
    trees = [*(tree.resolve() for tree in given.tree), HERE]
    ways = [(tree, None) for tree in trees] + [(HERE, policy) for policy in POLICIES]
    taken: dict[tuple[str, Path, str | None], list[float]] = defaultdict(list)
    with ExitStack() as stack:
        workers = {
            tree: stack.enter_context(measuring(Path(__file__), tree, str(given.bundle.resolve()))) for tree in trees
        }
        for worker in workers.values():
            ask(worker)
        for number in range(given.rounds):
            for work in WORKS:
                for tree, policy in ways:
                    question = {"work": work, "policy": policy, "seed": number}
                    taken[work, tree, policy].append(float(ask(workers[tree], question)))
    for work in WORKS:
        first = taken[work, *ways[0]]
        for tree, policy in ways:
            mine = taken[work, tree, policy]
            ratio = statistics.median(a / b for a, b in zip(mine, first, strict=True))
            print(f"{work:>10} {statistics.median(mine):10.1f} us {ratio:7.3f}  {policy or 'off'}, {tree}")


def answer(bundle: Path) -> None:
    """The process of one tree: microseconds a list of each work that is asked for."""
    from spotify_buddies.serve_app.api.service import Service
    from spotify_buddies.serve_app.ranking.engine import Engine
    from spotify_buddies.serve_app.telemetry.metrics import Silent
    from spotify_buddies.serve_app.versions.answers import Budgets
    from spotify_buddies.trainer.bundle import open_bundle

    engine = Engine(open_bundle(bundle, check_hashes=False), "7")
    services: dict[str | None, Any] = {}

    def service(policy: str | None) -> Any:
        named: dict[str, Any] = {}
        if policy is not None:
            from spotify_buddies.serve_app.ranking.query import Arm
            from spotify_buddies.serve_app.ranking.rules import Exploration, Policy

            number, parameter, top = POLICIES[policy]
            named["explorations"] = {Arm.PRODUCTION: Exploration(Policy(number), parameter, top)}
        made = Service(
            engine,
            model="m",
            budgets=Budgets(0.05, 0.05, 10**9),
            feedback=None,
            daily=None,
            telemetry=Silent(),
            **named,
        )
        made.warm_up()
        return made

    loop = asyncio.new_event_loop()
    services[None] = service(None)
    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["policy"] not in services:
            services[asked["policy"]] = service(asked["policy"])
        one = services[asked["policy"]]
        size, calls = WORKS[asked["work"]]
        rng = np.random.default_rng(asked["seed"])
        requests = [request_of(engine, rng, size, taste=asked["work"] == "a taste") for _ in range(calls)]
        print(microseconds(loop, one, requests) / size, flush=True)


def request_of(engine: Any, rng: np.random.Generator, size: int, *, taste: bool) -> bytes:
    """A serialized RecommendRequest for other listeners, or another taste of 15 songs, each time."""
    from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb

    bundle = engine.bundle
    users = rng.integers(0, bundle.manifest.users, size).tolist()
    if not taste:
        return pb.RecommendRequest(user_ids=[bundle.user_ids.table[user] for user in users]).SerializeToString()
    songs = bundle.user_songs.row(users[0])[:15].tolist()
    names = [pb.SongName(title=bundle.song_titles[song], artist=bundle.song_artists[song]) for song in songs]
    return pb.RecommendRequest(
        tastes=[pb.Taste(user_id="guest", songs=[pb.Song(name=name) for name in names])]
    ).SerializeToString()


def microseconds(loop: asyncio.AbstractEventLoop, service: Any, requests: list[bytes]) -> float:
    """Processor time a call of this process, its threads among it; the first call of a kind is not counted."""
    from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb

    async def run() -> float:
        await service.recommend(pb.RecommendRequest.FromString(requests[0]))
        started = time.process_time()
        for data in requests:
            (await service.recommend(pb.RecommendRequest.FromString(data))).SerializeToString()
        return (time.process_time() - started) / len(requests) * 1e6

    return loop.run_until_complete(run())


if __name__ == "__main__":
    main()
