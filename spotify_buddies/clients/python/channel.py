"""Options of the channel to an address, and the deadline of its calls."""

from __future__ import annotations

import ipaddress
import math

# Thirty years, well within what gRPC can hold; beyond it there might as well be no deadline.
LONGEST_S = 1e9

_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_receive_message_length", 64 * 2**20),
    # Retries are ours: gRPC's own would not honour the server's RetryInfo.
    ("grpc.enable_retries", 0),
)
# gRPC sends even calls to this machine through http_proxy unless no_proxy names it.
NO_PROXY: tuple[tuple[str, int], ...] = (("grpc.enable_http_proxy", 0),)


def channel_options(address: str) -> tuple[tuple[str, int], ...]:
    """The options of the clients' channels."""
    return (*_OPTIONS, *direct(address))


def direct(address: str) -> tuple[tuple[str, int], ...]:
    """The option that leaves out http_proxy, for an address on this machine; none for others."""
    return NO_PROXY if is_local(address) else ()


def is_local(address: str) -> bool:
    """Whether every place of a gRPC address is this machine: loopback, localhost, a socket, or 0.0.0.0 and ::."""
    scheme, colon, rest = address.partition(":")
    if colon and scheme in ("unix", "unix-abstract", "vsock"):
        return True
    named = colon and scheme in ("dns", "ipv4", "ipv6", "passthrough")
    places = (rest.rpartition("/")[2] if named else address).split(",")
    return all(_is_here(_host(place)) for place in places)


def deadline_s(timeout_s: float) -> float | None:
    """The timeout as gRPC takes it: None, no deadline, for infinity. ValueError: it is below 0, or not a number."""
    if math.isnan(timeout_s) or timeout_s < 0:
        raise ValueError(f"timeout_s must be 0 or more seconds, or infinity for no deadline; got {timeout_s}")
    return None if timeout_s > LONGEST_S else timeout_s


def _host(place: str) -> str:
    if place.startswith("["):
        return place[1:].partition("]")[0]
    return place if place.count(":") > 1 else place.partition(":")[0]


def _is_here(host: str) -> bool:
    name = host.lower().removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ip = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return ip.is_loopback or ip.is_unspecified
