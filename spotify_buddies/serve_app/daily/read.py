"""Reading the lists of the day: one round trip for all users of a request, then the rules of the ranking."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from redis.exceptions import NoScriptError, RedisError

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.serve_app.daily.space import pointer
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.query import RankedLists, Skipped, Source
from spotify_buddies.serve_app.ranking.rules import Rules

Array = npt.NDArray[Any]
_NO_RULES = Rules()

# KEYS[1]: the version's pointer. ARGV[1]: user rows, int32 little-endian; -1 has no list. Returns the length of a list,
# all lists, one after the other, a missing one as 0xff (row -1), and when they were computed, "" if nobody says.
SCRIPT = r"""
local pointed = redis.call('GET', KEYS[1])
if not pointed then return false end
local name, block, length, created = string.match(pointed, '^(%S+) (%d+) (%d+) ?(%d*)$')
if not name then return false end
local bytes = length * 4
local prefix = string.sub(KEYS[1], 1, -8) .. name .. ':'
local missing = string.rep('\255', bytes)
local lists = {}
for at = 1, #ARGV[1], 4 do
  local row = struct.unpack('<i4', ARGV[1], at)
  local list = missing
  if row >= 0 then
    local first = row % block * bytes
    list = redis.call('GETRANGE', prefix .. math.floor(row / block), first, first + bytes - 1)
    if #list ~= bytes then list = missing end
  end
  lists[#lists + 1] = list
end
return {length, table.concat(lists), created}
"""
SCRIPT_SHA = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()


class Reader(Protocol):
    """The part of redis.asyncio.Redis that is used to read."""

    def evalsha(self, sha: str, numkeys: int, *keys_and_args: Any) -> Awaitable[Any] | Any:
        """Run a script that the server knows."""

    def eval(self, script: str, numkeys: int, *keys_and_args: Any) -> Awaitable[Any] | Any:
        """Run a script; the server remembers it."""


@dataclass(frozen=True)
class StoredLists:
    """Lists as they were stored: rows int32 (users, length), best first, then -1.

    computed: when the run that made them began, in Unix seconds; None: an earlier release wrote them.
    """

    rows: Array
    computed: int | None = None

    @property
    def counts(self) -> Array:
        """Number of playlists of each user, (users,)."""
        counts: Array = (self.rows >= 0).sum(axis=1)
        return counts

    @property
    def cut(self) -> Array:
        """Whether a list may have been cut at its length, bool (users,)."""
        cut: Array = self.counts == self.rows.shape[1]
        return cut

    def candidates(self, playlists: int) -> Csr:
        """The same as candidates to rank."""
        indptr = np.zeros(len(self.rows) + 1, np.int64)
        np.cumsum(self.counts, out=indptr[1:])
        return Csr(indptr, self.rows[self.rows >= 0], playlists)


def prefer_daily(
    engine: Engine, live: RankedLists, stored: StoredLists, excluded: Array, rules: Rules = _NO_RULES
) -> RankedLists:
    """Replace live lists by lists of the day, where there are any.

    live: the answer of Engine.rank_known to the same request. stored: the answer of `fetch` to it. A live list stays,
    marked DAILY_LIST skipped, for a user
    - without a list of the day,
    - whose list cannot fill the answer after exclusions and rules: nothing is left, or less than asked for although
      more candidates were cut off when it was written.
    Exclusions, rules and scores come from the ranking itself, with the stored playlists as the candidates. Any thread
    may call it.
    """
    limit = live.rows.shape[1]
    candidates = stored.candidates(engine.bundle.manifest.playlists)
    daily = engine.rank_candidates(live.song_rows, candidates, limit, excluded, rules)
    ranked = np.array([source is Source.LIVE for source in daily.sources], bool)
    serves = ranked & ~(stored.cut & (daily.counts < limit))
    return replace(
        live,
        computed=stored.computed,
        rows=np.where(serves[:, None], daily.rows, live.rows),
        scores=np.where(serves[:, None], daily.scores, live.scores),
        counts=np.where(serves, daily.counts, live.counts),
        candidate_sources=_merged(serves, daily.candidate_sources, live.candidate_sources),
        sources=tuple(Source.DAILY if ok else source for ok, source in zip(serves, live.sources, strict=True)),
        skipped=tuple(old if ok else (*old, Skipped.DAILY_LIST) for ok, old in zip(serves, live.skipped, strict=True)),
    )


def _merged(serves: Array, daily: Array | None, live: Array | None) -> Array | None:
    if daily is None or live is None:
        return live
    merged: Array = np.where(serves[:, None], daily, live)
    return merged


async def fetch(engine: Engine, redis: Reader | None, rows: Array, budget_s: float) -> StoredLists:
    """The lists of the day of user rows, in order; -1 has none. Empty lists when Redis does not answer in time."""
    nothing = StoredLists(np.full((len(rows), 1), -1, np.int32))
    if redis is None or not len(rows):
        return nothing
    try:
        async with asyncio.timeout(budget_s):
            return await stored_lists(engine, redis, rows) or nothing
    except (RedisError, OSError, TimeoutError):
        return nothing


async def stored_lists(engine: Engine, redis: Reader, rows: Array) -> StoredLists | None:
    """As `fetch`, without a budget; None: no lists of this version. RedisError, OSError."""
    answer = await _ask(redis, pointer(engine.version, engine.bundle.sha256), rows.astype("<i4").tobytes())
    return _unpack(answer, len(rows), engine.bundle.manifest.playlists)


async def _ask(redis: Reader, key: str, rows: bytes) -> Any:
    try:
        return await redis.evalsha(SCRIPT_SHA, 1, key, rows)
    except NoScriptError:
        return await redis.eval(SCRIPT, 1, key, rows)


def _unpack(answer: Any, count: int, playlists: int) -> StoredLists | None:
    """Redis is shared and outside our control: a value that cannot be ours counts as missing."""
    match answer:
        case [bytes() as length, bytes() as lists, bytes() as created] if len(lists) == count * int(length) * 4:
            rows = np.frombuffer(lists, "<i4").reshape(count, int(length)).astype(np.int32)
        case _:
            return None
    rows[((rows < -1) | (rows >= playlists)).any(axis=1)] = -1
    return StoredLists(rows, int(created) if created else None)
