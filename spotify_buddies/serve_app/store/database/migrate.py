"""Migrations of the database schema: numbered SQL files, each applied once, in order."""

from __future__ import annotations

from importlib.resources import files

from psycopg import AsyncConnection

# Any number that is ours: replicas that start together must not migrate together.
LOCK = 0x62756464


def migrations() -> list[tuple[int, str]]:
    """The SQL of every migration by its number, ascending."""
    directory = files("spotify_buddies.serve_app.store.database") / "migrations"
    scripts = [item for item in directory.iterdir() if item.name.endswith(".sql")]
    return sorted((int(item.name.split("_")[0]), item.read_text(encoding="utf-8")) for item in scripts)


async def migrate(connection: AsyncConnection) -> list[int]:
    """Apply missing migrations in one transaction under an advisory lock; returns their numbers.

    psycopg.Error: the database refuses, and nothing was changed.
    """
    applied: list[int] = []
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations"
            " (number int PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        rows = await (await connection.execute("SELECT number FROM schema_migrations")).fetchall()
        done = {row[0] for row in rows}
        for number, sql in migrations():
            if number in done:
                continue
            await connection.execute(sql.encode())
            await connection.execute("INSERT INTO schema_migrations (number) VALUES (%s)", (number,))
            applied.append(number)
    return applied
