"""A bundle of this size: written, opened, and the memory that a replica has of it for itself."""

from __future__ import annotations

import time
from pathlib import Path

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages.usage import private_mib
from spotify_buddies.pairing.neighbours.search import NeighbourSearch
from spotify_buddies.pairing.result import CANDIDATES
from spotify_buddies.trainer.bench.figure import OURS, Figure, timed
from spotify_buddies.trainer.bench.plan import Bench
from spotify_buddies.trainer.bundle import BundleParts, open_bundle, write_bundle
from spotify_buddies.trainer.dataset.table import open_dataset
from spotify_buddies.trainer.models.model import initial_model
from spotify_buddies.trainer.publish.parts import bundle_parts

_LOOKUPS = 1_000


def write(bench: Bench) -> list[Figure]:
    """Write the bundle of this data set and pairing, with factors drawn, not learned: they cost the same."""
    parts = _parts(bench)
    directory = _directory(bench)
    figure = timed("bundle written", OURS, bench.size.users, "users", lambda: write_bundle(directory, parts))
    size = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    return [figure.with_facts(gigabytes=round(size / 1e9, 3))]


def opened(bench: Bench) -> list[Figure]:
    """Open it with and without comparing hashes; look users up and search tastes as a replica does."""
    directory = _directory(bench)
    before = private_mib()
    mapped = timed("bundle mapped", OURS, 1, "bundles", lambda: open_bundle(directory, check_hashes=False))
    bundle = open_bundle(directory, check_hashes=False)
    search = NeighbourSearch.open(bundle.index, bundle.user_songs)
    step = max(1, bundle.manifest.users // _LOOKUPS)
    ids = [bundle.user_ids.table[row] for row in range(0, bundle.manifest.users, step)]
    started = time.perf_counter()
    rows = bundle.user_ids.find(ids)
    lookup = (time.perf_counter() - started) / max(len(ids), 1)
    for row in rows[:50].tolist():
        search.search(Csr.from_rows([bundle.user_songs.row(row)], bundle.manifest.songs), 100)
    private = private_mib()
    checked = timed("bundle opened, hashes checked", OURS, 1, "bundles", lambda: open_bundle(directory))
    mapped = mapped.with_facts(
        private_mib=round(private, 1),
        private_mib_before=round(before, 1),
        microseconds_a_lookup=round(1e6 * lookup, 1),
    )
    return [mapped, checked]


def _directory(bench: Bench) -> Path:
    return bench.home / "bundle"


def _parts(bench: Bench) -> BundleParts:
    data = open_dataset(bench.dataset)
    model = initial_model(data.users, data.playlists, bench.train.dimension, bench.train.seed)
    candidates = Csr.load(bench.paired / CANDIDATES, "candidates")
    return bundle_parts(data, bench.paired, candidates, model, training={}, metrics={})
