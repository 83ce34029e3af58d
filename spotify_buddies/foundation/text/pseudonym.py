"""Keyed hashes in the place of ids: who has the key can tell whether an id is meant, and nobody else can.

HMAC-SHA256 (RFC 2104). Not anonymous: ids can be guessed one by one with the key, so it is kept apart from the hashes.
"""

from __future__ import annotations

import hmac
from pathlib import Path

from spotify_buddies.foundation.process.errors import LaunchError
from spotify_buddies.foundation.process.private import secret

# In the state directory, for the hashes of erased listeners.
KEY_FILE = "erasure-key"
NAME_BYTES = 8
# No id holds a control character, so no pseudonym is a key's name.
_NAME = b"\0which key this is"


def pseudonym(key: bytes, user_id: str) -> bytes:
    """The 32 bytes that stand for an id."""
    return hmac.digest(key, user_id.encode(errors="surrogatepass"), "sha256")


def key_name(key: bytes) -> bytes:
    """8 bytes that tell keys apart and say nothing of them."""
    return hmac.digest(key, _NAME, "sha256")[:NAME_BYTES]


def read_key(state_dir: Path, file: Path | None = None) -> bytes:
    """The key in `file`, else the one of the state directory, made on first use.

    OSError: `file` cannot be read. LaunchError: it is shorter than 16 bytes. NotPrivate: another user owns the one of
    the state directory.
    """
    path = file if file is not None else secret(state_dir / KEY_FILE)
    key = path.read_bytes().strip()
    if len(key) < 16:
        raise LaunchError(
            f"{path} holds {len(key)} bytes, a key has at least 16; put 64 random hexadecimal digits there"
        )
    return key
