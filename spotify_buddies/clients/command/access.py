"""The way from a command to the service: its address, and TLS, certificates and token as the [client] section says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import typer

from spotify_buddies.clients.command.endpoints import Endpoints, running
from spotify_buddies.clients.command.settings import ClientSettings, SettingsError
from spotify_buddies.clients.python import Retry, secure
from spotify_buddies.clients.python.checks import check_address


class NoService(Exception):
    """No service runs in a state directory (args[0]), and neither an option nor a setting names another one."""

    def __str__(self) -> str:
        return (
            f"no service runs here: none was started with the state directory {self.args[0]}; start one with "
            "`buddies serve start`, or name another with --address HOST:PORT or client.address "
            "(BUDDIES_CLIENT__ADDRESS)"
        )


@dataclass(frozen=True)
class Target:
    """The service that a command calls. endpoints: of this state directory's own service, None for any other."""

    address: str
    endpoints: Endpoints | None


def target(settings: Any, address: str | None = None) -> Target:
    """The service that the option, else the setting, else the state directory names.

    NoService: none of them does. An address is never guessed: another service could listen there, and would store what
    it gets. typer.BadParameter: the option is no gRPC address.
    """
    if address is not None:
        try:
            check_address(address)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--address") from error
    endpoints = running(settings.state_dir)
    chosen = address or settings.client.address or (endpoints.grpc if endpoints else None)
    if chosen is None:
        raise NoService(settings.state_dir.absolute())
    return Target(chosen, endpoints if endpoints and chosen == endpoints.grpc else None)


def client_options(settings: Any, service: Target, ca: Path | None = None) -> dict[str, Any]:
    """Arguments of `Client` and `AsyncClient` beside the address. SettingsError as credentials."""
    return {
        "timeout_s": settings.client.timeout_s,
        "retry": Retry(attempts=settings.client.attempts),
        "credentials": credentials(settings.client, ca),
        # Our own service is on this machine, whatever a proxy is set for.
        "direct": service.endpoints is not None,
    }


def credentials(settings: ClientSettings, ca: Path | None = None) -> grpc.ChannelCredentials | None:
    """Credentials for `Client`; None: plaintext. ca: from the command line, before the setting.

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
