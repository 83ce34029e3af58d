"""TLS and tokens for a service behind an edge."""

from __future__ import annotations

from pathlib import Path

import grpc


def secure(
    *, token: str | None = None, ca: Path | None = None, certificate: Path | None = None, key: Path | None = None
) -> grpc.ChannelCredentials:
    """Credentials for `Client(address, credentials=...)`: TLS, with a bearer token, a client certificate, or both.

    token: sent with every call, never logged. ca: a PEM file with the authorities to trust; None: those that gRPC
    comes with. certificate, key: PEM files of the client's chain and private key, both or neither. ValueError: one
    without the other, or a token that cannot stand in a header. OSError: a file cannot be read.
    """
    if (certificate is None) != (key is None):
        raise ValueError("a client certificate needs its key, and a key its certificate")
    channel = grpc.ssl_channel_credentials(
        root_certificates=ca.read_bytes() if ca else None,
        private_key=key.read_bytes() if key else None,
        certificate_chain=certificate.read_bytes() if certificate else None,
    )
    if token is None:
        return channel
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError("the token is not made of printable ASCII characters without spaces")
    return grpc.composite_channel_credentials(channel, grpc.access_token_call_credentials(token))
