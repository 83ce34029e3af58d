"""A URL with a login, read by rules so strict that every library reads the same in it.

An `@`, `/`, `?` or `#` in a password ends the password for one library and not for the next, and what comes behind it
is then a host or a port, which errors repeat. Such an address is refused.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import unquote

from spotify_buddies.foundation.addresses.address import MASK, AddressError

MOST_PORT = 65_535
_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(\?(?P<query>[^#]*))?")
_PLACE = re.compile(
    r"(?P<host>\[[0-9A-Fa-f:.]+(%25[\w.~-]+)?\]|([A-Za-z0-9._~-]|%[0-9A-Fa-f]{2})*)(:(?P<port>[0-9]{0,5}))?"
)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})|%00")
SECRET_KEYS = frozenset({"password", "sslpassword", "ssl_password"})
_RESERVED = re.compile(r"[@/?#\[\]\\]")


@dataclass(frozen=True)
class Parts:
    """A URL taken apart; everything is still written as in the URL. user, password: None where there is none."""

    scheme: str
    user: str | None
    password: str | None
    places: tuple[tuple[str, int | None], ...]
    authority: str
    path: str
    query: tuple[tuple[str, str], ...]

    def shown(self, known: frozenset[str], *, lone_user: bool) -> str:
        """The URL without its password and without query values that are not `known` to be harmless.

        lone_user: a user without a password is shown too; elsewhere it may be a token.
        """
        login = ""
        if self.user is not None:
            # With an empty password the user may be a token, as in https://TOKEN:@host.
            user = self.user if self.password or lone_user else MASK
            login = f"{user}{'' if self.password is None else f':{MASK}'}@"
        query = "&".join(_pair(key, value, known) for key, value in self.query)
        return f"{self.scheme}://{login}{self.authority}{self.path}{'?' if query else ''}{query}"


def _pair(key: str, value: str, known: frozenset[str]) -> str:
    """A key that nobody knows may be a part of a password by itself."""
    if key not in known:
        return f"{key}={MASK}" if key in SECRET_KEYS else MASK
    return f"{key}={value if '@' not in unquote(value) else MASK}"


def split(text: str) -> Parts:
    """Take a URL apart. AddressError: it could be read in two ways, or libraries would refuse it and repeat it."""
    if any(not letter.isprintable() or letter.isspace() for letter in text):
        raise AddressError("a blank or a control character in it must be written as %20 and so on")
    match = _URL.fullmatch(text)
    if match is None:
        raise AddressError("it is not of the form scheme://place, or has a # that must be written as %23")
    scheme, authority, path, query = match["scheme"], match["authority"], match["path"], match["query"] or ""
    login, end, authority = authority.rpartition("@")
    # Without any login a path may hold an @, which nobody takes for the end of one.
    if "@" in login or ("@" in path + query and not (path.startswith("/") and not end and not authority)):
        raise AddressError("it has an @ that does not end the login, where it must be written as %40")
    if _BAD_ESCAPE.search(login + path + query):
        raise AddressError("it has a % that does not begin an escape; % itself is %25")
    user, colon, password = login.partition(":")
    _check_login(user + password)
    return Parts(
        scheme,
        user if end else None,
        password if colon else None,
        _places(authority),
        authority,
        path,
        _pairs(query),
    )


def _check_login(text: str) -> None:
    """Letters of other scripts are taken; what normalisation may turn into a reserved character is not."""
    if _RESERVED.search(text):
        raise AddressError("its login has a reserved character that must be escaped, such as [ as %5B or \\ as %5C")
    if not all(letter.isascii() or unicodedata.normalize("NFKC", letter).isalnum() for letter in text):
        raise AddressError("its login has a character that is neither ASCII nor a letter and must be percent-encoded")


def _places(authority: str) -> tuple[tuple[str, int | None], ...]:
    places = []
    for text in authority.split(","):
        match = _PLACE.fullmatch(text)
        if match is None or int(match["port"] or 0) > MOST_PORT:
            raise AddressError("a host or port in it is none; in a password : / ? # @ must be escaped")
        if host := unquote(match["host"]).strip("[]"):
            places.append((host, int(match["port"]) if match["port"] else None))
    return tuple(places)


def _pairs(query: str) -> tuple[tuple[str, str], ...]:
    if not query:
        return ()
    pairs = [pair.partition("=") for pair in query.split("&")]
    if any(not equals or not key or "=" in value for key, equals, value in pairs):
        raise AddressError("after the ? it must have key=value, joined by &; in a value & is %26 and = is %3D")
    if len({key for key, *_ in pairs}) < len(pairs):
        raise AddressError("a key appears twice after the ?; in a value & is %26")
    return tuple((key, value) for key, _, value in pairs)
