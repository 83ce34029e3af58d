"""What a taste costs: requests of one caller over gRPC, on Ray Serve with its index and on a plain server.

    python tests/benchmarks/taste.py BUNDLE            # the directory of a bundle, as `buddies train run` names it
    python tests/benchmarks/taste.py BUNDLE --json
    python tests/benchmarks/taste.py BUNDLE --listeners 0   # every taste is asked of the index

A taste is a random half of a listener's songs, at most 1,000, by their names; a known listener is asked for beside it.
The kinds of requests take turns, on both servers, so that what else the machine does falls on all of them alike.
Milliseconds, one call at a time. `search` is the index alone, in this process; `hop` is what Ray adds to a taste over
what it adds to a known listener: of the tastes that the replica does not count by itself the way to the index.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.pairing.neighbours.search import NeighbourSearch
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.protos.buddies.v1.recommender_pb2_grpc import RecommenderServiceStub
from spotify_buddies.serve_app.baseline.server import serve_plain
from spotify_buddies.serve_app.ranking.plain_arrays import plain
from spotify_buddies.serve_app.runtime.launch import launch
from spotify_buddies.serve_app.settings.serve import ServeSettings
from spotify_buddies.serve_app.settings.services import Services
from spotify_buddies.serve_app.versions.batch_ranking import NEAREST
from spotify_buddies.trainer.bundle import Bundle, open_bundle

SETTINGS = ServeSettings(grpc_port=0, http_port=0, dashboard_port=0, mlflow_port=0, max_replicas=1)
WARM_UP = 20


def main() -> None:
    """Read the command line, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--requests", type=int, default=300, help="of every kind")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--listeners", type=int, help="serve.local_taste_listeners", default=None)
    parser.add_argument("--serve", choices=("plain", "ray"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        serve(asked.serve, asked.bundle, asked.listeners)
        return
    found = run(asked.bundle, asked.requests, asked.listeners)
    if asked.json:
        print(json.dumps(found, indent=1))
        return
    print(
        f"{found['users']:,} users, {found['requests']:,} requests of every kind, mean taste {found['songs']:.0f} songs"
    )
    for name, values in found["latency_ms"].items():
        print(f"{name:<22} p50 {values['p50']:7.3f} ms   p90 {values['p90']:7.3f} ms   p99 {values['p99']:7.3f} ms")
    print(f"hop {found['hop_ms']:.3f} ms; by source: {found['sources']}")


def run(directory: Path, requests: int, listeners: int | None) -> dict[str, Any]:
    """Latencies of every kind of request, and where the answers of the tastes came from."""
    bundle = plain(open_bundle(directory))
    search = NeighbourSearch.open(bundle.index, bundle.user_songs)
    picked = np.random.default_rng(7).choice(np.flatnonzero(bundle.user_songs.counts >= 2), requests + WARM_UP)
    halves = [_half(bundle, user) for user in picked.tolist()]
    latencies: dict[str, list[float]] = defaultdict(list)
    sources: dict[str, int] = defaultdict(int)
    with _server("ray", directory, listeners) as ray, _server("plain", directory, listeners) as bare:
        for at, (user, songs) in enumerate(zip(picked.tolist(), halves, strict=True)):
            known = pb.RecommendRequest(user_ids=[bundle.user_ids.table[user]])
            taste = pb.RecommendRequest(tastes=[_taste(bundle, songs)])
            for server, stub in (("plain", bare), ("ray", ray)):
                for kind, request in (("known", known), ("taste", taste)):
                    started = time.perf_counter()
                    answered = stub.Recommend(request, timeout=10)
                    if at >= WARM_UP:
                        latencies[f"{kind}, {server}"].append(1e3 * (time.perf_counter() - started))
                        sources[f"{kind}, {server}: {pb.Source.Name(answered.recommendations[0].source)}"] += 1
            started = time.perf_counter()
            search.search(Csr.from_rows([songs], bundle.manifest.songs), NEAREST)
            if at >= WARM_UP:
                latencies["search"].append(1e3 * (time.perf_counter() - started))
    p50 = {name: float(np.median(values)) for name, values in latencies.items()}
    return {
        "users": bundle.manifest.users,
        "playlists": bundle.manifest.playlists,
        "requests": requests,
        "songs": float(np.mean([songs.size for songs in halves])),
        "latency_ms": {name: _percentiles(values) for name, values in sorted(latencies.items())},
        "hop_ms": round(p50["taste, ray"] - p50["known, ray"] - p50["taste, plain"] + p50["known, plain"], 3),
        "sources": dict(sources),
    }


def _half(bundle: Bundle, user: int) -> Any:
    songs = bundle.user_songs.row(user)
    return np.sort(np.random.default_rng(user).choice(songs, min(songs.size // 2, 1_000), replace=False))


def _taste(bundle: Bundle, songs: Any) -> pb.Taste:
    names = [pb.SongName(title=bundle.song_titles[song], artist=bundle.song_artists[song]) for song in songs.tolist()]
    return pb.Taste(songs=[pb.Song(name=name) for name in names if name.title and name.artist])


def _percentiles(values: list[float]) -> dict[str, float]:
    found = np.percentile(values, (50, 90, 99)).tolist()
    return {name: round(value, 3) for name, value in zip(("p50", "p90", "p99"), found, strict=True)}


@contextmanager
def _server(kind: str, bundle: Path, listeners: int | None) -> Iterator[RecommenderServiceStub]:
    """A server in a process of its own, which ends with SIGTERM."""
    command = [sys.executable, __file__, str(bundle), "--serve", kind]
    if listeners is not None:
        command += ["--listeners", str(listeners)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        if not address:
            raise SystemExit(f"the {kind} server did not start")
        with grpc.insecure_channel(address) as channel:
            yield RecommenderServiceStub(channel)
        process.terminate()


def serve(kind: str, bundle: Path, listeners: int | None) -> None:
    """Serve until SIGTERM; prints host:port."""
    settings = SETTINGS if listeners is None else SETTINGS.model_copy(update={"local_taste_listeners": listeners})
    if kind == "plain":
        asyncio.run(_serve_plain(settings, bundle))
        return
    with (
        tempfile.TemporaryDirectory() as state,
        launch(settings, bundle, "1", Services(), state_dir=Path(state)) as running,
    ):
        print(running.grpc, flush=True)
        signal.pause()


async def _serve_plain(settings: ServeSettings, bundle: Path) -> None:
    async with serve_plain(settings, bundle, "1", Services()) as address:
        print(address, flush=True)
        stopping = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
        await stopping.wait()


if __name__ == "__main__":
    main()
