"""Recommendations for people: a table for each user, and the command that stores a reaction."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Sequence
from typing import Any

from spotify_buddies.clients.python import Arm, CounterfactualOutcome, Playlist, Recommendation
from spotify_buddies.foundation.terminal.tables import table
from spotify_buddies.foundation.terminal.visible import say, visible

_NO_SONGS = {
    CounterfactualOutcome.UNKNOWN: "cannot be explained by songs: the service answered what this release does not know",
    CounterfactualOutcome.NOT_FOUND: "stays in the list, whichever of the tried songs are left out",
    CounterfactualOutcome.FEW_SONGS: "cannot be explained by songs: fewer than two are known",
    CounterfactualOutcome.NOT_BY_SONGS: "is not in the list of the songs alone",
    CounterfactualOutcome.BUDGET_SPENT: "was not explained: the service's rankings or time for it were used up",
    CounterfactualOutcome.UNVERIFIED: "was not explained: the neighbour search did not answer in time",
}


def print_recommendations(recommendations: Sequence[Recommendation], address: str | None = None) -> None:
    """A table for each user: title, owner, score, reason, and where it came from.

    address: as the command line had it.
    """
    headers = ("#", "title", "playlist", "owner", "score", "reason")
    for item in recommendations:
        user = item.user_id or "user"
        if item.error is not None:
            say(visible(f"{user}: {item.error.field}: {item.error.message}") + "\n")
            continue
        say(visible(f"{user}: {', '.join(_labels(item))}"))
        say(table(headers, map(_row, itertools.count(1), item.playlists), right=(0, 4)))
        for line in itertools.chain.from_iterable(map(_left_out, itertools.count(1), item.playlists)):
            say(visible(line))
        say(f"recommendation {visible(item.recommendation_id)}")
        say(f"react with: {visible(feedback_command(item, address))}\n")


def feedback_command(item: Recommendation, address: str | None = None) -> str:
    """The command that likes the first playlist; with version and arm, so that the like counts for them."""
    words = ["buddies", "feedback", item.recommendation_id, "--user", item.user_id]
    words += ["--model-version", item.model_version] if item.model_version else []
    words += ["--arm", item.arm.value] if item.arm is not Arm.NONE else []
    words += ["--like", item.playlists[0].playlist_id] if item.playlists else []
    words += ["--address", address] if address else []
    return shlex.join(words)


def _row(rank: int, playlist: Playlist) -> tuple[object, ...]:
    owner = playlist.owner_id[:10] + ("…" if len(playlist.owner_id) > 10 else "") or "unknown listener"
    return rank, playlist.title, playlist.playlist_id, owner, f"{playlist.score:.3f}", _reason(playlist.reason)


def _left_out(rank: int, playlist: Playlist) -> list[str]:
    """What the songs are without which the list lacks a playlist; nothing where it was not asked."""
    found = playlist.counterfactual
    if found is None:
        return []
    if found.outcome is not CounterfactualOutcome.FOUND:
        return [f"#{rank} {_NO_SONGS[found.outcome]}"]
    names = [f"{song.title} - {song.artist}" if song.title or song.artist else song.song_id for song in found.songs]
    instead = f"; then {found.replaced_by} is in it" if found.replaced_by else ""
    return [f"#{rank} would not be in the list without {' | '.join(names)}{instead}"]


def _labels(item: Recommendation) -> list[str]:
    labels = [f"source {item.source.value}", f"version {item.model_version} ({item.arm.value})"]
    labels += [f"skipped {step.value}" for step in item.skipped]
    return labels + ([f"{item.unknown_songs} songs unknown"] if item.unknown_songs else [])


def _reason(reason: Any) -> str:
    if reason is None:
        return ""
    names = ", ".join(reason.artists or [song.title for song in reason.examples])
    return f"{reason.text} ({names})" if names else str(reason.text)
