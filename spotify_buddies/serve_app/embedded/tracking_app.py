"""MLflow's server behind a token: whoever may write to the registry decides what is recommended.

MLflow starts it as the app `buddies` (entry point `mlflow.app`). Callers give the token as the password of any user, in
the address or where a browser asks for it, or as a bearer token (`MLFLOW_TRACKING_TOKEN`).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

# Names the file with the token.
TOKEN_FILE = "SPOTIFY_BUDDIES_MLFLOW_TOKEN_FILE"  # noqa: S105 - a variable's name
# Answered to everybody, and says nothing but that the server is up.
OPEN = ("/health",)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]


class Guard:
    """An ASGI application that asks for a token before another one is asked."""

    def __init__(self, inner: Asgi, token: str) -> None:
        self._inner = inner
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what shows the token; 401 for other requests."""
        if scope["type"] == "lifespan" or scope.get("path") in OPEN or self._shown(scope):
            await self._inner(scope, receive, send)
        elif scope["type"] == "http":
            headers = [
                (b"www-authenticate", b'Basic realm="MLflow of Spotify Buddies"'),
                (b"content-type", b"text/plain"),
            ]
            await send({"type": "http.response.start", "status": 401, "headers": headers})
            await send(
                {"type": "http.response.body", "body": b"the password is in mlflow-token of the state directory\n"}
            )
        else:
            await send({"type": "websocket.close", "code": 1008})

    def _shown(self, scope: Scope) -> bool:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        return len(given) == 1 and hmac.compare_digest(_password(given[0]), self._token)


def _password(header: bytes) -> bytes:
    """Of the header `authorization`; empty where there is none."""
    kind, _, value = header.partition(b" ")
    match kind.lower():
        case b"bearer":
            return value.strip()
        case b"basic":
            try:
                return base64.b64decode(value.strip(), validate=True).partition(b":")[2]
            except binascii.Error:
                return b""
    return b""


def app() -> Guard:
    """What MLflow starts. FileNotFoundError, KeyError: there is no token."""
    from mlflow.server.fastapi_app import app as inner

    token = Path(os.environ[TOKEN_FILE]).read_text().strip()
    if not token:
        raise ValueError(f"{os.environ[TOKEN_FILE]} is empty")
    return Guard(inner, token)
