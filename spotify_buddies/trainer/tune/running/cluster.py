"""Ray for a search: a small cluster of this process's own, or one that runs already."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from spotify_buddies.foundation.process.children import children
from spotify_buddies.foundation.process.environment import environment
from spotify_buddies.foundation.process.local_ray import free_agent_port, quiet, stop_ray
from spotify_buddies.foundation.process.orphans import users_of
from spotify_buddies.foundation.process.private import secret
from spotify_buddies.foundation.process.run_dir import LONGEST_WITHOUT_HAPROXY, RunDir, make
from spotify_buddies.foundation.stages.blocks import processors
from spotify_buddies.trainer.tune.experiment import HOME, TuneError
from spotify_buddies.trainer.tune.session import forget, note, stop_orphans
from spotify_buddies.trainer.tune.settings import TuneSettings

# Data is mapped from files; the store holds the job's few settings.
OBJECT_STORE_BYTES = 80 * 2**20
RUN = "tune-"
ACCELERATOR = "accelerator_type:"
# For 127.0.0.1 Ray takes the machine's own address; this one it takes as it is.
_LOOPBACK = "127.0.0.2"

# Read when Ray is imported or started; Tune's own loggers, console and copies of the directory are not wanted.
_SWITCHES = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Any free port, which is the same for every Ray of the machine otherwise.
    "AUTOSCALER_METRIC_PORT": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}
# The channels between Ray's processes unpickle what they are sent: only from those who hold the token.
_TOKEN = "ray-token"  # noqa: S105 - a file name


@contextmanager
def cluster(state_dir: Path, address: str | None) -> Iterator[Mapping[str, float]]:
    """Connect to Ray until the block ends; yields what the cluster has, by Ray's names of resources.

    address: unset starts a cluster on this machine, without dashboard, and ends all its processes afterwards; "auto"
    or host:port uses one that runs. The caller holds the lock. TuneError: Ray does not come up or does not answer.
    """
    with environment(_SWITCHES):
        if address is None:
            stop_orphans(state_dir)
            with environment(_secured(state_dir)), _local(state_dir) as resources:
                yield resources
        else:
            with _remote(address) as resources:
                yield resources


def trial_resources(settings: TuneSettings, available: Mapping[str, float], *, gpu: bool) -> dict[str, float]:
    """What a trial asks Ray for, by Ray's names. TuneError: the cluster does not have it even when it is idle."""
    wanted = {"CPU": settings.cpus}
    if gpu:
        wanted["GPU"] = settings.gpus
    kind = f"{ACCELERATOR}{settings.accelerator_type}"
    if settings.accelerator_type and kind in available:
        wanted[kind] = 0.001  # Ray's way to ask for a node of a kind without using it up
    for name, setting in (("CPU", "cpus"), ("GPU", "gpus")):
        if (amount := wanted.get(name, 0)) > available.get(name, 0):
            raise TuneError(
                f"a trial needs {amount:g} {name}, but the cluster has {available.get(name, 0):g}; "
                f"lower [tune] {setting}"
            )
    return wanted


@contextmanager
def _local(state_dir: Path) -> Iterator[Mapping[str, float]]:
    import ray

    others = children()
    run = make(RUN, LONGEST_WITHOUT_HAPROXY)
    note(state_dir, run.path, [])  # killed from here on, what has started is found by its open files
    try:
        _start(run)
        note(state_dir, run.path, children() - others)
        yield ray.cluster_resources()
    finally:
        with quiet(errors=False):
            stop_ray(others, lambda started: _shutdown(run, started))
        shutil.rmtree(run.path, ignore_errors=True)
        forget(state_dir)


def _shutdown(run: RunDir, started: set[psutil.Process]) -> None:
    import ray

    try:
        ray.shutdown()
    finally:
        started |= users_of(run.path)


def _start(run: RunDir) -> None:
    import ray

    try:
        with quiet(errors=False), free_agent_port():
            ray.init(
                address="local",
                _node_ip_address=_LOOPBACK,
                include_dashboard=False,
                num_cpus=processors(),
                object_store_memory=OBJECT_STORE_BYTES,
                _temp_dir=str(run.public),
                logging_level=logging.ERROR,
                log_to_driver=False,
            )
    except (ConnectionError, TimeoutError, RuntimeError) as error:
        raise TuneError(f"Ray did not start: {error}") from error


@contextmanager
def _remote(address: str) -> Iterator[Mapping[str, float]]:
    import ray

    try:
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise TuneError(f"no Ray cluster at {address!r}: {str(error).splitlines()[0]}; leave out --ray") from error
    try:
        yield ray.cluster_resources()
    finally:
        ray.shutdown()


def _secured(state_dir: Path) -> dict[str, str]:
    """Ray's token for this state directory."""
    path = secret((state_dir / HOME / _TOKEN).absolute())
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(path)}
