"""Messages of libraries about addresses, without the secrets of the addresses."""

from __future__ import annotations

import re

from spotify_buddies.foundation.addresses.address import MASK, Address

# Up to the last @ of the word: a login that nobody has checked may have several.
_LOGIN = re.compile(r"(://)\S*@")
_VALUE = re.compile(r"((?:password|passwd|secret|token)\s*=\s*)('(?:[^'\\]|\\.)*'|\S*)", re.IGNORECASE)
# A shorter one occurs everywhere by chance, and masking it would leave no message.
_SHORTEST = 3


def scrubbed(text: str, *addresses: Address) -> str:
    """A text with the login of every URL in it left out, and with the passwords of `addresses` wherever they stand."""
    secrets = {secret for address in addresses for secret in address.secrets if len(secret) >= _SHORTEST}
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK).replace(repr(secret)[1:-1], MASK)
    return _VALUE.sub(rf"\g<1>{MASK}", _LOGIN.sub(r"\1", text))
