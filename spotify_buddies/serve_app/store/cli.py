"""`buddies store`: how much the feedback store holds, and its upkeep."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import Annotated, Any

import typer

from spotify_buddies.serve_app.settings.command import store_url

app = typer.Typer(help="The feedback store: reactions, impressions, blocks.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="JSON for scripts.")]


@app.command()
def status(context: typer.Context, as_json: AsJson = False) -> None:
    """Show rows, partitions, sizes and the oldest row of every table.

    Example: buddies store status
    """
    import psycopg

    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.serve_app.store.report import read_sizes

    with explained(psycopg.Error):
        sizes = read_sizes(store_url(context.obj, "postgres"))
    if as_json:
        typer.echo(json.dumps([asdict(size) for size in sizes], indent=1, default=str))
        return
    if not sizes:
        typer.echo("nothing is stored yet")
    for size in sizes:
        rows = f"{'about ' if size.estimated else ''}{size.rows:,} rows"
        oldest = f"oldest {size.oldest:%Y-%m-%d %H:%M}" if size.oldest else ""
        partitions = f"{size.partitions} partitions" if size.partitions > 1 else ""
        typer.echo(f"{size.table:<12} {rows:>24} {size.bytes / 2**20:>10,.1f} MiB  {partitions:<16} {oldest}".rstrip())


@app.command()
def maintain(context: typer.Context, as_json: AsJson = False) -> None:
    """Make partitions ahead, drop what is older than the retention, sweep blocks that ran out. Replicas do it daily.

    Example: BUDDIES_SERVE__IMPRESSIONS_DAYS=30 buddies store maintain
    """
    import psycopg

    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.serve_app.store.database.maintain import Retention

    settings = context.obj
    retention = Retention(settings.serve.impressions_days, settings.serve.feedback_days)
    with explained(psycopg.Error):
        done = asyncio.run(_maintain(store_url(settings, "postgres"), retention))
    if as_json:
        typer.echo(json.dumps(None if done is None else asdict(done)))
        return
    if done is None:
        typer.echo("another process maintains the store right now")
        return
    typer.echo(
        f"partitions: {len(done.created)} created, {len(done.dropped)} dropped, {len(done.sorted)} sorted; "
        f"reactions that got version and arm of their list: {done.attributed:,}; "
        f"rows deleted: {done.stray_rows:,} "
        f"outside the partitions, {done.keys:,} idempotency keys, {done.blocks:,} blocks that had run out"
    )


async def _maintain(url: str, retention: Any) -> Any:
    from spotify_buddies.serve_app.store.database.connections import connect
    from spotify_buddies.serve_app.store.database.maintain import maintain
    from spotify_buddies.serve_app.store.database.migrate import migrate

    connection = await connect(url, connect_s=5.0)
    async with connection:
        await migrate(connection)
        return await maintain(connection, retention)
