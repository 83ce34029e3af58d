"""TLS and the token of the calls, as a client process gets them: over its standard input, never in a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import grpc

from spotify_buddies.clients.command.access import credentials
from spotify_buddies.clients.command.settings import ClientSettings
from spotify_buddies.clients.python import secure


@dataclass(frozen=True)
class Access:
    """ca, certificate, key: PEM files as in `secure`. token: sent with each call."""

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    token: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, settings: ClientSettings, ca: Path | None) -> Self | None:
        """As the [client] section says, and --ca before it; None: plaintext. SettingsError as `credentials`."""
        if credentials(settings, ca) is None:
            return None
        token = settings.token.get_secret_value() if settings.token else None
        return cls(_named(ca or settings.ca), _named(settings.certificate), _named(settings.key), token)

    def credentials(self) -> grpc.ChannelCredentials:
        """For a gRPC channel. OSError: a file cannot be read."""
        ca, certificate, key = (None if file is None else Path(file) for file in (self.ca, self.certificate, self.key))
        return secure(token=self.token, ca=ca, certificate=certificate, key=key)

    def to_json(self) -> dict[str, Any]:
        """The form that from_json reads. It holds the token."""
        return asdict(self)

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read what to_json wrote."""
        return cls(**body)


def _named(file: Path | None) -> str | None:
    return None if file is None else str(file.absolute())
