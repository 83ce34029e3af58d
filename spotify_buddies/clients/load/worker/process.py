"""One client process: it measures what standard input asks for, and reports on standard output, a JSON line each.

In: {"sample", "access"} once; then for each measurement {"plan", "process"} and, once all are ready, {"start"}.
Out: {"ready"} or {"failed"}; {"calls", "errors"} every second; {"record", "cpu_s", "rss_mib"}.
SIGTERM ends a measurement where it is; end of input ends the process.
"""

from __future__ import annotations

import asyncio
import json
import random
import selectors
import signal
import sys
import time
from typing import Any

import psutil

from spotify_buddies.clients.load.access import Access
from spotify_buddies.clients.load.plan import LoadPlan, Part, Protocol
from spotify_buddies.clients.load.sample import Sample
from spotify_buddies.clients.load.worker.drive import Drive
from spotify_buddies.clients.load.worker.exchange import Exchange, Unreachable
from spotify_buddies.clients.load.worker.record import Record
from spotify_buddies.clients.load.worker.requests import Requests, RequestsError
from spotify_buddies.clients.load.worker.rest import RestExchange

TICK_S = 1.0


async def serve() -> None:
    """Measure until the input ends."""
    given = await _read()
    sample = Sample.from_json(given["sample"])
    access = Access.from_json(given["access"]) if given["access"] else None
    while asked := await _read():
        part = LoadPlan.from_json(asked["plan"]).part(asked["process"])
        try:
            await _measure(part, sample, access, asked["round"])
        except* (Unreachable, RequestsError) as failures:
            _write({"failed": str(_first(failures))})


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    first: BaseException = failures
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first


def _exchange(part: Part, requests: Requests, access: Access | None) -> Exchange | RestExchange:
    return RestExchange(part) if part.plan.protocol is Protocol.REST else Exchange(part, requests, access)


async def _measure(part: Part, sample: Sample, access: Access | None, number: int) -> None:
    # Another round of the same plan asks for the same users, in another order and with its own keys.
    rng = random.Random(f"{part.plan.seed}/{part.process}/{number}")  # noqa: S311 - draws, no secrets
    requests = Requests(part.plan, sample, rng)
    async with _exchange(part, requests, access) as exchange:
        _write({"ready": True})
        start = (await _read()).get("start")
        if start is None:
            return  # another process could not begin
        record = Record()
        drive = asyncio.ensure_future(Drive(part, requests, exchange, record).run(start))
        loop = asyncio.get_running_loop()
        # Cancelling the drive alone keeps what it counted, and the answer below is still written.
        loop.add_signal_handler(signal.SIGTERM, drive.cancel)
        ticks = asyncio.create_task(_tick(record))
        # The warm-up is left out: connecting and the first calls cost more than those that are measured.
        cpu = asyncio.create_task(_cpu_at(start + part.plan.warmup_s))
        await asyncio.wait([drive])
        # Before the record is encoded, which is no work of a caller.
        worked = time.process_time()
        ticks.cancel()
        loop.remove_signal_handler(signal.SIGTERM)
        if not drive.cancelled():
            drive.result()
        record.sources, record.checked = exchange.sources, exchange.checked
    before = cpu.result() if cpu.done() else worked
    cpu.cancel()
    rss_mib = psutil.Process().memory_info().rss / 2**20
    _write({"record": record.to_json(), "cpu_s": worked - before, "rss_mib": rss_mib})


async def _cpu_at(when: float) -> float:
    """Processor seconds of this process at a time of the loop's clock."""
    await asyncio.sleep(max(0.0, when - asyncio.get_running_loop().time()))
    return time.process_time()


async def _tick(record: Record) -> None:
    while True:
        await asyncio.sleep(TICK_S)
        _write({"calls": record.answered, "errors": record.errors.total()})


async def _read() -> dict[str, Any]:
    # In a thread: a blocking read would hold up calls and ticks.
    line = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    return dict(json.loads(line)) if line.strip() else {}


def _write(body: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(body) + "\n")
    sys.stdout.flush()


def new_loop() -> asyncio.AbstractEventLoop:
    """A loop whose timers go by microseconds: epoll's, the default, round up to the next millisecond."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())
