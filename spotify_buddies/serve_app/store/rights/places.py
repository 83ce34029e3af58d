"""Everywhere a listener may stand, and where on this machine the bundles lie that say who is in a list of the day."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from redis import Redis

from spotify_buddies.serve_app.store.rights.lists import FindBundle
from spotify_buddies.trainer.bundle import Bundle, BundleError, open_bundle

RETRAIN, BUNDLES = "retrain", "bundles"
REDIS_WITHIN_S = 10.0


@dataclass(frozen=True)
class Places:
    """Addresses and directories; None: there is none. key: of the pseudonym that is kept of an erased listener.

    state_dir: with the extracts in retrain/ and the bundles in bundles/. bundle: one that lies elsewhere.
    """

    postgres_url: str = field(repr=False)
    redis_url: str | None = field(repr=False)
    key: bytes = field(repr=False)
    state_dir: Path | None = None
    bundle: Path | None = None

    @property
    def extracts(self) -> Path | None:
        """The directory of the extracts; None: there are none."""
        directory = None if self.state_dir is None else self.state_dir / RETRAIN
        return directory if directory is not None and directory.is_dir() else None

    @contextmanager
    def redis(self) -> Iterator[Redis]:
        """A client of Redis; calls end after REDIS_WITHIN_S. RedisError."""
        url = str(self.redis_url)
        with Redis.from_url(url, socket_timeout=REDIS_WITHIN_S, socket_connect_timeout=REDIS_WITHIN_S) as client:
            yield client

    def finder(self) -> FindBundle:
        """Finds bundles of this machine by their hashes; each is opened once."""
        directories = [self.bundle] if self.bundle is not None else []
        folder = None if self.state_dir is None else self.state_dir / BUNDLES
        if folder is not None and folder.is_dir():
            directories += [path for path in sorted(folder.iterdir()) if path.is_dir()]

        @cache
        def opened() -> dict[str, Bundle]:
            found = {}
            for directory in directories:
                try:
                    bundle = open_bundle(directory, check_hashes=False)
                except BundleError:  # being fetched, or no bundle
                    continue
                found[bundle.sha256] = bundle
            return found

        return lambda sha256: opened().get(sha256)
