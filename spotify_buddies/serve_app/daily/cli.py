"""`buddies daily`: precompute the lists of the day, and look at them."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spotify_buddies.foundation.terminal.console import AsJson, an_id
from spotify_buddies.foundation.terminal.visible import say
from spotify_buddies.pairing.cli import CLUSTER
from spotify_buddies.serve_app.settings.command import Settings, store_url

if TYPE_CHECKING:
    from spotify_buddies.foundation.stages.blocks import Blocks
    from spotify_buddies.serve_app.daily.index import SpaceState
    from spotify_buddies.serve_app.daily.run import DailyReport
    from spotify_buddies.serve_app.daily.space import Space
    from spotify_buddies.serve_app.ranking.query import RankedLists
    from spotify_buddies.trainer.bundle import Bundle
    from spotify_buddies.trainer.registry.registry import Registry, VersionInfo

READ_WITHIN_S = 5.0
STORE_TIMEOUT_S = 30.0

app = typer.Typer(help="Lists that are precomputed once a day.", no_args_is_help=True)

_COLUMNS = ("version", "day", "state", "lists", "users", "blocks", "memory", "age", "time left")
OfAlias = Annotated[str | None, typer.Option(help="Registry alias; default: the one that is served.")]


@app.command()
def run(
    context: typer.Context,
    alias: OfAlias = None,
    again: Annotated[bool, typer.Option(help="Write today's lists again although they are complete.")] = False,
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray", metavar="auto|HOST:PORT", help="Score on a Ray cluster: a running one, or one on this machine."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Precompute the lists of all users with one version into Redis, for Recommend in daily mode.

    Readers see the lists once all are there. Rerun the command to resume a run that was cut off.

    Example: buddies daily run && buddies recommend USER_ID --mode daily
    """
    from spotify_buddies.foundation.stages.progress import Reporter
    from spotify_buddies.foundation.stages.stage import StageError
    from spotify_buddies.foundation.terminal.console import explained, show
    from spotify_buddies.serve_app.daily.run import run_daily
    from spotify_buddies.serve_app.daily.space import DailyError
    from spotify_buddies.trainer.bundle import BundleError
    from spotify_buddies.trainer.registry.registry import RegistryError

    settings: Settings = context.obj
    name = alias or settings.serve.alias
    with explained(DailyError, StageError, BundleError, RegistryError), _store(settings) as store:
        registry, version, bundle = _open(settings, name)
        with _workers(context, ray) as blocks:
            report = run_daily(
                bundle, version.number, store, model=settings.registry.model, now=datetime.now(UTC),
                ttl_s=settings.serve.daily_ttl_s, again=again, serving=_named(registry), blocks=blocks,
                progress=Reporter(),
            )  # fmt: skip
        now = registry.resolve(name).number
    show(_summary(report, now), as_json=True) if as_json else _tell(report, name, now)


@app.command()
def status(context: typer.Context, as_json: AsJson = False) -> None:
    """Show the stored lists: version, state, number, age, time left, memory.

    Example: buddies daily status --json
    """
    from spotify_buddies.foundation.terminal.console import explained, show
    from spotify_buddies.foundation.terminal.tables import table
    from spotify_buddies.serve_app.daily.index import look

    settings: Settings = context.obj
    with explained(_redis_error()), _store(settings) as store:
        spaces = [_shown(state, datetime.now(UTC)) for state in look(store, settings.registry.model)]
    if as_json:
        show({"spaces": spaces}, as_json=True)
        return
    say(f"{len(spaces)} sets of lists of {settings.registry.model}")
    if spaces:
        say(table(_COLUMNS, map(_row, spaces), right=range(3, len(_COLUMNS))))


@app.command("show")
def show_list(
    context: typer.Context,
    user: Annotated[str, typer.Argument(help="User id.", metavar="USER", callback=an_id)],
    alias: OfAlias = None,
    as_json: AsJson = False,
) -> None:
    """Show the stored list of one user, without any exclusions.

    Example: buddies daily show 4e73d9e058d2b1f2dba9c1fe4a8f416f9f58364f
    """
    from spotify_buddies.foundation.terminal.console import explained, show
    from spotify_buddies.foundation.terminal.tables import table
    from spotify_buddies.serve_app.ranking.engine import Engine
    from spotify_buddies.trainer.bundle import BundleError
    from spotify_buddies.trainer.registry.registry import RegistryError

    settings: Settings = context.obj
    with explained(_redis_error(), BundleError, RegistryError):
        _, version, bundle = _open(settings, alias or settings.serve.alias)
        lists = asyncio.run(_read(Engine(bundle, version.number), store_url(settings, "redis"), user))
    if lists is None:
        say(f"error: version {version.number} has no list of the day for user {user!r}", err=True)
        raise typer.Exit(1)
    playlists = [_playlist(bundle, lists, rank) for rank in range(int(lists.counts[0]))]
    if as_json:
        show({"user_id": user, "version": version.number, "playlists": playlists}, as_json=True)
        return
    say(f"{len(playlists)} playlists for {user} with version {version.number}")
    rows = [
        (rank, f"{item['score']:.4f}", item["playlist_id"], item["title"]) for rank, item in enumerate(playlists, 1)
    ]
    say(table(("#", "score", "playlist", "title"), rows, right=(0, 1)))


async def _read(engine: Any, url: str, user: str) -> RankedLists | None:
    """The stored list, ranked; None: there is none. RedisError, TimeoutError: Redis does not answer."""
    import numpy as np
    from redis.asyncio import Redis

    from spotify_buddies.serve_app.daily.read import stored_lists

    rows = engine.bundle.user_ids.find([user])
    async with asyncio.timeout(READ_WITHIN_S), Redis.from_url(url) as redis:
        stored = await stored_lists(engine, redis, rows)
    if stored is None or not stored.counts[0]:
        return None
    nothing = np.empty(0, np.int32)
    lists: RankedLists = engine.rank_candidates(
        rows, stored.candidates(engine.bundle.manifest.playlists), int(stored.counts[0]), nothing
    )
    return lists


def _open(settings: Settings, alias: str) -> tuple[Registry, VersionInfo, Bundle]:
    """The version that an alias names now; pinned for the whole command."""
    from spotify_buddies.trainer.bundle import open_bundle
    from spotify_buddies.trainer.registry.registry import Registry, tracking_uri

    registry = Registry(tracking_uri(settings.state_dir, settings.mlflow_tracking_uri), settings.registry.model)
    version = registry.resolve(alias)
    return registry, version, open_bundle(registry.fetch(version.number, settings.state_dir / "bundles"))


def _named(registry: Registry) -> set[str]:
    return {version.number for version in registry.list_versions() if version.aliases}


def _store(settings: Settings) -> Any:
    from redis import Redis

    return Redis.from_url(store_url(settings, "redis"), socket_timeout=STORE_TIMEOUT_S)


def _redis_error() -> type[Exception]:
    from redis.exceptions import RedisError

    return RedisError


def _workers(context: typer.Context, address: str | None) -> AbstractContextManager[Blocks]:
    from spotify_buddies.foundation.stages.blocks import THREADS

    return nullcontext(THREADS) if address is None else context.meta[CLUSTER](address)


def _summary(report: DailyReport, now: str) -> dict[str, Any]:
    space = report.space
    return {
        "version": space.version,
        "name": space.name,
        "users": space.users,
        "lists": space.lists,
        "blocks_written": report.written,
        "blocks_kept": report.kept,
        "removed": [other.field for other in report.removed],
        "expires": space.expires.isoformat(),
        "alias_version": now,
    }


def _tell(report: DailyReport, alias: str, now: str) -> None:
    space = report.space
    if not report.written:
        say(f"the lists of {space.name} are already complete; --again writes them again")
    say(
        f"{space.lists:,} lists of version {space.version} for {space.users:,} users, until {space.expires:%F %T} UTC; "
        "the rest is answered live"
    )
    if report.kept and report.written:
        say(f"{report.kept:,} of {space.blocks:,} blocks were already there from a run that was cut off")
    if now != space.version:
        say(f"{alias} is now version {now}: run the command again for its lists")


def _row(space: dict[str, Any]) -> tuple[str, ...]:
    state = "read" if space["read"] else "complete" if space["complete"] else "unfinished"
    return (
        space["version"], space["name"], state, f"{space['lists']:,}", f"{space['users']:,}",
        f"{space['blocks']:,}/{space['blocks_total']:,}", f"{space['stored_bytes'] / 2**20:,.1f} MiB",
        f"{space['age_s']:,} s", f"{space['ttl_left_s']:,} s",
    )  # fmt: skip


def _shown(state: SpaceState, now: datetime) -> dict[str, Any]:
    space: Space = state.space
    return {
        "version": space.version,
        "name": space.name,
        "complete": space.complete and state.blocks == space.blocks,
        "read": state.read,
        "users": space.users,
        "lists": space.lists,
        "blocks": state.blocks,
        "blocks_total": space.blocks,
        "stored_bytes": state.stored_bytes,
        "created": space.created.isoformat(),
        "age_s": round((now - space.created).total_seconds()),
        "ttl_left_s": max(0, round((space.expires - now).total_seconds())),
    }


def _playlist(bundle: Bundle, lists: RankedLists, rank: int) -> dict[str, Any]:
    row = int(lists.rows[0, rank])
    return {
        "playlist_id": bundle.playlist_ids.table[row],
        "title": bundle.playlist_titles[row],
        "score": float(lists.scores[0, rank]),
    }
