"""A real cluster of two nodes on this machine, and a small world with what threads make of it."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ray.cluster_utils import Cluster

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.process.children import children, stop_all
from spotify_buddies.foundation.stages.blocks import Blocks
from spotify_buddies.foundation.stages.progress import Progress, silent
from spotify_buddies.pairing.neighbours.nearest import nearest_users
from spotify_buddies.trainer.cluster.connect import _variables, cluster
from spotify_buddies.trainer.dataset.labels.ownership import assign_owners
from spotify_buddies.trainer.dataset.labels.split import split_users
from spotify_buddies.trainer.dataset.negatives.triplets import write_triplets
from spotify_buddies.trainer.dataset.negatives.validation import write_batches
from spotify_buddies.trainer.dataset.scoring import score_users, take_liked
from spotify_buddies.trainer.dataset.table import LIKED, MATRIX, OWN, SCORE, SONGS, SPLIT, STAGES, TRIPLETS, VALIDATION
from spotify_buddies.trainer.settings import DataSettings

USERS, PLAYLISTS, ALL_SONGS = 2_000, 1_500, 2_500
SETTINGS = DataSettings(liked_share=0.03, owned_max=5, validation_negatives=10)


@dataclass(frozen=True)
class Nodes:
    """The driver's node and another one, a CPU each."""

    cluster: Cluster
    blocks: Blocks

    def another(self) -> None:
        """Have two nodes, whatever happened to the second one."""
        while len(self.cluster.worker_nodes) < 1:
            self.cluster.add_node(num_cpus=1)

    def kill(self) -> None:
        """Kill the second node: its raylet, its workers and its object store."""
        self.cluster.remove_node(next(iter(self.cluster.worker_nodes)), allow_graceful=False)


@pytest.fixture(scope="package")
def _nodes() -> Iterator[Nodes]:
    temp = Path(tempfile.mkdtemp(prefix="t-", dir="/tmp"))  # sockets need short paths
    token = temp / "token"
    token.write_text(secrets.token_hex(32))
    others = children()
    (temp / "ray").mkdir()  # which Ray opens to everybody
    ours = {
        "RAY_TMPDIR": str(temp / "ray"),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_ADDRESS": None,
    }
    try:
        with _variables(ours):
            # A dead node is noticed after three seconds, not fifteen.
            quick = {
                "health_check_initial_delay_ms": 0,
                "health_check_period_ms": 1_000,
                "health_check_failure_threshold": 3,
            }
            head = {"num_cpus": 1, "include_dashboard": False, "_system_config": quick}
            two = Cluster(initialize_head=True, head_node_args=head)
            try:
                two.add_node(num_cpus=1)
                with cluster(two.address) as blocks:
                    yield Nodes(two, blocks)
            finally:
                two.shutdown()
    finally:
        stop_all(children() - others)
        shutil.rmtree(temp, ignore_errors=True)


@pytest.fixture
def nodes(_nodes: Nodes) -> Nodes:
    _nodes.another()
    return _nodes


Stages = dict[str, Callable[[Path, Blocks, Progress], object]]


@dataclass(frozen=True)
class Small:
    """Parts 3 to 9 and the nearest users of a small world, made on threads. stages: what makes each of them again."""

    at: dict[str, Path]
    stages: Stages

    def remake(self, name: str, to: Path, blocks: Blocks, progress: Progress = silent) -> dict[str, bytes]:
        to.mkdir()
        self.stages[name](to, blocks, progress)
        return contents(to)

    def expected(self, name: str) -> dict[str, bytes]:
        return contents(self.at[name])


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    root = tmp_path_factory.mktemp("small")
    at = {name: root / name for name in (*STAGES, "nearest")}
    for path in at.values():
        path.mkdir()
    rng = np.random.default_rng(7)
    user_songs, playlist_songs = _songs(rng, USERS), _songs(rng, PLAYLISTS)
    user_songs.save(at[MATRIX], "user_songs")
    playlist_songs.save(at[MATRIX], "playlist_songs")
    np.save(
        at[SONGS] / "named_owner.npy", np.where(np.arange(PLAYLISTS) % 9, -1, np.arange(PLAYLISTS)).astype(np.int32)
    )

    def nearest(to: Path, blocks: Blocks, progress: Progress) -> None:
        nearest_users(user_songs, 20, block_users=64, blocks=blocks, progress=progress).save(to, "nearest")

    small_blocks = SETTINGS.model_copy(update={"block_users": 64})
    stages: Stages = {
        SCORE: lambda to, blocks, progress: score_users(to, at[MATRIX], at[SONGS], small_blocks, progress, blocks),
        TRIPLETS: lambda to, blocks, progress: write_triplets(to, at, small_blocks, progress, blocks),
        VALIDATION: lambda to, blocks, progress: write_batches(to, at, small_blocks, progress, blocks),
        "nearest": nearest,
    }
    _on_threads(at, user_songs)
    return Small(at, stages)


def _on_threads(at: dict[str, Path], user_songs: Csr) -> None:
    score_users(at[SCORE], at[MATRIX], at[SONGS], SETTINGS, silent)
    take_liked(at[LIKED], at[SCORE])
    split_users(at[SPLIT], at[LIKED], at[SONGS], SETTINGS)
    assign_owners(at[OWN], at, SETTINGS, silent)
    write_triplets(at[TRIPLETS], at, SETTINGS, silent)
    write_batches(at[VALIDATION], at, SETTINGS, silent)
    nearest_users(user_songs, 20, block_users=USERS).save(at["nearest"], "nearest")


def _songs(rng: np.random.Generator, count: int) -> Csr:
    drawn: list[Any] = [
        np.unique((ALL_SONGS * rng.random(size) ** 2).astype(np.int32)) for size in rng.integers(5, 60, count)
    ]
    return Csr.from_rows(drawn, ALL_SONGS)
