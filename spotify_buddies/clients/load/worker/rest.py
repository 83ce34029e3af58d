"""Calls of the published HTTP shape, for peers that serve it: ids in, ids out."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any, Self

from spotify_buddies.clients.load.plan import Part
from spotify_buddies.clients.load.worker.exchange import CONNECT_WITHIN_S, Unreachable
from spotify_buddies.clients.load.worker.record import WRONG_ANSWER, CallOutcome
from spotify_buddies.clients.load.worker.requests import Request

PATH = "/api/playlist/recommend/"


class RestExchange:
    """The connections of one client process, one for each caller: HTTP/1.1 carries one call at a time."""

    def __init__(self, part: Part) -> None:
        self._plan = part.plan
        self._callers = part.callers
        self._url = f"http://{part.plan.address}{PATH}"
        self._session: Any = None
        self._answered = 0
        self.sources: Counter[str] = Counter()
        self.checked = 0

    async def __aenter__(self) -> Self:
        """Open the session. Unreachable: nothing listens, or the client's library is missing."""
        try:
            import aiohttp
        except ModuleNotFoundError as error:
            raise Unreachable(f"{error.name} is not installed: pip install 'spotify-buddies[peers]'") from error
        try:
            async with asyncio.timeout(CONNECT_WITHIN_S):
                _, writer = await asyncio.open_connection(*self._plan.address.rsplit(":", 1))
        except (OSError, TimeoutError):
            raise Unreachable(f"nothing answers at {self._plan.address} within {CONNECT_WITHIN_S:g} s") from None
        writer.close()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._callers),
            timeout=aiohttp.ClientTimeout(total=self._plan.timeout_s),
            headers={"content-type": "application/json"},
            trust_env=False,
        )
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._session.close()

    async def send(self, request: Request, caller: int) -> bytes | CallOutcome:
        """Send and wait: the answer's bytes, or how it failed."""
        import aiohttp

        del caller
        try:
            async with self._session.post(self._url, data=request.payload) as response:
                answer: bytes = await response.read()
                status: int = response.status
        except TimeoutError:
            return CallOutcome("DEADLINE_EXCEEDED", "", f"no answer within {self._plan.timeout_s:g} s")
        except aiohttp.ClientError as error:
            return CallOutcome("UNAVAILABLE", "", str(error))
        return answer if status == 200 else CallOutcome(f"HTTP {status}", "", answer[:200].decode(errors="replace"))

    def judge(self, request: Request, answer: bytes) -> CallOutcome:
        """How a call ended that was answered; one answer in `check_every` is decoded and checked."""
        self._answered += 1
        if self._answered % self._plan.check_every != 0:
            return CallOutcome(users=request.users)
        self.checked += 1
        try:
            lists = [item["playlists"] for item in json.loads(answer)]
        except (ValueError, TypeError, KeyError):
            return _wrong("not the JSON of the published shape")
        if len(lists) != request.users:
            return _wrong(f"{len(lists)} lists for {request.users} users")
        return CallOutcome(users=request.users) if all(lists) else _wrong("a user got no playlist")


def _wrong(message: str) -> CallOutcome:
    return CallOutcome(WRONG_ANSWER, "", message)
