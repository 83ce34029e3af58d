"""Checks of arguments that Python would otherwise take apart in silence: one string is a sequence of characters."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeVar

Item = TypeVar("Item")

# https://github.com/grpc/grpc/blob/master/doc/naming.md; anything else before :// gRPC would look up as a host's name.
_SCHEMES = ("dns", "ipv4", "ipv6", "unix", "unix-abstract", "vsock", "xds", "passthrough")


def text(name: str, value: str) -> str:
    """The argument itself. TypeError: it is no string, as a number is not."""
    if not isinstance(value, str):
        raise TypeError(f"{name} is {value!r} ({type(value).__name__}); ids are strings")
    return value


def texts(name: str, values: Iterable[str]) -> list[str]:
    """The strings of an argument. TypeError: one string alone, no iterable, or an item that is not a string."""
    return items(name, values, str, "strings")


def items(name: str, values: Iterable[Item], kind: type[Item], plural: str) -> list[Item]:
    """The items of an argument, each of a kind; TypeError names the argument and what to pass."""
    if isinstance(values, kind):
        raise TypeError(f"{name} takes a list of {plural}, and got one alone; pass [{values!r}]")
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise TypeError(f"{name} takes a list of {plural}, and got {values!r}")
    listed = list(values)
    for index, value in enumerate(listed):
        if not isinstance(value, kind):
            raise TypeError(f"{name}[{index}] is {value!r} ({type(value).__name__}); {name} takes {plural}")
    return listed


def check_address(address: str) -> None:
    """TypeError: an address that is no text. ValueError: a URL, or nothing. A host that is not there shows later."""
    given: object = address
    if not isinstance(given, str):
        raise TypeError(f"the address is {given!r} ({type(given).__name__}); a gRPC address is host:port as text")
    scheme, separator, rest = address.partition("://")
    if separator and scheme.lower() not in _SCHEMES:
        # Not the value itself: what comes before the last @ is a login.
        host = re.split(r"[/?#]", rest.rpartition("@")[2])[0] or "localhost:9000"
        raise ValueError(f"the address is a URL ({scheme}); a gRPC address is host:port, such as {host!r}")
    if not address.strip():
        raise ValueError("the address is empty; a gRPC address is host:port, as 'localhost:9000'")
