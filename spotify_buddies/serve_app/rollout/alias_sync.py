"""The synchronisation with the registry: aliases moved by hand become a generation, active ones are written back.

A value in the registry is known if it was agreed on last, is being written, or belongs to the current generation. Any
other value was moved by hand. What was agreed and what is being written is in Postgres before the registry is touched,
so that the values of a controller that died in between do not look like a person's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import psycopg

from spotify_buddies.foundation.process.low_priority import low_priority_thread
from spotify_buddies.serve_app.generations import ledger
from spotify_buddies.serve_app.generations.state import Generation, GenerationState, Wanted
from spotify_buddies.serve_app.rollout import controller_state
from spotify_buddies.serve_app.rollout.activation import age_s
from spotify_buddies.serve_app.rollout.aliases import (
    PERCENT_TAG,
    Aliases,
    aliases_in,
    aliases_of,
    describe,
    merge,
    moved,
)
from spotify_buddies.serve_app.rollout.controller_state import read_state
from spotify_buddies.serve_app.rollout.preflight import Fetch, objections, seeds_of
from spotify_buddies.serve_app.settings.rollout import RolloutSettings
from spotify_buddies.trainer.registry.registry import Registry, RegistryError, RegistryUnavailable
from spotify_buddies.trainer.registry.worth import beneath

WHO, ACTION = "registry", "registry"
# Tags of a version that does not serve, by the kind of the event that says why.
TAGS = {"failed": "rollout_failed", "rolled_back": "rollout_rolled_back"}
TAG_LENGTH = 500
Answer = TypeVar("Answer")
_log = logging.getLogger(__name__)


class AliasSync:
    """Make it inside the running event loop; `step` about each second, one at a time; `close` at the end.

    fetch: a version's bundle. salt: makes a new one.
    """

    def __init__(self, registry: Registry, fetch: Fetch, settings: RolloutSettings, salt: Callable[[], str]) -> None:
        self._registry = registry
        self._fetch = fetch
        self._settings = settings
        self._salt = salt
        # One thread: calls reach the registry in their order, even when one of them hangs.
        self._thread = ThreadPoolExecutor(1, "registry")
        self._refusal = ""

    def close(self) -> None:
        """Drop the calls that wait; one that hangs ends by itself."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def step(self, connection: psycopg.AsyncConnection) -> None:
        """Read the registry once and act on it. psycopg.Error: Postgres is unreachable."""
        try:
            theirs = aliases_in(await self._ask(self._registry.read_aliases))
            await self._came_back(connection)
            await self._reconcile(connection, theirs)
            await self._tag(connection)
        except RegistryUnavailable as error:
            await self._went_away(connection, str(error))

    async def named(self) -> set[str]:
        """All versions that an alias names, ours and others'; empty without a model. RegistryUnavailable."""
        registered = await self._ask(self._registry.read_aliases)
        return set(registered.aliases.values())

    async def _reconcile(self, connection: psycopg.AsyncConnection, theirs: Aliases) -> None:
        newest = await ledger.read_newest(connection)
        current = await ledger.read_current(connection)
        if newest is None or current is None:
            await self._begin(connection, theirs, newest)
            return
        known = await read_state(connection)
        ours = aliases_of(current.wanted)
        # Before the first agreement the generations win over the registry.
        agreed = known.agreed or theirs
        by_hand = moved(theirs, agreed, known.writing or agreed, ours)
        if by_hand:
            await self._take_over(connection, theirs, by_hand, agreed, newest.number, current.wanted)
        elif theirs == ours:
            if known.agreed != ours or known.writing is not None:
                await controller_state.agree(connection, ours)
        elif current.state is GenerationState.ACTIVE:
            await self._write(connection, theirs, ours)

    async def _begin(self, connection: psycopg.AsyncConnection, theirs: Aliases, failed: Generation | None) -> None:
        """Propose the first generation, of alias production; one that failed is tried again after a while."""
        version = theirs.production
        if version is None:
            return
        if failed is not None and failed.wanted.production == version and not await self._waited(connection, failed):
            return
        after = 0 if failed is None else failed.number
        # Before the generation exists, so that every later step finds the agreement. The other aliases are no part of
        # it: the next step treats them as moved by hand, with all checks.
        await controller_state.agree(connection, Aliases(production=version))
        against = await self._beneath(version)
        why = f"alias production is version {version}"
        if await self._propose(connection, Wanted(version), after, why) and against:
            # Served nevertheless: there is nothing else to serve.
            message = f"served as the first version, although {'; '.join(against)}"
            await ledger.note(connection, after + 1, "warning", message, version=version)

    async def _beneath(self, version: str) -> list[str]:
        try:
            info = await self._ask(lambda: self._registry.get(version))
        except RegistryUnavailable:
            raise
        except RegistryError as error:
            return [str(error)]
        return beneath(info, seeds_of(self._settings))

    async def _waited(self, connection: psycopg.AsyncConnection, failed: Generation) -> bool:
        decided = failed.decided_at
        return decided is None or await age_s(connection, decided) >= self._settings.prepare_within_s

    async def _take_over(
        self,
        connection: psycopg.AsyncConnection,
        theirs: Aliases,
        by_hand: Mapping[str, str | None],
        agreed: Aliases,
        newest: int,
        wanted: Wanted,
    ) -> None:
        """Propose a generation from what was moved by hand; a later step puts back what is refused."""
        what = describe(by_hand, agreed)
        merged = merge(wanted, by_hand, first_percent=self._settings.first_percent, salt=self._salt)
        refused = list(merged.problems)
        changed = merged.wanted
        if against := await self._against(wanted, changed):
            refused, changed = [*refused, *against], wanted
        if changed != wanted and not await self._propose(connection, changed, newest, what):
            return  # somebody was faster: the next step finds the same moves again
        if refused:
            version = next((by_hand[name] for name in ("canary", "production", "shadow") if by_hand.get(name)), None)
            await ledger.note(
                connection, newest, "refused", f"{what}: {'; '.join(refused)}", version=version if against else None
            )
        await controller_state.agree(connection, theirs)

    async def _against(self, wanted: Wanted, changed: Wanted) -> list[str]:
        """Objections to the versions that would be new; a shadow and a previous one need only exist."""
        against: list[str] = []
        for version in changed.versions:
            if version in wanted.versions:
                continue
            serves = version in (changed.production, changed.canary)
            try:
                against += await self._check(version, wanted.production) if serves else await self._exists(version)
            except RegistryUnavailable:
                raise
            except RegistryError as error:
                against.append(str(error))
        return against

    async def _exists(self, version: str) -> list[str]:
        await self._ask(lambda: self._registry.get(version))
        return []

    async def _check(self, version: str, production: str) -> list[str]:
        # In its own thread: fetching can take minutes, and the registry must be readable meanwhile.
        thread = low_priority_thread("preflight")
        checked = asyncio.get_running_loop().run_in_executor(
            thread, objections, self._registry, self._fetch, version, production, self._settings
        )
        within_s = self._settings.prepare_within_s
        try:
            async with asyncio.timeout(within_s):
                return await checked
        except TimeoutError:
            return [f"version {version} could not be checked within {within_s:g} s"]
        finally:
            thread.shutdown(wait=False)

    async def _propose(self, connection: psycopg.AsyncConnection, wanted: Wanted, after: int, why: str) -> bool:
        model = self._registry.model
        try:
            await ledger.propose(connection, model, wanted, after=after, who=WHO, action=ACTION, why=why)
        except ledger.Overtaken:
            return False
        return True

    async def _write(self, connection: psycopg.AsyncConnection, theirs: Aliases, ours: Aliases) -> None:
        await controller_state.agree(connection, theirs, writing=ours)
        try:
            await self._ask(lambda: write(self._registry, theirs, ours))
        except RegistryUnavailable:
            raise
        except RegistryError as error:
            # Every step tries again, but the same refusal is one event.
            if self._refusal != (refusal := str(error)):
                self._refusal = refusal
                _log.warning("the registry's aliases cannot be set: %s", refusal)
                newest = await ledger.read_newest(connection)
                await ledger.note(connection, newest.number if newest else 0, "refused", refusal)
            return
        self._refusal = ""
        await controller_state.agree(connection, ours)

    async def _tag(self, connection: psycopg.AsyncConnection) -> None:
        """Write into the registry why versions do not serve."""
        for number, event in await controller_state.read_unreported(connection, list(TAGS)):
            version, text = event.version or "", f"generation {event.generation}: {event.message}"[:TAG_LENGTH]
            try:
                await self._ask(partial(self._registry.tag, version, {TAGS[event.kind]: text}))
            except RegistryUnavailable:
                raise
            except RegistryError as error:
                _log.warning("version %s cannot be tagged: %s", version, error)
            await controller_state.mark_reported(connection, number)

    async def _came_back(self, connection: psycopg.AsyncConnection) -> None:
        # In one transaction, here and below: nobody reads the state without its event.
        async with connection.transaction():
            away_s = await controller_state.registry_here(connection)
            if away_s is None:
                return
            await self._note(connection, "registry_back", f"the registry answers again after {away_s:.0f} s")

    async def _went_away(self, connection: psycopg.AsyncConnection, message: str) -> None:
        async with connection.transaction():
            if not await controller_state.registry_away(connection, message):
                return
            _log.warning("the registry is unreachable: %s", message)
            await self._note(connection, "registry_away", f"{message}; replicas keep serving what they have")

    async def _note(self, connection: psycopg.AsyncConnection, kind: str, message: str) -> None:
        newest = await ledger.read_newest(connection)
        await ledger.note(connection, 0 if newest is None else newest.number, kind, message)

    async def _ask(self, call: Callable[[], Answer]) -> Answer:
        """Call the registry in its thread. RegistryUnavailable: no answer within settings.registry_within_s."""
        within_s = self._settings.registry_within_s
        answer = asyncio.get_running_loop().run_in_executor(self._thread, call)
        try:
            async with asyncio.timeout(within_s):
                return await answer
        except TimeoutError:
            raise RegistryUnavailable(f"the model registry does not answer within {within_s:g} s") from None


def write(registry: Registry, theirs: Aliases, ours: Aliases) -> None:
    """Make the registry's aliases and percent agree with ours, the least dangerous first.

    The percent is deleted before the canary and set after it, so that no percent is left over for the next canary. Safe
    to repeat. RegistryError: a version is gone, or the registry does not answer.
    """
    if ours.percent is None and theirs.canary is not None:
        registry.tag_model(PERCENT_TAG, None)
    for name in ("previous", "canary", "shadow", "production"):
        version = getattr(ours, name)
        if version == getattr(theirs, name):
            continue
        if version is None:
            registry.delete_alias(name)
        else:
            registry.set_alias(name, version)
    if ours.percent is not None and (ours.percent != theirs.percent or ours.canary != theirs.canary):
        registry.tag_model(PERCENT_TAG, ours.percent)
