"""Why a candidate suits its user, found once, when a bundle is written: serving then looks for nothing in vain."""

from spotify_buddies.trainer.bundle.reasons.codes import ARTISTS, MOST_CODE, NOT_SAID, OWNER, SONGS, TASTE
from spotify_buddies.trainer.bundle.reasons.find import find_reasons

__all__ = ["ARTISTS", "MOST_CODE", "NOT_SAID", "OWNER", "SONGS", "TASTE", "find_reasons"]
