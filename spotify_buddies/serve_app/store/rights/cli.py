"""`buddies user`: the rights of a listener."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spotify_buddies.foundation.terminal.console import AsJson, an_id
from spotify_buddies.foundation.terminal.visible import say
from spotify_buddies.serve_app.settings.command import Settings, store_url

if TYPE_CHECKING:
    from spotify_buddies.serve_app.store.rights.erase import Receipt
    from spotify_buddies.serve_app.store.rights.places import Places

app = typer.Typer(help="What is held of a listener: export it, erase it.", no_args_is_help=True)

# What servers keep in files of their own, which nobody else may read or change.
OWN_FILES = ("postgres", "valkey", "mlflow")

User = Annotated[str, typer.Argument(help="User id.", metavar="ID", callback=an_id)]


@app.command()
def export(
    context: typer.Context,
    user: User,
    out: Annotated[Path | None, typer.Option(help="File for the document; default: standard output.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write everything that the stores hold of a listener as one JSON document.

    Example: buddies user export 4e73d9e058d2b1f2dba9c1fe4a8f416f9f58364f --out listener.json
    """
    import psycopg
    from redis.exceptions import RedisError

    from spotify_buddies.foundation.process.errors import LaunchError
    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.serve_app.store.rights.export import export as parts

    with explained(psycopg.Error, RedisError, LaunchError):
        document = parts(_places(context.obj), user)
        if out is None:
            for part in document:
                sys.stdout.write(part)
            return
        size = _write(out, document)
    say(json.dumps({"file": str(out), "bytes": size}) if as_json else f"{size:,} bytes in {out}")


@app.command()
def erase(
    context: typer.Context,
    user: User,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    search: Annotated[
        bool,
        typer.Option("--search", help="Name the files of the state directory that hold the id: bundles, raw files."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Erase a listener from every store and print the receipt. Repeat it until nothing is left.

    Example: buddies user erase 4e73d9e058d2b1f2dba9c1fe4a8f416f9f58364f --yes --json > receipt.json
    """
    import psycopg

    from spotify_buddies.foundation.process.errors import LaunchError
    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.serve_app.store.rights.erase import erase as erase_everywhere

    if not yes:
        typer.confirm("Erase everything that is held of this listener? It cannot be undone", abort=True, err=True)
    with explained(psycopg.Error, LaunchError):
        places = _places(context.obj)
        asyncio.run(_migrated(places.postgres_url))
        receipt = erase_everywhere(places, user)
        if search:
            from spotify_buddies.serve_app.store.rights.extracts import still_in

            found = still_in(context.obj.state_dir, user, leave_out=OWN_FILES)
            receipt.notes += [f"{path} holds the id" for path in found]
    say(json.dumps(receipt.to_json(), indent=1)) if as_json else _tell(receipt)
    if not receipt.complete:
        raise typer.Exit(1)


@app.command()
def erased(
    context: typer.Context,
    hashes: Annotated[Path, typer.Option(help="File for the hashes, one JSON document.")],
    as_json: AsJson = False,
) -> None:
    """Write the hashes of erased listeners, for whoever builds a data set from files that still hold them.

    A listener is to be left out where pseudonym(key, user id) is among them. The key is not written.

    Example: buddies user erased --hashes erased.json
    """
    import psycopg

    from spotify_buddies.foundation.process.errors import LaunchError
    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.serve_app.store.rights.hashes import read_hashes

    with explained(psycopg.Error, LaunchError):
        url = store_url(context.obj, "postgres")
        asyncio.run(_migrated(url))
        document = read_hashes(url)
        _write(hashes, [json.dumps(document, indent=1), "\n"])
    count = len(document["listeners"])
    say(json.dumps({"file": str(hashes), "listeners": count}) if as_json else f"{count:,} hashes in {hashes}")


@app.command()
def readmit(
    context: typer.Context,
    before: Annotated[str, typer.Option(help="Time in UTC, such as 2026-11-28T12:00.")],
    as_json: AsJson = False,
) -> None:
    """Forget erasures before a time, once every version that may serve was built without these listeners.

    Until then they are answered as unknown, also with a new history. The hashes go.

    Example: buddies user readmit --before 2026-11-28T00:00
    """
    import psycopg

    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.serve_app.store.rights.hashes import a_time, forget

    moment = a_time(before)
    with explained(psycopg.Error):
        url = store_url(context.obj, "postgres")
        asyncio.run(_migrated(url))
        count = forget(url, moment)
    say(json.dumps({"erasures": count}) if as_json else f"{count:,} erasures forgotten")


def _places(settings: Settings) -> Places:
    from spotify_buddies.foundation.text.pseudonym import read_key
    from spotify_buddies.serve_app.settings.command import read_endpoints
    from spotify_buddies.serve_app.store.rights.places import Places

    endpoints = read_endpoints(settings.state_dir)
    bundle = endpoints.bundle if endpoints is not None else None
    postgres, redis = store_url(settings, "postgres"), store_url(settings, "redis")
    settings.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = read_key(settings.state_dir, settings.serve.erasure_key_file)
    return Places(postgres, redis, key, settings.state_dir, Path(bundle) if bundle else None)


def _tell(receipt: Receipt) -> None:
    say(f"erased listener {receipt.listener[:16]}.. at {receipt.erased_at:%Y-%m-%d %H:%M:%S} UTC")
    for place, rows in receipt.rows.items():
        told = ", ".join(f"{name} {count:,}" for name, count in rows.items()) or "nothing"
        say(f"  {place}: {told}")
    say(f"  honoured by {len(receipt.confirmed):,} running processes")
    for note in receipt.notes:
        say(f"  stays: {note}")
    for sentence in receipt.left:
        say(f"left: {sentence}", err=True)


def _write(path: Path, parts: Any) -> int:
    """Write a file that only this user can read, replaced when it is complete; its bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.partial")
    scratch.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            for part in parts:
                file.write(part)
        size = scratch.stat().st_size
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
    return size


async def _migrated(url: str) -> None:
    from spotify_buddies.serve_app.store.database.connections import connect
    from spotify_buddies.serve_app.store.database.migrate import migrate

    connection = await connect(url, connect_s=5.0)
    async with connection:
        await migrate(connection)
