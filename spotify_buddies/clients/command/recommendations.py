"""Recommendations for people: a table for each user, and the command that stores a reaction."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from spotify_buddies.clients.python import Arm, Recommendation
from spotify_buddies.foundation.terminal.visible import visible


def print_recommendations(recommendations: Sequence[Recommendation], address: str | None = None) -> None:
    """A table for each user: title, owner, score, reason, and where it came from.

    address: as the command line had it.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(markup=False, emoji=False, highlight=False)  # names are strangers' text
    for item in recommendations:
        if item.error is not None:
            console.print(visible(f"{item.user_id or 'user'}: {item.error.field}: {item.error.message}") + "\n")
            continue
        title = Text(visible(f"{item.user_id or 'user'}: {', '.join(_labels(item))}"))
        table = Table(title=title, title_justify="left", expand=True)
        for name, ratio in (("#", None), ("title", 3), ("playlist", 2), ("owner", 2), ("score", None), ("reason", 6)):
            table.add_column(name, ratio=ratio, overflow="fold", justify="right" if name in "#score" else "left")
        for rank, playlist in enumerate(item.playlists, 1):
            owner = playlist.owner_id[:10] + ("…" if len(playlist.owner_id) > 10 else "")
            row = (playlist.title, playlist.playlist_id, owner, f"{playlist.score:.3f}", _reason(playlist.reason))
            table.add_row(str(rank), *(Text(visible(cell)) for cell in row))
        console.print(table)
        console.print(f"recommendation {visible(item.recommendation_id)}")
        # Unwrapped: it is there to be copied.
        console.print(f"react with: {visible(feedback_command(item, address))}\n", soft_wrap=True)


def feedback_command(item: Recommendation, address: str | None = None) -> str:
    """The command that likes the first playlist; with version and arm, so that the like counts for them."""
    words = ["buddies", "feedback", item.recommendation_id, "--user", item.user_id]
    words += ["--model-version", item.model_version] if item.model_version else []
    words += ["--arm", item.arm.value] if item.arm is not Arm.NONE else []
    words += ["--like", item.playlists[0].playlist_id] if item.playlists else []
    words += ["--address", address] if address else []
    return shlex.join(words)


def _labels(item: Recommendation) -> list[str]:
    labels = [f"source {item.source.value}", f"version {item.model_version} ({item.arm.value})"]
    labels += [f"skipped {step.value}" for step in item.skipped]
    return labels + ([f"{item.unknown_songs} songs unknown"] if item.unknown_songs else [])


def _reason(reason: Any) -> str:
    if reason is None:
        return ""
    names = ", ".join(song.title for song in reason.examples)
    return f"{reason.text} ({names})" if names else str(reason.text)
