"""Activation: a generation becomes active or fails, depending on the reports of the replicas."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import psycopg

from spotify_buddies.serve_app.generations import ledger
from spotify_buddies.serve_app.generations.state import Generation, GenerationState, Load, Report


async def activate(connection: psycopg.AsyncConnection, prepare_within_s: float) -> Generation | None:
    """Decide what can be decided now, and return the newest generation as it is then; None: there is none.

    Overtaken generations that are still preparing fail. The newest becomes active once every live replica has prepared
    it; it fails when a replica cannot load one of its versions, or has not prepared it after prepare_within_s. Replicas
    that are gone do not count; without any live replica nothing is decided. Safe to repeat: decisions are final.
    """
    newest = await ledger.read_newest(connection)
    if newest is None:
        return None
    for number in await _overtaken(connection, newest.number):
        await ledger.decide(connection, number, GenerationState.FAILED, f"overtaken by generation {newest.number}")
    if newest.state is not GenerationState.PREPARING:
        return newest
    reports = await ledger.read_reports(connection)
    active = await ledger.read_newest(connection, GenerationState.ACTIVE)
    if (failed := _failed(newest, reports)) is not None:
        version, message = failed
        await _fail(connection, newest, active, version, message)
    elif reports and all(report.prepared >= newest.number for report in reports):
        await ledger.decide(connection, newest.number, GenerationState.ACTIVE)
    elif reports and active is not None and await age_s(connection, newest.at) > prepare_within_s:
        message = f"not prepared within {prepare_within_s:g} s: {_behind(newest, reports)}"
        await _fail(connection, newest, active, _new_version(newest, active), message)
    return await ledger.read_newest(connection)


async def age_s(connection: psycopg.AsyncConnection, written: datetime) -> float:
    """Seconds since a time that the database wrote, by its own clock."""
    cursor = await connection.execute("SELECT extract(epoch FROM clock_timestamp() - %s)::double precision", (written,))
    ((seconds,),) = await cursor.fetchall()
    return float(seconds)


async def _overtaken(connection: psycopg.AsyncConnection, newest: int) -> list[int]:
    cursor = await connection.execute(
        "SELECT number FROM rollout_generations WHERE state = 'preparing' AND number < %s ORDER BY number", (newest,)
    )
    return [number for (number,) in await cursor.fetchall()]


def _failed(newest: Generation, reports: Sequence[Report]) -> tuple[str, str] | None:
    """A version that a replica could not load for this generation, and its message; None: there is none.

    A failure from before the generation belongs to an earlier one: proposing the version again asks for another try.
    """
    for report in reports:
        for version in newest.wanted.versions:
            held = report.versions.get(version)
            if held is not None and held.state is Load.FAILED and held.since >= newest.at:
                return version, f"{report.replica} cannot serve version {version}: {held.message}"
    return None


async def _fail(
    connection: psycopg.AsyncConnection,
    newest: Generation,
    active: Generation | None,
    version: str | None,
    message: str,
) -> None:
    """Fail the generation and write the event that becomes the registry's tag, in one transaction."""
    # A version that serves already is not to blame: a replica without a disk fails on every version.
    blamed = None if active is not None and version in active.wanted.versions else version
    async with connection.transaction():
        if await ledger.decide(connection, newest.number, GenerationState.FAILED, message):
            await ledger.note(connection, newest.number, "failed", message, version=blamed)


def _new_version(newest: Generation, active: Generation) -> str | None:
    return next((version for version in newest.wanted.versions if version not in active.wanted.versions), None)


def _behind(newest: Generation, reports: Sequence[Report]) -> str:
    """The replicas that have not prepared the generation, with the states of its versions, as text."""
    late = [report for report in reports if report.prepared < newest.number]
    return "; ".join(f"{report.replica} ({_states(newest, report)})" for report in late)


def _states(newest: Generation, report: Report) -> str:
    states = []
    for version in newest.wanted.versions:
        held = report.versions.get(version)
        if held is None:
            states.append(f"version {version} missing")
        elif held.state is not Load.READY:
            states.append(f"version {version} {held.state} {held.message}".rstrip())
    return ", ".join(states) or "all versions ready"
