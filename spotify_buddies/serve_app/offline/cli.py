"""What the root command takes from this room; light to import, like every cli."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spotify_buddies.serve_app.offline.asked import OfflineRanker


def open_ranker(bundle: Path) -> OfflineRanker:
    """The answers of the bundle in a directory, as a replica would give them. BundleError: it cannot be used."""
    from spotify_buddies.serve_app.offline.asked import OfflineRanker
    from spotify_buddies.trainer.bundle import open_bundle

    # Whoever evaluates has written or fetched it, which checks the hashes.
    return OfflineRanker(open_bundle(bundle, check_hashes=False))
