"""Listeners who were erased, known by keyed hashes: what `buddies user erased --hashes` writes."""

from __future__ import annotations

import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from spotify_buddies.foundation.process.errors import LaunchError
from spotify_buddies.foundation.text.pseudonym import key_name, pseudonym, read_key
from spotify_buddies.trainer.dataset.errors import DataError
from spotify_buddies.trainer.dataset.reading.sources import Sources

_MAKE = "make it with `buddies user erased --hashes FILE`"


@dataclass(frozen=True)
class Erased:
    """A container of ids: `user_id in erased`. key: of the hashes, 32 bytes each; see foundation/text/pseudonym.py."""

    key: bytes
    hashes: frozenset[bytes]

    def __contains__(self, user_id: object) -> bool:
        return isinstance(user_id, str) and pseudonym(self.key, user_id) in self.hashes

    def __len__(self) -> int:
        return len(self.hashes)

    @property
    def digest(self) -> str:
        """Differs where other listeners are erased, and tells nothing of them: 32 hexadecimal digits."""
        return hmac.digest(self.key, b"".join(sorted(self.hashes)), "sha256").hex()[:32]

    def without_exports(self, sources: Sources) -> Sources:
        """The sources without the exports of these listeners, whose paths would name them."""
        return replace(sources, exports=tuple(export for export in sources.exports if export.user not in self))


def read_erased(path: Path, key_file: Path) -> Erased:
    """The listeners in a file of hashes, under the key that replicas know them by.

    DataError: it is no such file, there is no key, or a hash is of another key: its listener would stay unrecognised.
    """
    try:
        listeners = json.loads(path.read_text(encoding="utf-8"))["listeners"]
        named = [(bytes.fromhex(one["listener"]), bytes.fromhex(one["key"])) for one in listeners]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(str(path), "", f"no document of hashes ({_said(error)})", _MAKE) from error
    return erased_of(named, key_file, str(path))


def erased_of(named: Sequence[tuple[bytes, bytes]], key_file: Path, source: str) -> Erased:
    """The listeners of these hashes, each with the name of its key. source: where they are from, for errors.

    DataError as read_erased.
    """
    if not key_file.is_file():
        raise DataError(str(key_file), "", "no key of the hashes", "name serve.erasure_key_file with --erasure-key")
    try:
        key = read_key(key_file.parent, key_file)
    except (OSError, LaunchError) as error:
        raise DataError(str(key_file), "", str(error)) from error
    for number, (listener, of) in enumerate(named):
        if len(listener) != 32:
            raise DataError(source, f"listeners[{number}]", f"a hash of {len(listener)} bytes, not 32", _MAKE)
        if of != key_name(key):
            raise DataError(
                source, f"listeners[{number}]", f"its hash is of another key than {key_file}",
                "name the key that the service used with --erasure-key",
            )  # fmt: skip
    return Erased(key, frozenset(listener for listener, _ in named))


def _said(error: Any) -> str:
    return f"no {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
