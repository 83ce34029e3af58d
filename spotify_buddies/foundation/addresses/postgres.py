"""Postgres: URLs and key=value strings as libpq reads them.

https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote

from spotify_buddies.foundation.addresses.address import MASK, Address, AddressError
from spotify_buddies.foundation.addresses.url import MOST_PORT, split

SCHEMES = ("postgresql", "postgres")
SECRET = frozenset({"password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"})
_PLAIN = (
    "service", "servicefile", "user", "passfile", "channel_binding", "connect_timeout", "dbname", "host",
    "hostaddr", "port", "client_encoding", "options", "application_name", "fallback_application_name",
    "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout", "sslmode",
    "sslnegotiation", "sslcompression", "sslcert", "sslkey", "sslcertmode", "sslrootcert", "sslcrl",
    "sslcrldir", "sslsni", "requirepeer", "require_auth", "min_protocol_version", "max_protocol_version",
    "ssl_min_protocol_version", "ssl_max_protocol_version", "gssencmode", "krbsrvname", "gsslib",
    "gssdelegation", "replication", "target_session_attrs", "load_balance_hosts", "oauth_issuer",
    "oauth_client_id", "oauth_scope", "sslkeylogfile",
)  # fmt: skip
# What libpq takes. It repeats a key that it does not know, which may be the rest of a password.
KNOWN = SECRET.union(_PLAIN)
SHOWN = KNOWN - SECRET
# No escaped blank outside quotes, which libpq takes: a password that ends in a backslash would swallow the next pair.
_PAIR = re.compile(r"(?P<key>[a-z_]+)=(?:'(?P<quoted>(?:[^'\\]|\\.)*)'|(?P<plain>(?:[^\s'\\]|\\\S)+))", re.DOTALL)


def parse(text: str) -> Address:
    """A URL, or key=value pairs with blanks between them. AddressError."""
    scheme, separator, _ = text.partition("://")
    if separator and scheme in SCHEMES:
        return _parse_url(text)
    return _parse_pairs(text)


def _parse_url(text: str) -> Address:
    parts = split(text)
    given = dict(parts.query)
    _check({key: unquote(value) for key, value in given.items()})
    secrets = [parts.password or "", *(value for key, value in given.items() if key in SECRET)]
    named = _named({key: unquote(value) for key, value in given.items()})
    return Address(
        parts.scheme,
        _reached(named or parts.places),
        parts.shown(SHOWN, lone_user=True),
        frozenset(filter(None, (*secrets, *map(unquote, secrets)))),
    )


def _parse_pairs(text: str) -> Address:
    """Libpq takes blanks around = as well; here they are refused, for a forgotten value takes the next pair for one."""
    given: dict[str, str] = {}
    shown, written, cursor = [], [], len(text) - len(text.lstrip())
    while cursor < len(text):
        match = _PAIR.match(text, cursor)
        if match is None or (match.end() < len(text) and not text[match.end()].isspace()):
            raise AddressError(
                "it is neither a URL nor key=value pairs; quote a value with blanks ('A B'), with \\ before ' and \\"
            )
        key, raw = match["key"], match["quoted"] if match["plain"] is None else match["plain"]
        if key in given:
            raise AddressError("a key appears twice; quote a value with blanks as 'A B'")
        given[key] = re.sub(r"\\(.)", r"\1", raw, flags=re.DOTALL)
        hidden = key in SECRET or ("@" in raw and key != "user")
        shown.append(f"{key}={MASK}" if hidden else match.group())
        written += [raw, given[key]] if hidden else []
        cursor = match.end() + len(text[match.end() :]) - len(text[match.end() :].lstrip())
    if not given:
        raise AddressError("it is empty")
    _check(given)
    return Address("", _reached(_named(given)), " ".join(shown), frozenset(filter(None, written)))


def _check(given: dict[str, str]) -> None:
    if any(key not in KNOWN and (key, value) != ("ssl", "true") for key, value in given.items()):
        raise AddressError("it has a key that Postgres does not know; in a value & is %26, quote blanks as 'A B'")
    if "\0" in "".join(given.values()):
        raise AddressError("it has a zero byte")
    ports = given.get("port", "").split(",")
    if not all(re.fullmatch("[0-9]{0,5}", port) and int(port or 0) <= MOST_PORT for port in ports):
        raise AddressError(f"its port is not a number up to {MOST_PORT:,}")
    if "://" in (name := given.get("dbname", "")) or "=" in name:
        raise AddressError("its dbname is an address by itself")


def _named(given: dict[str, str]) -> tuple[tuple[str, int | None], ...]:
    """The hosts that key=value pairs name, which go before those of a URL."""
    hosts = (given.get("hostaddr") or given.get("host") or "").split(",")
    ports = (given.get("port") or "").split(",")
    ports = ports if len(ports) == len(hosts) else ports[:1] * len(hosts)
    return tuple((host, int(port) if port else None) for host, port in zip(hosts, ports, strict=True) if host)


def _reached(places: Iterable[tuple[str, int | None]]) -> tuple[tuple[str, int | None], ...]:
    """Those that are not directories of sockets."""
    return tuple((host, port) for host, port in places if not host.startswith(("/", "@")))
