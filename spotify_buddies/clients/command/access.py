"""How the commands reach the service: TLS, certificates and token as the [client] section says."""

from __future__ import annotations

from pathlib import Path

import grpc

from spotify_buddies.clients.command.settings import ClientSettings, SettingsError
from spotify_buddies.clients.python.credentials import secure


def credentials(settings: ClientSettings, ca: Path | None = None) -> grpc.ChannelCredentials | None:
    """What `Client` takes; None: plaintext. ca: from the command line, before the setting.

    SettingsError: a token without TLS, which would show it to the network; a file that cannot be read.
    """
    ca = ca or settings.ca
    token = settings.token.get_secret_value() if settings.token else None
    if not (settings.tls or ca or settings.certificate or settings.key):
        if token is not None:
            raise SettingsError("client.token is set without TLS, which would show it to the network; set client.tls")
        return None
    try:
        return secure(token=token, ca=ca, certificate=settings.certificate, key=settings.key)
    except OSError as error:
        raise SettingsError(f"[client]: {error.filename}: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(f"[client]: {error}") from error
