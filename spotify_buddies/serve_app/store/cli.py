"""`buddies store`: sizes and upkeep of the feedback store."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spotify_buddies.foundation.terminal.console import AsJson
from spotify_buddies.foundation.terminal.visible import say
from spotify_buddies.serve_app.settings.command import store_url

if TYPE_CHECKING:
    from spotify_buddies.serve_app.store.report import TableSize

app = typer.Typer(help="The feedback store: reactions, impressions, blocks.", no_args_is_help=True)


@app.command()
def status(context: typer.Context, as_json: AsJson = False) -> None:
    """Show rows, partitions, sizes and the oldest row of every table.

    Example: buddies store status
    """
    import psycopg

    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.foundation.terminal.tables import table
    from spotify_buddies.serve_app.store.report import read_sizes

    with explained(psycopg.Error):
        sizes = read_sizes(store_url(context.obj, "postgres"))
    if as_json:
        say(json.dumps([asdict(size) for size in sizes], indent=1, default=str))
        return
    if not sizes:
        say("nothing is stored yet")
        return
    say(table(("table", "rows", "size", "partitions", "oldest"), map(_row, sizes), right=(1, 2, 3)))


@app.command("migrate")
def migrate_schema(context: typer.Context, as_json: AsJson = False) -> None:
    """Bring the schema up to date, as everything that writes does by itself before it begins.

    Example: buddies store migrate
    """
    import psycopg

    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.serve_app.store.database.connections import connect
    from spotify_buddies.serve_app.store.database.migrate import migrate

    async def apply() -> list[int]:
        async with await connect(store_url(context.obj, "postgres"), connect_s=5.0) as connection:
            return await migrate(connection)

    with explained(psycopg.Error):
        applied = asyncio.run(apply())
    numbers = ", ".join(map(str, applied))
    said = f"migrations applied: {numbers}" if applied else "the schema is up to date"
    say(json.dumps({"applied": applied}) if as_json else said)


@app.command()
def maintain(context: typer.Context, as_json: AsJson = False) -> None:
    """Create partitions, drop rows older than the retention, delete expired blocks. Replicas do it daily.

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
        say(json.dumps(None if done is None else asdict(done)))
        return
    if done is None:
        say("another process is maintaining the store")
        return
    say(
        f"partitions: {len(done.created)} created, {len(done.dropped)} dropped, {len(done.sorted)} sorted; "
        f"reactions that got version and arm of their list: {done.attributed:,}; "
        f"rows deleted: {done.stray_rows:,} "
        f"outside the partitions, {done.keys:,} idempotency keys, {done.blocks:,} expired blocks"
    )


@app.command("export-follows")
def export(
    context: typer.Context,
    output: Annotated[Path, typer.Argument(help="The file, .parquet or .csv, beside your other raw files.")],
    as_json: AsJson = False,
) -> None:
    """Write what listeners like and dislike as a file of real follows, which `buddies data build` reads.

    Example: buddies store export-follows ~/music-data/feedback.parquet
    """
    import psycopg

    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.serve_app.store.export import UnknownForm, export_follows

    with explained(psycopg.Error, OSError, UnknownForm):
        count = export_follows(store_url(context.obj, "postgres"), output)
    say(json.dumps({"rows": count, "file": str(output)}) if as_json else f"{count:,} likes and dislikes in {output}")


def _row(size: TableSize) -> tuple[str, ...]:
    about = "about " if size.estimated else ""
    oldest = f"{size.oldest:%Y-%m-%d %H:%M}" if size.oldest else ""
    return size.table, f"{about}{size.rows:,}", f"{size.bytes / 2**20:,.1f} MiB", f"{size.partitions}", oldest


async def _maintain(url: str, retention: Any) -> Any:
    from spotify_buddies.serve_app.store.database.connections import connect
    from spotify_buddies.serve_app.store.database.maintain import maintain
    from spotify_buddies.serve_app.store.database.migrate import migrate

    connection = await connect(url, connect_s=5.0)
    async with connection:
        await migrate(connection)
        return await maintain(connection, retention)
