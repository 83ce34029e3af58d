"""Golden lists: computed while the bundle was written, so that whoever serves it can compare its own with them.

They are computed with plain numpy from the same files, so that a kernel, a look-up of ids or a mapping that is wrong
on some machine is noticed before anybody is answered.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

GOLDEN = "golden.json"
LENGTH = 10


@dataclass(frozen=True)
class Golden:
    """A user's candidates, best first, by score alone: without the user's own playlists, and by no other rule.

    playlist_ids, scores: at most LENGTH, at least one.
    """

    user_id: str
    playlist_ids: tuple[str, ...]
    scores: tuple[float, ...]


def save_golden(directory: Path, golden: Sequence[Golden]) -> None:
    """Write the file; none where there are no golden lists."""
    if golden:
        body = [
            {"user_id": one.user_id, "playlists": list(zip(one.playlist_ids, one.scores, strict=True))}
            for one in golden
        ]
        (directory / GOLDEN).write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load_golden(directory: Path) -> tuple[Golden, ...]:
    """Read the file; empty where there is none. ValueError, KeyError or TypeError: it is not what save_golden wrote."""
    path = directory / GOLDEN
    if not path.exists():
        return ()
    return tuple(
        Golden(
            str(one["user_id"]),
            tuple(str(playlist) for playlist, _ in one["playlists"]),
            tuple(float(score) for _, score in one["playlists"]),
        )
        for one in json.loads(path.read_bytes())
    )
