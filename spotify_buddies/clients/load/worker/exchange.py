"""One request sent, and its answer judged."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, Self

import grpc
from google.protobuf.message import DecodeError

from spotify_buddies.clients.load.access import Access
from spotify_buddies.clients.load.mix import CallKind
from spotify_buddies.clients.load.plan import Part
from spotify_buddies.clients.load.worker.record import WRONG_ANSWER, CallOutcome
from spotify_buddies.clients.load.worker.requests import Request, Requests
from spotify_buddies.clients.python.channel import direct
from spotify_buddies.clients.python.errors import from_grpc
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb

CONNECT_WITHIN_S = 5.0
_METHOD = "/buddies.v1.RecommenderService/{}"
_OPTIONS = (
    # One TCP connection for each channel, rather than one for all channels to an address.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", 64 * 2**20),
    # A retry would hide a failure.
    ("grpc.enable_retries", 0),
)
_Methods = dict[CallKind, Any]


class Unreachable(Exception):
    """Nothing answers at the address."""


class Exchange:
    """The connections of one client process. Answers are bytes; one in `check_every` is decoded and checked."""

    def __init__(self, part: Part, requests: Requests, access: Access | None = None) -> None:
        """access: for a plan with TLS."""
        self._plan = part.plan
        self._requests = requests
        self._channels = [
            _channel(part.plan.address, access if part.plan.tls else None) for _ in range(part.connections)
        ]
        self._methods: list[_Methods] = [_methods(channel) for channel in self._channels]
        self._answered = 0
        self.sources: Counter[str] = Counter()
        self.checked = 0

    async def __aenter__(self) -> Self:
        """Connect, and fetch recommendations where feedback needs them. Unreachable: nothing answers in 5 seconds."""
        try:
            async with asyncio.timeout(CONNECT_WITHIN_S):
                await asyncio.gather(*(channel.channel_ready() for channel in self._channels))
        except TimeoutError:
            await self.__aexit__()
            raise Unreachable(f"nothing answers at {self._plan.address} within {CONNECT_WITHIN_S:g} s") from None
        for payload in self._requests.priming():
            try:
                answer = await self._methods[0][CallKind.KNOWN](payload, timeout=30.0)
            except grpc.aio.AioRpcError as error:
                await self.__aexit__()
                raise Unreachable(
                    f"{self._plan.address} gives no recommendations for feedback: {from_grpc(error)}"
                ) from error
            self._requests.keep(pb.RecommendResponse.FromString(answer))
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for channel in self._channels:
            await channel.close()

    async def send(self, request: Request, caller: int) -> bytes | CallOutcome:
        """Send and wait: the answer's bytes, or how it failed. The callers are dealt over the connections."""
        method = self._methods[caller % len(self._methods)][request.kind]
        try:
            answer: bytes = await method(request.payload, timeout=self._plan.timeout_s)
        except grpc.aio.AioRpcError as failure:
            error = from_grpc(failure)
            return CallOutcome(error.code, error.reason, error.message)
        return answer

    def judge(self, request: Request, answer: bytes) -> CallOutcome:
        """How a call ended that was answered; one answer in `check_every` is decoded and checked."""
        # Decoding takes time of the client's processor, which would lower the rate that it can reach.
        self._answered += 1
        if self._answered % self._plan.check_every != 0:
            return CallOutcome(users=request.users)
        self.checked += 1
        try:
            return self._judge(request, answer)
        except DecodeError as error:
            return _wrong(f"not the message that the API promises: {error}")

    def _judge(self, request: Request, answer: bytes) -> CallOutcome:
        if request.kind is CallKind.FEEDBACK:
            stored = pb.FeedbackResponse.FromString(answer)
            if stored.outcome != pb.FEEDBACK_OUTCOME_ACCEPTED or stored.reactions < 1:
                return _wrong("the feedback was not stored")
            return CallOutcome()
        response = pb.RecommendResponse.FromString(answer)
        answers = response.recommendations
        if len(answers) != request.users:
            return _wrong(f"{len(answers)} recommendations for {request.users} users")
        self.sources.update(pb.Source.Name(item.source).removeprefix("SOURCE_").lower() for item in answers)
        self._requests.keep(response)
        refused = next((item.error.message for item in answers if item.HasField("error")), None)
        return CallOutcome(users=request.users) if refused is None else _wrong(f"a user was refused: {refused}")


def _wrong(message: str) -> CallOutcome:
    return CallOutcome(WRONG_ANSWER, "", message)


def _channel(address: str, access: Access | None) -> grpc.aio.Channel:
    options = (*_OPTIONS, *direct(address))
    if access is None:
        return grpc.aio.insecure_channel(address, options=options)
    return grpc.aio.secure_channel(address, access.credentials(), options=options)


def _methods(channel: grpc.aio.Channel) -> _Methods:
    recommend: Any = channel.unary_unary(_METHOD.format("Recommend"))
    return dict.fromkeys(CallKind, recommend) | {CallKind.FEEDBACK: channel.unary_unary(_METHOD.format("Feedback"))}
