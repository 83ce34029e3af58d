"""Redis: URLs as redis-py reads them. https://redis.readthedocs.io/en/stable/connections.html"""

from __future__ import annotations

import re
from urllib.parse import unquote

from spotify_buddies.foundation.addresses.address import Address, AddressError
from spotify_buddies.foundation.addresses.url import Parts, split

SCHEMES = ("redis", "rediss", "unix")
SECRET = frozenset({"password", "ssl_password"})
_SECONDS = frozenset(("socket_timeout", "socket_connect_timeout"))
_COUNTS = frozenset(("db", "health_check_interval", "max_connections", "protocol", "ssl_min_version"))
_TLS = frozenset(
    (
        "ssl_keyfile", "ssl_certfile", "ssl_cert_reqs", "ssl_ca_certs", "ssl_ca_data", "ssl_ca_path",
        "ssl_check_hostname", "ssl_password", "ssl_min_version", "ssl_ciphers", "ssl_validate_ocsp",
        "ssl_validate_ocsp_stapled",
    )
)  # fmt: skip
_PLAIN = frozenset(("username", "password", "retry_on_timeout", "socket_keepalive", "client_name", "encoding"))
# redis-py makes a TypeError that repeats any other key, which may be the rest of a password.
KNOWN = _SECONDS | _COUNTS | _TLS | _PLAIN


def parse(text: str) -> Address:
    """A redis://, rediss:// or unix:// address. AddressError."""
    parts = split(text)
    if parts.scheme not in SCHEMES:
        raise AddressError(f"it begins with none of {', '.join(f'{scheme}://' for scheme in SCHEMES)}")
    given = dict(parts.query)
    _check(parts, given)
    secrets = [parts.password or "", *(value for key, value in given.items() if key in SECRET)]
    if parts.password is None:
        secrets.append(parts.user or "")
    return Address(
        parts.scheme,
        parts.places,
        parts.shown(KNOWN - SECRET, lone_user=False),
        frozenset(filter(None, (*secrets, *map(unquote, secrets)))),
    )


def _check(parts: Parts, given: dict[str, str]) -> None:
    unix = parts.scheme == "unix"
    if (unix and parts.places) or len(parts.authority.split(",")) > 1:
        raise AddressError("a unix:// address has no host, and the others have one")
    if not unix and not re.fullmatch(r"(/[0-9]*)?/?", parts.path):
        raise AddressError("after the host it may have the number of a database only")
    known = KNOWN if parts.scheme == "rediss" else KNOWN - _TLS
    if not known >= given.keys():
        raise AddressError("it has a key unknown to Redis, or one of TLS without rediss://; in a value & is %26")
    whole = all(re.fullmatch("[0-9]{1,9}", given[key]) for key in _COUNTS & given.keys())
    if not whole or not all(re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?", given[key]) for key in _SECONDS & given.keys()):
        raise AddressError("a value after the ? is not the number that it must be")
    if any("+" in given[key] for key in SECRET & given.keys()):
        raise AddressError("a password after the ? has a +, which means a blank there; + itself is %2B")
