"""Certificates for trying the edge on one machine: a CA, the server's, and one for each caller. Not for production.

    python deploy/edge/certificates.py DIRECTORY [--host localhost ...] [--caller partner ...]

Writes ca.pem, server.pem (chain and key, what EDGE_CERTIFICATE wants) and CALLER.pem with CALLER.key. A directory that
has a CA keeps it, so that callers can be added. Keys are readable by their owner only. Needs `trustme` from pip.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import trustme

CA, CA_KEY, SERVER = "ca.pem", "ca.key", "server.pem"


def make(directory: Path, hosts: list[str], callers: list[str]) -> None:
    """Write what is missing; the server's certificate is always new."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = _authority(directory)
    server = authority.issue_cert(*hosts)
    _write(directory / SERVER, server.private_key_and_cert_chain_pem.bytes())
    for caller in callers:
        certificate = authority.issue_cert(f"{caller}.invalid", common_name=caller)
        _write(directory / f"{caller}.pem", b"".join(part.bytes() for part in certificate.cert_chain_pems))
        _write(directory / f"{caller}.key", certificate.private_key_pem.bytes())


def _authority(directory: Path) -> trustme.CA:
    certificate, key = directory / CA, directory / CA_KEY
    if certificate.exists() and key.exists():
        return trustme.CA.from_pem(certificate.read_bytes(), key.read_bytes())
    authority = trustme.CA(organization_name="Spotify Buddies, for trying out")
    _write(certificate, authority.cert_pem.bytes())
    _write(key, authority.private_key_pem.bytes())
    return authority


def _write(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--host", nargs="+", default=["localhost", "127.0.0.1"])
    parser.add_argument("--caller", nargs="+", default=[])
    options = parser.parse_args()
    make(options.directory, options.host, options.caller)


if __name__ == "__main__":
    main()
