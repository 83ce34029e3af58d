"""Sending requests that no client would send: every answer must be a status that the caller can understand."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Any

import grpc

from spotify_buddies.clients.command.endpoints import running
from spotify_buddies.clients.drills.framework.drill import Stage
from spotify_buddies.clients.drills.framework.result import DrillResult, FaultCost
from spotify_buddies.clients.drills.fuzz.cases import FuzzCase, cases
from spotify_buddies.clients.python.channel import direct
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb

NAME = "fuzz"
SERVICE = pb.DESCRIPTOR.services_by_name["RecommenderService"].full_name
CALLERS = 32
DEADLINE_S = 30.0
# What a caller may be told of a request of its own making. Anything else is a defect of the server.
ALLOWED = frozenset({"OK", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "ALREADY_EXISTS"})


@dataclass(frozen=True)
class Fuzzed:
    """statuses: how many cases ended with each. worst: some cases whose status is not allowed, by status."""

    statuses: dict[str, int]
    worst: dict[str, FuzzCase]

    @property
    def failed(self) -> int:
        """Cases whose status is not allowed."""
        return sum(count for status, count in self.statuses.items() if status not in ALLOWED)


def play(stage: Stage) -> DrillResult:
    """The drill."""
    options = stage.options
    fuzzed = asyncio.run(fuzz(stage.address, options.cases, options.seed, tuple(stage.users.user_ids)))
    problems = [
        f"{fuzzed.statuses[status]:,} x {status}, as {case.method} with bytes {case.data.hex()}"
        for status, case in fuzzed.worst.items()
        if status not in ALLOWED
    ]
    if running(stage.service.state_dir) is None:
        problems.append("the service ended")
    return DrillResult(
        NAME,
        requests=options.cases,
        failed=fuzzed.failed,
        errors=fuzzed.statuses,
        cost=FaultCost(healed_s=0.0),
        problems=tuple(problems),
    )


async def fuzz(address: str, count: int, seed: int, ids: tuple[str, ...] = ()) -> Fuzzed:
    """Send so many cases and count the statuses. The server must be up: one that is gone shows as UNAVAILABLE."""
    statuses: Counter[str] = Counter()
    worst: dict[str, FuzzCase] = {}
    source = iter(cases(seed, ids))
    left = count

    async def caller(channel: grpc.aio.Channel) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            case = next(source)
            status = await _send(channel, case)
            statuses[status] += 1
            if status not in ALLOWED:
                worst.setdefault(status, case)

    async with grpc.aio.insecure_channel(address, options=direct(address)) as channel:
        await asyncio.gather(*(caller(channel) for _ in range(CALLERS)))
    return Fuzzed(dict(statuses), worst)


async def _send(channel: grpc.aio.Channel, case: FuzzCase) -> str:
    path = f"/{SERVICE}/{case.method}"
    # Without serialisers gRPC takes and gives bytes, which its types do not know.
    call: Any = channel.unary_stream(path) if case.method == "RecommendStream" else channel.unary_unary(path)
    try:
        if case.method == "RecommendStream":
            async for _ in call(case.data, timeout=DEADLINE_S):
                pass
        else:
            await call(case.data, timeout=DEADLINE_S)
    except grpc.aio.AioRpcError as error:
        return str(error.code().name)
    return "OK"
