"""Stages on a real cluster of two nodes: the same bytes as on threads, whoever dies on the way."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest
import ray
from ray._private.internal_api import node_stats

from spotify_buddies.foundation.stages.blocks import BlockError
from spotify_buddies.foundation.stages.progress import silent
from spotify_buddies.trainer.cluster.blocks import AHEAD, RETRIES, _run
from spotify_buddies.trainer.cluster.errors import ClusterError
from spotify_buddies.trainer.dataset.table import SCORE, TRIPLETS, VALIDATION
from tests.trainer.cluster.conftest import USERS, Nodes, Small

pytestmark = pytest.mark.ray

# The workers have no path to the tests.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])

MIB = 2**20
# So many that a block of four is a block of four on two CPUs, and on those that Ray still counts of a dead node.
ROWS = 96


@pytest.mark.parametrize("name", [SCORE, TRIPLETS, VALIDATION, "nearest"])
def test_two_nodes_make_the_files_that_threads_make(nodes: Nodes, small: Small, name: str, tmp_path: Path) -> None:
    assert small.remake(name, tmp_path / "again", nodes.blocks) == small.expected(name)


class Killer:
    """Progress that kills the second node when it sees that half is done, which is in the middle of the stage."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self.killed_at = 0
        self.last = 0

    def __call__(self, what: str, done: int, total: int, unit: str = "items") -> None:
        if not self.killed_at and total and total / 2 <= done < total:
            self.killed_at = done
            self._nodes.kill()
        self.last = done


@pytest.mark.parametrize("name", [SCORE, "nearest"])
def test_a_node_that_dies_in_the_middle_changes_no_byte(nodes: Nodes, small: Small, name: str, tmp_path: Path) -> None:
    killer = Killer(nodes)
    assert small.remake(name, tmp_path / "again", nodes.blocks, killer) == small.expected(name)
    assert USERS / 2 <= killer.killed_at < USERS == killer.last
    assert not nodes.cluster.worker_nodes


def meeting(inputs: tuple[Path, int], first: int, last: int) -> tuple[str, np.ndarray]:
    """The node, and a result large enough to stay there until it is taken; the first block of a node waits for others.

    So many nodes have to come, for at most a minute.
    """
    folder, expected = inputs
    node = ray.get_runtime_context().get_node_id()
    (folder / node).touch()
    deadline = time.monotonic() + 60
    while len(list(folder.iterdir())) < expected and time.monotonic() < deadline:
        time.sleep(0.01)
    return node, np.repeat(np.arange(first, last), MIB // 8)


def test_results_that_a_dead_node_took_with_it_are_worked_out_again(nodes: Nodes, tmp_path: Path) -> None:
    seen: list[str] = []
    rows: list[int] = []
    with nodes.blocks.share((tmp_path, 2)) as shared:
        for node, block in shared.over(meeting, ROWS, 4, "x", silent):
            rows += block[:: MIB // 8].tolist()
            seen.append(node)
            if len(set(seen)) == 2 and nodes.cluster.worker_nodes:
                # Two CPUs and four blocks ahead: others of the second node run, or wait there to be taken.
                nodes.kill()
    assert rows == list(range(ROWS))
    assert len(set(seen)) == 2
    assert not nodes.cluster.worker_nodes
    assert len(set(seen[-4:])) == 1


def dying(inputs: tuple[Path, int, int], first: int, last: int) -> list[int]:
    """The block of row 5 kills its worker, as the system does when memory is short: `times`, or while it is large."""
    folder, times, most = inputs
    if first <= 5 < last:
        before = len(list(folder.iterdir()))
        (folder / f"{before}-{first}-{last}").touch(exist_ok=False)
        if before < times and last - first > most:
            os.kill(os.getpid(), signal.SIGKILL)
    return list(range(first, last))


def test_the_block_of_a_killed_worker_runs_again(nodes: Nodes, tmp_path: Path) -> None:
    with nodes.blocks.share((tmp_path, 1, 0)) as shared:
        blocks = list(shared.over(dying, ROWS, 4, "x", silent))
    assert [row for block in blocks for row in block] == list(range(ROWS))
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["0-4-8", "1-4-8"]


def test_a_block_that_kills_every_worker_is_cut_in_two(nodes: Nodes, tmp_path: Path) -> None:
    with nodes.blocks.share((tmp_path, 1_000, 2)) as shared:
        blocks = list(shared.over(dying, ROWS, 4, "x", silent))
    assert [row for block in blocks for row in block] == list(range(ROWS))
    tried = [f"{times}-4-8" for times in range(RETRIES + 1)]
    assert [path.name for path in sorted(tmp_path.iterdir())] == [*tried, f"{RETRIES + 1}-4-6"]


def hungry(inputs: tuple[int, int], first: int, last: int) -> tuple[int, int]:
    """Really use so many MiB a row, with room for `most` of them."""
    each, most = inputs
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (each * most + each // 2) * MIB, before[1]))
    try:
        return first, int(np.ones((last - first, each * MIB), np.uint8)[:, 0].sum())
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def test_a_worker_without_memory_gets_smaller_blocks(nodes: Nodes) -> None:
    with nodes.blocks.share((100, 2)) as shared:
        blocks = list(shared.over(hungry, ROWS, 4, "x", silent))
    assert [row for first, count in blocks for row in range(first, first + count)] == list(range(ROWS))
    assert {count for _, count in blocks} == {2}


def test_a_row_without_enough_memory_is_named(nodes: Nodes) -> None:
    with nodes.blocks.share((400, 0)) as shared, pytest.raises(BlockError, match="scores: row 0 alone does not fit"):
        list(shared.over(hungry, 8, 4, "scores", silent))


def failing(inputs: None, first: int, last: int) -> None:
    raise ValueError(f"row {first}")


def test_what_the_work_raises_is_raised(nodes: Nodes) -> None:
    with nodes.blocks.share(None) as shared, pytest.raises(ValueError, match=r"^row 0$"):
        list(shared.over(failing, 8, 4, "x", silent))


def test_what_a_node_cannot_import_is_said(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("only_here")
    exec("def work(inputs, first, last): return None", vars(module))
    monkeypatch.setitem(sys.modules, "only_here", module)
    expected = r"No module named 'only_here'; every node needs spotify-buddies \d"
    with nodes.blocks.share(None) as shared, pytest.raises(ClusterError, match=expected):
        list(shared.over(module.work, 8, 4, "x", silent))


def large(inputs: np.ndarray, first: int, last: int) -> np.ndarray:
    return np.full(8 * MIB, first, np.uint8)


def held(nodes: Nodes) -> int:
    """Bytes that the object stores of all nodes must keep."""
    everything = [nodes.cluster.head_node, *nodes.cluster.worker_nodes]
    ports = [(node.node_ip_address, node.node_manager_port) for node in everything]
    return sum(node_stats(host, port).store_stats.object_store_bytes_primary_copy for host, port in ports)


def test_the_object_store_holds_the_inputs_and_two_results_for_every_cpu(nodes: Nodes) -> None:
    used, first = [], []
    with nodes.blocks.share(np.zeros(16 * MIB, np.uint8)) as shared:
        for block in shared.over(large, 60, 1, "x", silent):
            first.append(int(block[0]))
            used.append(held(nodes))
    assert first == list(range(60))
    # Sixty results are 480 MiB. One that was let go may still be counted, and each has a header.
    cpus = int(ray.cluster_resources()["CPU"])
    assert 16 * MIB < max(used) <= 16 * MIB + (AHEAD * cpus + 2) * 8 * MIB + MIB


def test_a_stage_that_is_broken_off_leaves_the_cluster_usable(nodes: Nodes) -> None:
    def interrupt(what: str, done: int, total: int, unit: str = "items") -> None:
        if done:
            raise KeyboardInterrupt

    with nodes.blocks.share(np.zeros(MIB, np.uint8)) as shared:
        with pytest.raises(KeyboardInterrupt):
            list(shared.over(large, 60, 1, "x", interrupt))
        assert [int(block[0]) for block in shared.over(large, 3, 1, "x", silent)] == [0, 1, 2]


def test_a_node_with_another_release_is_refused() -> None:
    with pytest.raises(ClusterError, match="install the same everywhere"):
        _run("0.0.0", failing, None, 0, 1)


def test_no_rows_have_no_result(nodes: Nodes) -> None:
    with nodes.blocks.share(None) as shared:
        assert list(shared.over(failing, 0, 4, "x", silent)) == []
