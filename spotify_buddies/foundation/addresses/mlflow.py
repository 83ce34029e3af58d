"""MLflow: servers, databases and folders. https://mlflow.org/docs/latest/self-hosting/architecture/backend-store/"""

from __future__ import annotations

import re
from urllib.parse import unquote

from spotify_buddies.foundation.addresses.address import MASK, Address, AddressError
from spotify_buddies.foundation.addresses.url import split

_SERVERS = {"http": 80, "https": 443}
_DATABASES = {"postgresql": 5432, "postgres": 5432, "mysql": 3306, "mssql": 1433, "sqlite": None}
_NO_SECRET = re.compile(r"databricks(-uc)?(://[\w.:-]*)?|arn:[\w:/.-]+")


def parse(text: str) -> Address:
    """A server, a database as SQLAlchemy names it, or a folder, file: or a path. AddressError."""
    if text.startswith(("sqlite:", "file:")):
        return _parse_local(text)
    if "://" not in text:
        return _parse_folder(text)
    if _NO_SECRET.fullmatch(text):
        return Address(text.partition(":")[0], (), text)
    return _parse_remote(text, re.split(r"[+:]", text, maxsplit=1)[0].lower())


def _parse_remote(text: str, base: str) -> Address:
    if base not in (_SERVERS | _DATABASES):
        raise AddressError(
            "it begins with none of http, https, sqlite, postgresql, mysql, mssql (+driver), file and databricks"
        )
    parts = split(text)
    if base in _SERVERS and not parts.places:
        raise AddressError("it names no host")
    default = (_SERVERS | _DATABASES)[base]
    secrets = [parts.password or (parts.user or ""), *(word for pair in parts.query for word in pair)]
    secrets.append("&".join("=".join(pair) for pair in parts.query))
    return Address(
        parts.scheme,
        tuple((host, port or default) for host, port in parts.places),
        parts.shown(frozenset(), lone_user=False),
        frozenset(filter(None, (*secrets, *map(unquote, secrets)))),
    )


def _parse_local(text: str) -> Address:
    """A file has no login; what its path holds is its name."""
    scheme, _, rest = text.partition(":")
    if rest.startswith("//") and not rest.startswith("///") and rest != "//":
        raise AddressError(f"a {scheme}: address has three slashes and a path, and no host")
    path, mark, _ = rest.partition("?")
    return Address(scheme, (), f"{scheme}:{path}{mark}{MASK if mark else ''}")


def _parse_folder(text: str) -> Address:
    if _NO_SECRET.fullmatch(text) or text.startswith(("/", "./", "../", "~")) or not re.search(r"[@:=]", text):
        return Address("", (), text)
    raise AddressError("it is neither a URL nor a path; a path with such characters begins with / or ./")
