"""A checked address, and its form for people, without its secrets."""

from __future__ import annotations

from dataclasses import dataclass, field

MASK = "***"


class AddressError(ValueError):
    """The address cannot be used, or could be read in two ways; the message says which rule it breaks, never a part
    of it.
    """


@dataclass(frozen=True)
class Address:
    """A checked address. places: each host with its port, None where the address names none; sockets and files are no
    places. shown: the address for people, without passwords. secrets: the passwords, as they are written and as they
    are meant.
    """

    scheme: str
    places: tuple[tuple[str, int | None], ...]
    shown: str
    secrets: frozenset[str] = field(default=frozenset(), repr=False)
