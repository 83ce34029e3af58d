"""Weekly partitions: created in advance, filled from the default partition, dropped whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from psycopg import AsyncConnection, sql

WEEK = timedelta(days=7)
WEEKS_AHEAD = 3
SORT_AFTER = timedelta(days=1)
TABLES = ("impressions", "reactions", "wishes")


@dataclass(frozen=True)
class Week:
    """A partition: rows with first <= at < last, weeks from Monday 00:00 UTC."""

    table: str
    first: datetime

    @property
    def last(self) -> datetime:
        """The first moment that is not in it."""
        return self.first + WEEK

    @property
    def name(self) -> str:
        """The partition's name, as impressions_20261123."""
        return f"{self.table}_{self.first:%Y%m%d}"


def week_of(table: str, moment: datetime) -> Week:
    """The week that contains the moment."""
    day = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return Week(table, day - timedelta(days=day.weekday()))


async def existing(connection: AsyncConnection, table: str) -> list[Week]:
    """The weeks that have a partition, oldest first."""
    cursor = await connection.execute(
        "SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE inhparent = %s::regclass ORDER BY 1",
        (table,),
    )
    names = [name.removeprefix(f"{table}_") for (name,) in await cursor.fetchall()]
    return [Week(table, datetime.strptime(name, "%Y%m%d").replace(tzinfo=UTC)) for name in names if name.isdigit()]


async def create(connection: AsyncConnection, table: str, now: datetime) -> list[Week]:
    """Create this week, the next ones, and those of rows in the default partition; returns the new ones.

    Attaching a new table locks out only the writers of the default partition. Each week is a transaction.
    """
    wanted = {week_of(table, now + n * WEEK) for n in range(WEEKS_AHEAD + 1)}
    cursor = await connection.execute(
        sql.SQL("SELECT DISTINCT date_trunc('week', at, 'UTC') FROM {}").format(sql.Identifier(f"{table}_default"))
    )
    # Only times near now: a clock that was wrong once must not leave a partition for every year.
    oldest, newest = now - 1_500 * timedelta(days=1), now + WEEKS_AHEAD * WEEK
    wanted |= {week_of(table, first) for (first,) in await cursor.fetchall() if oldest < first < newest}
    missing = sorted(wanted - set(await existing(connection, table)), key=lambda week: week.first)
    for week in missing:
        await _attach(connection, week)
    return missing


async def drop(connection: AsyncConnection, table: str, before: datetime) -> tuple[list[Week], int]:
    """Drop the weeks that ended by then, and delete such rows of the default partition; returns weeks and rows."""
    dropped = []
    for week in await existing(connection, table):
        if week.last <= before:
            await connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(week.name)))
            dropped.append(week)
    default = sql.Identifier(f"{table}_default")
    cursor = await connection.execute(sql.SQL("DELETE FROM {} WHERE at < %s").format(default), (before - WEEK,))
    return dropped, cursor.rowcount


async def sort(connection: AsyncConnection, table: str, now: datetime) -> list[Week]:
    """Sort the rows of every finished week by user, once; returns the weeks sorted now.

    A user's rows of a week then lie in one or two pages instead of one page per list, and are read from disk in a third
    of the time. A week cannot be read while it is sorted, about 3 s for a million lists.

    psycopg.errors.LockNotAvailable: a reader holds the week for longer than lock_timeout; weeks sorted before stay so.
    """
    cursor = await connection.execute(
        "SELECT indrelid::regclass::text, indexrelid::regclass::text FROM pg_inherits"
        " JOIN pg_index ON indexrelid = inhrelid WHERE inhparent = %s::regclass AND NOT indisclustered",
        (f"{table}_user",),
    )
    unsorted: dict[str, str] = dict(await cursor.fetchall())
    # A day later, when nearly all lists that waited for an unreachable database are in it.
    weeks = [
        week for week in await existing(connection, table) if week.last + SORT_AFTER <= now and week.name in unsorted
    ]
    for week in weeks:
        names = {"week": sql.Identifier(week.name), "index": sql.Identifier(unsorted[week.name])}
        await connection.execute(sql.SQL("CLUSTER {week} USING {index}").format(**names))
        # Otherwise the planner still assumes a page of its own for every list.
        await connection.execute(sql.SQL("ANALYZE {week}").format(**names))
    return weeks


async def _attach(connection: AsyncConnection, week: Week) -> None:
    async with connection.transaction():
        for statement in _statements(week):
            await connection.execute(statement)


def _statements(week: Week) -> Iterator[sql.Composed]:
    parts = {
        "parent": sql.Identifier(week.table),
        "default": sql.Identifier(f"{week.table}_default"),
        "week": sql.Identifier(week.name),
        "first": sql.Literal(week.first),
        "last": sql.Literal(week.last),
    }
    # The lock comes first: a row that arrives in between would make attaching fail.
    yield sql.SQL("LOCK TABLE {default} IN ACCESS EXCLUSIVE MODE").format(**parts)
    yield sql.SQL("CREATE TABLE {week} (LIKE {parent} INCLUDING ALL)").format(**parts)
    yield sql.SQL(
        "WITH moved AS (DELETE FROM {default} WHERE at >= {first} AND at < {last} RETURNING *)"
        " INSERT INTO {week} SELECT * FROM moved"
    ).format(**parts)
    yield sql.SQL("ALTER TABLE {parent} ATTACH PARTITION {week} FOR VALUES FROM ({first}) TO ({last})").format(**parts)
