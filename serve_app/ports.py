"""TCP ports: free ones, and whether a wanted one is taken."""

from __future__ import annotations

import socket

from serve_app.errors import LaunchError


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on now. Another process may take it before it is used."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.bind((host, 0))
        port: int = sock.getsockname()[1]
        return port


def claim(port: int, setting: str, host: str = "127.0.0.1") -> int:
    """The port itself when it is free, a free one for 0. LaunchError names the port, its setting and what to do."""
    if port == 0:
        return free_port(host)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        # As the servers do: a port in TIME_WAIT is free.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port))
            # Servers with SO_REUSEPORT may share a bind, none may share a port that others already listen on.
            sock.listen(1)
        except OSError as error:
            raise LaunchError(
                f"port {port} ({setting}) on {host} is not free: {error.strerror}; stop what listens there, or set "
                f"another port (0 takes a free one)"
            ) from error
    return port
