"""A Ray cluster for a block of code: one that runs is joined, or one is started on this machine."""

from __future__ import annotations

import importlib
import logging
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stdout
from typing import Any

from spotify_buddies.foundation.process.children import children
from spotify_buddies.foundation.process.environment import environment
from spotify_buddies.foundation.process.local_ray import announced_address, free_agent_port, quiet, stop_ray
from spotify_buddies.foundation.process.private import secret
from spotify_buddies.foundation.process.run_dir import LONGEST_WITHOUT_HAPROXY, run_dir
from spotify_buddies.foundation.process.signals import shielded, unwinding
from spotify_buddies.foundation.stages.blocks import Blocks, processors
from spotify_buddies.foundation.text.lines import first_line
from spotify_buddies.trainer.cluster.errors import ClusterError

AUTO = "auto"
RUN = "bray-"

# Blocks that were too large are cut in two; Ray would run them again as they are, for ever.
_ALWAYS = {
    "RAY_task_oom_retries": "0",
    # Of blocks that nobody waits for any more; the first error is raised.
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Any free port, which is the same for every Ray of the machine otherwise.
    "AUTOSCALER_METRIC_PORT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


@contextmanager
def cluster(address: str) -> Iterator[Blocks]:
    """Workers of a Ray cluster, for one block of code.

    address "auto": the cluster of RAY_ADDRESS, else the one that `ray start` left running on this machine, else one of
    our own with a CPU for each processor, closed by a token and ended with the block of code. Otherwise host:port of a
    cluster that this machine is a node of. The nodes need the same release of this package, and no file system in
    common. Ray's driver prints what happens to nodes on standard output, which goes to standard error meanwhile.
    ClusterError: Ray is not installed, or the cluster does not answer.
    """
    try:
        importlib.import_module("ray")
    except ModuleNotFoundError as error:
        raise ClusterError("--ray needs Ray, which is not installed; install 'spotify-buddies[cluster]'") from error
    with ExitStack() as stack:
        handlers = stack.enter_context(unwinding())
        running = _find(address)
        if running is None:
            _start(stack)
        else:
            _join(stack, running, announced=address == AUTO and not os.environ.get("RAY_ADDRESS"))
        handlers()  # Ray puts in its own, in C, that end the process at once
        stack.enter_context(redirect_stdout(sys.stderr))
        from spotify_buddies.trainer.cluster.blocks import RayBlocks

        yield RayBlocks()


def _find(address: str) -> str | None:
    """host:port of the cluster to join; None: start one. ClusterError: it is not of that form, or does not answer."""
    named = os.environ.get("RAY_ADDRESS", "") if address == AUTO else address
    if named in ("", AUTO):
        # Not Ray's own search, which takes any cluster of this machine, a running recommendation service among them.
        announced = announced_address()
        # One that was killed could not take its address back.
        return announced if _answers(announced) else None
    if named == "local":
        return None
    if not named.rpartition(":")[2].isdecimal() or "://" in named:
        raise ClusterError(
            f"--ray: {named!r} is neither {AUTO} nor HOST:PORT of a cluster that this machine belongs to"
        )
    if not _answers(named):
        raise ClusterError(f"--ray: nothing answers at {named}; start a cluster with `ray start --head`, or use {AUTO}")
    return named


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=5.0):
            return True
    except (OSError, ValueError):
        return False


def _join(stack: ExitStack, address: str, *, announced: bool) -> None:
    stack.enter_context(_variables(_ALWAYS))
    if announced and "RAY_AUTH_MODE" not in os.environ and _tokens().has_token(ignore_auth_mode=True):
        # `ray start` closes a cluster by the user's token where there is one, and "auto" opens it by that.
        stack.enter_context(_variables({"RAY_AUTH_MODE": "token"}))
    _initialise(address, {"address": address})
    stack.callback(shielded, _leave)


def _start(stack: ExitStack) -> None:
    run = stack.enter_context(run_dir(RUN, LONGEST_WITHOUT_HAPROXY))
    token = secret(run.path / "token")
    # Ray's processes listen on all interfaces, whatever address they are given, and run what they are sent.
    ours = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), "RAY_AUTH_TOKEN": None}
    stack.enter_context(_variables({**_ALWAYS, **ours}))
    others = children()
    stack.callback(shielded, lambda: stop_ray(others, lambda _: _leave()))
    _initialise(
        "local",
        {
            "address": "local",
            "_node_ip_address": "127.0.0.1",
            "include_dashboard": False,
            "_temp_dir": str(run.public),
            "num_cpus": processors(),
        },
    )


def _initialise(address: str, options: Mapping[str, object]) -> None:
    import ray
    from ray.exceptions import RayError

    try:
        with quiet(), free_agent_port():
            ray.init(logging_level=logging.ERROR, log_to_driver=False, **options)
    except (RayError, RuntimeError, ConnectionError, ValueError, TimeoutError) as error:
        first = first_line(error)
        raise ClusterError(f"--ray: no Ray cluster at {address}: {first}") from error


def _leave() -> None:
    import ray

    with quiet():
        ray.shutdown()


@contextmanager
def _variables(wanted: Mapping[str, str | None]) -> Iterator[None]:
    """Set environment variables of Ray's, None: unset. It reads them again; by itself it does when it is imported."""
    try:
        with environment(wanted):
            _read_variables()
            yield
    finally:
        _read_variables()


def _read_variables() -> None:
    importlib.import_module("ray._raylet").Config.initialize("")
    _tokens().reset_cache()


def _tokens() -> Any:
    return importlib.import_module("ray._raylet").AuthenticationTokenLoader.instance()
