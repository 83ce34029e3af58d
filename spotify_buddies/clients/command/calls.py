"""`buddies recommend` and `buddies feedback`: the service from a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from spotify_buddies.clients.command.access import credentials
from spotify_buddies.clients.command.endpoints import running
from spotify_buddies.clients.python import (
    BuddiesError,
    Client,
    InvalidRequest,
    KeyReused,
    Mode,
    Recommendation,
    Retry,
    Song,
    Taste,
)
from spotify_buddies.foundation.terminal.visible import say, visible
from spotify_buddies.foundation.text.lines import filled_lines

DAYS = 30.0

Address = Annotated[
    str | None, typer.Option(help="host:port of the service; default: the one this state directory runs.")
]
Ca = Annotated[
    Path | None, typer.Option(help="Authorities of a service with TLS, a PEM file; more in the [client] settings.")
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON for scripts.")]


def recommend(
    context: typer.Context,
    user_ids: Annotated[list[str] | None, typer.Argument(help="Listeners.")] = None,
    song: Annotated[
        list[str] | None, typer.Option(help="A song of a new listener, 'Title - Artist'; repeatable.")
    ] = None,
    songs_file: Annotated[
        Path | None, typer.Option(help="Songs of a new listener, one 'Title - Artist' a line.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Playlists per listener, 1 to 100.")] = 5,
    mode: Annotated[Mode, typer.Option(help="Score now, or the list of the day.")] = Mode.LIVE,
    exclude: Annotated[list[str] | None, typer.Option(help="A playlist that must not come back; repeatable.")] = None,
    address: Address = None,
    ca: Ca = None,
    as_json: AsJson = False,
) -> None:
    """Ask for playlists, for known listeners or for a new one described by songs.

    Examples: buddies recommend 4e6a..  |  buddies recommend --song "Wild World - Yusuf / Cat Stevens"
    """
    songs = _songs([*(song or []), *_lines(songs_file)])
    if not user_ids and not songs:
        raise typer.BadParameter("name a listener, or give songs with --song or --songs-file")
    with connected(context, address, ca) as client:
        found = client.recommend(
            user_ids or (),
            tastes=(Taste(songs, user_id="you"),) if songs else (),
            limit=limit,
            mode=mode,
            exclude_playlist_ids=exclude or (),
        )
    if as_json:
        say(json.dumps([plain(item) for item in found], indent=1))
        return
    print_recommendations(found)


def feedback(
    context: typer.Context,
    recommendation_id: Annotated[str, typer.Argument(help="From the answer of `buddies recommend`.")],
    user: Annotated[str, typer.Option(help="The listener.")],
    like: Annotated[list[str] | None, typer.Option(help="A liked playlist; repeatable.")] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="A playlist shown and not chosen; repeatable.")] = None,
    dislike: Annotated[list[str] | None, typer.Option(help="A playlist not to be seen again; repeatable.")] = None,
    put_off: Annotated[list[str] | None, typer.Option(help="A playlist not to be seen for --days; repeatable.")] = None,
    days: Annotated[
        float | None, typer.Option(min=0, max=3_650, help="How long --put-off holds, from now; default: 30.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="ISO-TIME", help="When --put-off ends, in place of --days; UTC if not said.")
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="Idempotency key; the same key stores once, and one feedback alone.")
    ] = None,
    address: Address = None,
    ca: Ca = None,
    as_json: AsJson = False,
) -> None:
    """Say what a listener did with a recommendation. Done means committed.

    Example: buddies feedback 1f0c.. --user 4e6a.. --like 575012 --ignore 575013
    """
    end = _end(days, until)
    repeat = f" --until {end.isoformat()}" if put_off else ""
    with connected(context, address, ca, repeat) as client:
        result = client.feedback(
            recommendation_id,
            user_id=user,
            liked=like or (),
            ignored=ignore or (),
            disliked=dislike or (),
            do_not_recommend=dict.fromkeys(put_off or (), end),
            idempotency_key=key,
        )
    if as_json:
        say(json.dumps(asdict(result)))
        return
    outcome = "was stored before" if result.duplicate else "stored"
    say(f"{outcome}: {result.reactions} reactions under key {result.idempotency_key}")


@contextmanager
def connected(
    context: typer.Context, address: str | None, ca: Path | None = None, repeat: str = ""
) -> Iterator[Client]:
    """A client of the service that the command line, the settings or the state directory names.

    repeat: what a feedback that failed needs beside its key to be sent again as it was.
    """
    settings = context.obj
    endpoints = running(settings.state_dir)
    chosen = address or settings.client.address or (endpoints.grpc if endpoints else "127.0.0.1:9000")
    own = endpoints is not None and chosen == endpoints.grpc
    retry = Retry(attempts=settings.client.attempts)
    secure = credentials(settings.client, ca)
    try:
        with Client(chosen, timeout_s=settings.client.timeout_s, retry=retry, credentials=secure, direct=own) as client:
            yield client
    except BuddiesError as error:
        say(f"error: {chosen}: {error}", err=True)
        wrong = isinstance(error, InvalidRequest | KeyReused)
        if error.idempotency_key and not wrong:
            say(f"send it again with --key {error.idempotency_key}{repeat}; it is stored once at most", err=True)
        raise typer.Exit(2 if wrong else 1) from error


def _end(days: float | None, until: str | None) -> datetime:
    """When what is put off may come back. A repetition needs the same moment, so it is a time and no distance."""
    if until is None:
        return datetime.now(UTC) + timedelta(days=DAYS if days is None else days)
    if days is not None:
        raise typer.BadParameter("say --days or --until, not both", param_hint="--until")
    try:
        end = datetime.fromisoformat(until)
    except ValueError as error:
        raise typer.BadParameter(f"{until!r} is no time such as 2030-01-31T12:00:00Z", param_hint="--until") from error
    return end if end.tzinfo else end.replace(tzinfo=UTC)


def plain(value: Any) -> Any:
    """A frozen value as JSON values, enums by their names."""
    return json.loads(
        json.dumps(asdict(value), default=lambda item: item.value if isinstance(item, Enum) else str(item))
    )


def print_recommendations(found: Sequence[Recommendation]) -> None:
    """A table for each listener: title, owner, score, reason, and where it came from."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(markup=False, emoji=False, highlight=False)  # names are strangers' text
    for item in found:
        if item.error is not None:
            console.print(visible(f"{item.user_id or 'listener'}: {item.error.field}: {item.error.message}") + "\n")
            continue
        labels = [f"source {item.source.value}", f"version {item.model_version} ({item.arm.value})"]
        labels += [f"skipped {step.value}" for step in item.skipped]
        labels += [f"{item.unknown_songs} songs unknown"] if item.unknown_songs else []
        title = Text(visible(f"{item.user_id or 'listener'}: {', '.join(labels)}"))
        table = Table(title=title, title_justify="left", expand=True)
        for name, ratio in (("#", None), ("title", 3), ("playlist", 2), ("owner", 2), ("score", None), ("reason", 6)):
            table.add_column(name, ratio=ratio, overflow="fold", justify="right" if name in "#score" else "left")
        for rank, playlist in enumerate(item.playlists, 1):
            owner = playlist.owner_id[:10] + ("…" if len(playlist.owner_id) > 10 else "")
            row = (playlist.title, playlist.playlist_id, owner, f"{playlist.score:.3f}", _reason(playlist.reason))
            table.add_row(str(rank), *(Text(visible(cell)) for cell in row))
        console.print(table)
        console.print(f"recommendation {visible(item.recommendation_id)}\n")


def _reason(reason: Any) -> str:
    if reason is None:
        return ""
    names = ", ".join(song.title for song in reason.examples)
    return f"{reason.text} ({names})" if names else str(reason.text)


def _songs(lines: Sequence[str]) -> tuple[Song, ...]:
    songs = []
    for line in lines:
        title, dash, artist = line.rpartition(" - ")
        if not dash or not title.strip() or not artist.strip():
            raise typer.BadParameter(f"{line!r} is not 'Title - Artist'", param_hint="--song")
        songs.append(Song(title.strip(), artist.strip()))
    return tuple(songs)


def _lines(path: Path | None) -> list[str]:
    if path is None:
        return []
    try:
        return filled_lines(path.read_bytes().decode())
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(visible(f"{path}: {error}"), param_hint="--songs-file") from error
