"""Joining a Ray cluster that runs, or starting one on this machine for as long as it is needed."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path

import psutil

from pairing.blocks import Blocks, processors
from pairing.processes import children, stop_all
from pairing.signals import shielded, unwinding
from trainer.cluster.errors import ClusterError

AUTO = "auto"

# Blocks that were too large are cut in two; Ray would run them again as they are, for ever.
_ALWAYS = {"RAY_task_oom_retries": "0", "RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
# Ray puts a socket 70 bytes below its directory, and a socket's path has at most 107.
_LONGEST_TEMP = 30


@contextmanager
def cluster(address: str) -> Iterator[Blocks]:
    """Workers of a Ray cluster, for one block of code.

    address "auto": the cluster of RAY_ADDRESS, else the one that `ray start` left running on this machine, else one of
    our own with a CPU for each processor, bound to loopback, closed by a token and ended with the block of code.
    Otherwise host:port of a cluster that this machine is a node of. The nodes need the same release of this package,
    and no file system in common. ClusterError: Ray is not installed, or the cluster does not answer.
    """
    if importlib.util.find_spec("ray") is None:
        raise ClusterError("--ray needs Ray, which is not installed; install 'spotify-buddies[cluster]'")
    with ExitStack() as stack:
        handlers = stack.enter_context(unwinding())
        if address == AUTO and not _announced():
            _start(stack)
        else:
            _join(stack, address)
        handlers()  # Ray puts in its own, in C, that end the process at once
        from trainer.cluster.blocks import RayBlocks

        yield RayBlocks()


def _announced() -> bool:
    """Whether a cluster runs that "auto" stands for.

    Ray's own search takes any cluster of this machine, a running recommendation service among them.
    """
    if os.environ.get("RAY_ADDRESS"):
        return True
    from ray._private.utils import read_ray_address

    host, _, port = (read_ray_address() or "").rpartition(":")
    if not port.isdecimal():
        return False
    try:
        with socket.create_connection((host, int(port)), timeout=1.0):
            return True
    except OSError:
        return False  # one that was killed, and could not take its address back


def _join(stack: ExitStack, address: str) -> None:
    stack.enter_context(_variables(_ALWAYS))
    _initialise(address, {"address": None if address == AUTO else address})
    stack.callback(shielded, _leave)


def _start(stack: ExitStack) -> None:
    temp = _temp_dir()
    stack.callback(shutil.rmtree, temp, ignore_errors=True)
    token = temp / "token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    # Ray's processes listen on all interfaces, whatever address they are given, and run what they are sent.
    stack.enter_context(_variables({**_ALWAYS, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}))
    others = children()
    stack.callback(shielded, lambda: _stop(others))
    _initialise(
        AUTO,
        {
            "address": "local",
            "_node_ip_address": "127.0.0.1",
            "include_dashboard": False,
            "_temp_dir": str(temp),
            "num_cpus": processors(),
        },
    )


def _initialise(address: str, options: Mapping[str, object]) -> None:
    import ray
    from ray.exceptions import RayError

    logging.getLogger("ray").setLevel(logging.ERROR)
    try:
        with _quiet():
            ray.init(logging_level=logging.ERROR, log_to_driver=False, **options)
    except (RayError, RuntimeError, ConnectionError, ValueError, TimeoutError) as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise ClusterError(f"--ray {address}: no Ray cluster to work with: {first}") from error


def _stop(others: set[psutil.Process]) -> None:
    """End Ray and every process that came with it; `others` are not its."""
    started = children() - others
    try:
        _leave()
    finally:
        # Ray leaves its agents to notice by themselves, half a minute later, and they go on writing until then.
        stop_all(started | (children() - others))


def _leave() -> None:
    import ray

    with _quiet():
        ray.shutdown()


def _temp_dir() -> Path:
    base = tempfile.gettempdir()
    parent = base if len(base) <= _LONGEST_TEMP - len("/bray-12345678") else "/tmp"  # noqa: S108 - see _LONGEST_TEMP
    return Path(tempfile.mkdtemp(prefix="bray-", dir=parent))


@contextmanager
def _variables(wanted: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables of Ray's; it reads them again, which it does by itself only when it is imported."""
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        _read_again()
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        _read_again()


def _read_again() -> None:
    raylet = importlib.import_module("ray._raylet")
    raylet.Config.initialize("")
    raylet.AuthenticationTokenLoader.instance().reset_cache()


@contextmanager
def _quiet() -> Iterator[None]:
    """Ray's driver prints the cluster's error messages to standard output; the same stand in its logs."""
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        yield
