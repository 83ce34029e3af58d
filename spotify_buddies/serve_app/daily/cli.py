"""`buddies daily`: write the lists of the day, and look at them."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spotify_buddies.foundation.terminal.console import an_id
from spotify_buddies.foundation.terminal.visible import say, visible
from spotify_buddies.pairing.cli import CLUSTER
from spotify_buddies.serve_app.settings.command import Settings, store_url

if TYPE_CHECKING:
    from spotify_buddies.foundation.stages.blocks import Blocks
    from spotify_buddies.serve_app.daily.index import SpaceState
    from spotify_buddies.serve_app.daily.run import Report
    from spotify_buddies.serve_app.daily.space import Space
    from spotify_buddies.serve_app.ranking.query import RankedLists
    from spotify_buddies.trainer.bundle import Bundle
    from spotify_buddies.trainer.registry.registry import Registry, VersionInfo

READ_WITHIN_S = 5.0
STORE_TIMEOUT_S = 30.0

app = typer.Typer(help="Lists computed once a day.", no_args_is_help=True)

OfAlias = Annotated[str | None, typer.Option(help="Registry alias; default: the one that is served.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON for scripts.")]


@app.command()
def run(
    context: typer.Context,
    alias: OfAlias = None,
    again: Annotated[bool, typer.Option(help="Also when today's lists are complete.")] = False,
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray", metavar="auto|HOST:PORT", help="Score on a Ray cluster: one that runs, else one on this machine."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score every listener with one version and write the lists into Redis, for Recommend in daily mode.

    Readers see the lists when all of them are there. A run that was cut off goes on when the command is repeated.

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
                bundle,
                version.number,
                store,
                model=settings.registry.model,
                now=datetime.now(UTC),
                ttl_s=settings.serve.daily_ttl_s,
                again=again,
                serving=_named(registry),
                blocks=blocks,
                progress=Reporter(),
            )
        now = registry.resolve(name).number
    show(_summary(report, now), as_json=True) if as_json else _tell(report, name, now)


@app.command()
def status(context: typer.Context, as_json: AsJson = False) -> None:
    """Show what is stored: versions, lists, whether they are complete and read, age, life left, memory.

    Example: buddies daily status --json
    """
    from spotify_buddies.foundation.terminal.console import explained, show
    from spotify_buddies.serve_app.daily.index import look

    settings: Settings = context.obj
    with explained(_redis_error()), _store(settings) as store:
        found = [_shown(state, datetime.now(UTC)) for state in look(store, settings.registry.model)]
    if as_json:
        show({"spaces": found}, as_json=True)
        return
    say(f"{len(found)} sets of lists of {settings.registry.model}")
    for item in found:
        what = "read" if item["read"] else "complete" if item["complete"] else "unfinished"
        say(
            f"  version {item['version']}  {item['name']}  {what:<10}  {item['lists']:,} lists of {item['users']:,} "
            f"users  blocks {item['blocks']:,}/{item['blocks_total']:,}  {item['stored_bytes'] / 2**20:,.1f} MiB  "
            f"age {item['age_s']:,} s  {item['ttl_left_s']:,} s left"
        )


@app.command("show")
def show_list(
    context: typer.Context,
    user: Annotated[str, typer.Argument(help="User id.", metavar="USER", callback=an_id)],
    alias: OfAlias = None,
    as_json: AsJson = False,
) -> None:
    """Show the stored list of one listener, as it would be read with nothing left out.

    Example: buddies daily show 4e73d9e058d2b1f2dba9c1fe4a8f416f9f58364f
    """
    from spotify_buddies.foundation.terminal.console import explained, show
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
    playlists = [_playlist(bundle, lists, at) for at in range(int(lists.counts[0]))]
    if as_json:
        show({"user_id": user, "version": version.number, "playlists": playlists}, as_json=True)
        return
    say(f"{len(playlists)} playlists for {user} with version {version.number}")
    for rank, item in enumerate(playlists, 1):
        say(f"  {rank:>2}  {item['score']:8.4f}  {visible(item['playlist_id'])}  {visible(item['title'])}")


async def _read(engine: Any, url: str, user: str) -> RankedLists | None:
    """The stored list, ranked; None: there is none. RedisError, TimeoutError: the store does not answer."""
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
    """The version that an alias names now, for the whole of the command."""
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


def _summary(report: Report, now: str) -> dict[str, Any]:
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


def _tell(report: Report, alias: str, now: str) -> None:
    space = report.space
    if not report.written:
        say(f"the lists of {space.name} are complete already; --again writes them anew")
    say(
        f"{space.lists:,} lists of version {space.version} for {space.users:,} users, until {space.expires:%F %T} UTC; "
        "the rest is answered live"
    )
    if report.kept and report.written:
        say(f"{report.kept:,} of {space.blocks:,} blocks were there from a run that had been cut off")
    if now != space.version:
        say(f"{alias} is version {now} by now: run the command again for its lists")


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


def _playlist(bundle: Bundle, lists: RankedLists, at: int) -> dict[str, Any]:
    row = int(lists.rows[0, at])
    return {
        "playlist_id": bundle.playlist_ids.table[row],
        "title": bundle.playlist_titles[row],
        "score": float(lists.scores[0, at]),
    }
