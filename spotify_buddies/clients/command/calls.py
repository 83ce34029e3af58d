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

from spotify_buddies.clients.command.access import NoService, client_options, target
from spotify_buddies.clients.command.recommendations import print_recommendations
from spotify_buddies.clients.python import (
    Arm,
    BuddiesError,
    Client,
    CounterfactualOptions,
    InvalidRequest,
    KeyReused,
    Mode,
    Recommendation,
    Song,
    Source,
    Taste,
)
from spotify_buddies.foundation.terminal.console import AsJson
from spotify_buddies.foundation.terminal.durations import moment
from spotify_buddies.foundation.terminal.visible import say, visible
from spotify_buddies.foundation.text.lines import filled_lines

DAYS = 30.0

Address = Annotated[
    str | None, typer.Option(help="host:port of the service; default: the one this state directory runs.")
]
Ca = Annotated[
    Path | None, typer.Option(help="Authorities of a service with TLS, a PEM file; more in the [client] settings.")
]


Liked = Annotated[list[str] | None, typer.Option(help="A liked playlist; repeatable.")]
Ignored = Annotated[list[str] | None, typer.Option(help="A playlist that was shown and not chosen; repeatable.")]
Disliked = Annotated[list[str] | None, typer.Option(help="A playlist never to show again; repeatable.")]
PutOff = Annotated[list[str] | None, typer.Option(help="A playlist not to show for --days; repeatable.")]
Days = Annotated[float | None, typer.Option(min=0, max=3_650, help="How long --put-off holds, from now; default: 30.")]
Until = Annotated[
    str | None, typer.Option(metavar="ISO-TIME", help="When --put-off ends, instead of --days; UTC without a zone.")
]
ModelVersion = Annotated[str, typer.Option(help="Version that answered, as `buddies recommend` printed it.")]
AnsweringArm = Annotated[Arm, typer.Option(help="Arm that answered, as `buddies recommend` printed it.")]
Key = Annotated[
    str | None, typer.Option(help="Idempotency key: the same feedback, sent again with it, is stored once.")
]


def recommend(
    context: typer.Context,
    user_ids: Annotated[list[str] | None, typer.Argument(help="Ids of users.")] = None,
    song: Annotated[
        list[str] | None, typer.Option(help="A song that a new user likes, 'Title - Artist'; repeatable.")
    ] = None,
    songs_file: Annotated[
        Path | None, typer.Option(help="File of songs that a new user likes, one 'Title - Artist' per line.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Playlists per user, 1 to 100.")] = 5,
    mode: Annotated[Mode, typer.Option(help="Score now, or read the list of the day.")] = Mode.LIVE,
    exclude: Annotated[list[str] | None, typer.Option(help="A playlist to leave out; repeatable.")] = None,
    adventurous: Annotated[
        float, typer.Option(min=0, max=1, help="0: the best known that fit; 1: the least known of the candidates.")
    ] = 0.0,
    calibration: Annotated[
        float, typer.Option(min=0, max=1, help="How much genres in the proportions of your songs count.")
    ] = 0.0,
    counterfactual: Annotated[
        bool, typer.Option("--counterfactual", help="Which songs, left out, would drop each of the first playlists.")
    ] = False,
    max_songs: Annotated[
        int | None, typer.Option(min=1, max=50, help="Songs that --counterfactual leaves out together; default: 10.")
    ] = None,
    address: Address = None,
    ca: Ca = None,
    as_json: AsJson = False,
) -> None:
    """Recommend playlists to known users, or to a new one described by songs.

    Examples: buddies recommend 4e6a..  |  buddies recommend --song "Wild World - Yusuf / Cat Stevens"
    """
    songs = _songs([*(song or []), *_lines(songs_file)])
    if not user_ids and not songs:
        raise typer.BadParameter("name a user, or give songs with --song or --songs-file")
    if max_songs is not None and not counterfactual:
        raise typer.BadParameter("is for --counterfactual", param_hint="--max-songs")
    with connected(context, address, ca) as client:
        recommendations = client.recommend(
            user_ids or (),
            tastes=(Taste(songs, user_id="you"),) if songs else (),
            limit=limit,
            mode=mode,
            exclude_playlist_ids=exclude or (),
            adventurous=adventurous,
            calibration=calibration,
            counterfactual=CounterfactualOptions(max_songs=max_songs) if counterfactual else None,
        )
    if as_json:
        say(json.dumps([plain(item) for item in recommendations], indent=1))
        return
    print_recommendations(recommendations, address)


def feedback(
    context: typer.Context,
    recommendation_id: Annotated[str, typer.Argument(help="From the answer of `buddies recommend`.")],
    user: Annotated[str, typer.Option(help="Id of the user.")],
    like: Liked = None,
    ignore: Ignored = None,
    dislike: Disliked = None,
    put_off: PutOff = None,
    days: Days = None,
    until: Until = None,
    model_version: ModelVersion = "",
    arm: AnsweringArm = Arm.NONE,
    key: Key = None,
    address: Address = None,
    ca: Ca = None,
    as_json: AsJson = False,
) -> None:
    """Store what a user did with a recommendation. It is committed when the command succeeds.

    Example: buddies feedback 1f0c.. --user 4e6a.. --like 575012 --ignore 575013
    """
    end = _end(days, until)
    repeat = f" --until {end.isoformat()}" if put_off else ""
    with connected(context, address, ca, repeat) as client:
        result = client.feedback(
            _answered(recommendation_id, user, model_version, arm),
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

    repeat: the options that a failed feedback needs beside its key to be sent again unchanged.
    """
    settings = context.obj
    try:
        service = target(settings, address)
    except NoService as error:
        say(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    try:
        with Client(service.address, **client_options(settings, service, ca)) as client:
            yield client
    except BuddiesError as error:
        say(f"error: {service.address}: {error}", err=True)
        wrong = isinstance(error, InvalidRequest | KeyReused)
        if error.idempotency_key and not wrong:
            say(f"send it again with --key {error.idempotency_key}{repeat}; it is stored once at most", err=True)
        raise typer.Exit(2 if wrong else 1) from error


def _end(days: float | None, until: str | None) -> datetime:
    """The end of what is put off: a moment, which a second try under the same key needs unchanged."""
    if until is None:
        return datetime.now(UTC) + timedelta(days=DAYS if days is None else days)
    if days is not None:
        raise typer.BadParameter("say --days or --until, not both", param_hint="--until")
    try:
        return moment(until)
    except ValueError as error:
        raise typer.BadParameter(f"{until!r} is no time such as 2030-01-31T12:00:00Z", param_hint="--until") from error


def _answered(recommendation_id: str, user: str, model_version: str, arm: Arm) -> Recommendation:
    """A recommendation with the version and arm that the reactions count for."""
    return Recommendation(user, recommendation_id, (), model_version, arm, Source.UNKNOWN, (), 0)


def plain(value: Any) -> Any:
    """A frozen value as JSON values, enums by their names."""
    return json.loads(
        json.dumps(asdict(value), default=lambda item: item.value if isinstance(item, Enum) else str(item))
    )


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
