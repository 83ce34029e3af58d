"""The closed loop, whose callers wait for their answers, and the open loop, whose schedule waits for nobody."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import count
from typing import Protocol

from spotify_buddies.clients.load.plan import Part
from spotify_buddies.clients.load.worker.record import NOT_SENT, CallOutcome, Record
from spotify_buddies.clients.load.worker.requests import Request


class Sender(Protocol):
    """A carrier of requests: Exchange, or a test's."""

    async def send(self, request: Request, caller: int) -> bytes | CallOutcome:
        """The answer, or how it failed."""

    def judge(self, request: Request, answer: bytes) -> CallOutcome:
        """How an answered call ended; its time has been taken."""


class RequestSource(Protocol):
    """A source of requests: Requests, or a test's."""

    def next(self) -> Request:
        """The next one."""


@dataclass
class Drive:
    """One process's part of one measurement, on the running event loop, whose clock it goes by.

    Times are seconds of the loop's clock.
    """

    part: Part
    source: RequestSource
    sender: Sender
    record: Record

    async def run(self, start: float) -> None:
        """Measure from `start` plus the warm-up on. Cancelled, the record holds what was counted until then.

        Closed loop: each caller sends when its last answer is there. Open loop: calls have their times in a schedule
        that was fixed before; each is sent at its time by a caller that is free, later when none is, and its latency
        counts from its time in either case. What could not be sent within a timeout after the end is NOT_SENT.
        """
        plan, loop = self.part.plan, asyncio.get_running_loop()
        self._first = start + plan.warmup_s
        self._end = self._first + plan.duration_s
        await _sleep_until(start)
        caller = self._closed if plan.rate is None else self._open
        self._numbers = count()
        try:
            # The open loop too has a fixed number of callers: a call beyond it is sent late, and the delay shows that.
            async with asyncio.TaskGroup() as tasks:
                for number in range(self.part.callers):
                    tasks.create_task(caller(number, start))
        finally:
            # An interrupted measurement is shorter, and its rates are per second of what was measured.
            self.record.span_s = min(max(loop.time() - self._first, 0.0), plan.duration_s)

    async def _closed(self, caller: int, start: float) -> None:
        del start
        loop = asyncio.get_running_loop()
        while (now := loop.time()) < self._end:
            await self._call(caller, now)

    async def _open(self, caller: int, start: float) -> None:
        loop = asyncio.get_running_loop()
        # One counter for all callers: whoever is free takes the next call of the schedule.
        for number in self._numbers:
            due = self.part.send_time_s(number)
            if due is None:
                return
            await _sleep_until(start + due)
            if loop.time() < self._end + self.part.plan.timeout_s:
                await self._call(caller, start + due)
            else:
                self._count(self.source.next(), CallOutcome(NOT_SENT, "", "the server was too far behind"), start + due)

    async def _call(self, caller: int, due: float) -> None:
        """Send one call now; its latency counts from `due`."""
        loop = asyncio.get_running_loop()
        request = self.source.next()
        sent = loop.time()
        answer = await self.sender.send(request, caller)
        done = loop.time()
        outcome = answer if isinstance(answer, CallOutcome) else self.sender.judge(request, answer)
        self._count(request, outcome, due, sent, done)

    def _count(
        self, request: Request, outcome: CallOutcome, due: float, sent: float | None = None, done: float | None = None
    ) -> None:
        done = asyncio.get_running_loop().time() if done is None else done
        sent = done if sent is None else sent
        # Rates count ends within the measurement, latencies count calls due within it: a queue that grows would
        # otherwise raise the one or hide from the other.
        if outcome.ok and self._first <= done < self._end:
            self.record.answered += 1
            self.record.answered_users += outcome.users
        if due >= self._first:
            latency_us, service_us = round((done - due) * 1e6), round((done - sent) * 1e6)
            self.record.add(request.kind, outcome, int(due - self._first), latency_us, service_us)


async def _sleep_until(when: float) -> None:
    wait_s = when - asyncio.get_running_loop().time()
    if wait_s > 0:
        await asyncio.sleep(wait_s)
