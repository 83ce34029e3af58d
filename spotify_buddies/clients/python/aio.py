"""The asynchronous client: the same calls as `Client`, awaited."""

from __future__ import annotations

import asyncio
import math
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Self, TypeVar

import grpc

from spotify_buddies.clients.python import codec
from spotify_buddies.clients.python.channel import NO_PROXY, channel_options, deadline_s
from spotify_buddies.clients.python.checks import check_address
from spotify_buddies.clients.python.errors import BuddiesError, from_grpc
from spotify_buddies.clients.python.retry import Retry
from spotify_buddies.clients.python.types import (
    CounterfactualOptions,
    Erasure,
    ExcludeSeen,
    FeedbackResult,
    Mode,
    ModelStatus,
    Recommendation,
    Taste,
)
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.protos.buddies.v1 import recommender_pb2_grpc as rpc

Response = TypeVar("Response")


class AsyncClient:
    """Calls the service at `address` ("host:port") on the running event loop; close it or use `async with`.

    Deadlines, proxies and errors as Client.
    """

    def __init__(
        self,
        address: str,
        *,
        timeout_s: float = 2.0,
        retry: Retry | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        direct: bool = False,
    ) -> None:
        check_address(address)
        deadline_s(timeout_s)
        self._timeout_s = timeout_s
        self._retry = retry or Retry()
        options = channel_options(address) if not direct else (*channel_options(address), *NO_PROXY)
        self._channel = (
            grpc.aio.secure_channel(address, credentials, options=options)
            if credentials
            else grpc.aio.insecure_channel(address, options=options)
        )
        self._stub: rpc.RecommenderServiceAsyncStub = rpc.RecommenderServiceStub(self._channel)

    async def recommend(
        self,
        user_ids: Sequence[str] = (),
        *,
        tastes: Sequence[Taste] = (),
        limit: int | None = None,
        mode: Mode = Mode.LIVE,
        exclude_playlist_ids: Sequence[str] = (),
        explain: bool = True,
        exclude_seen: ExcludeSeen | None = None,
        max_per_owner: int | None = None,
        max_song_overlap: float | None = None,
        max_song_containment: float | None = None,
        adventurous: float = 0.0,
        calibration: float = 0.0,
        counterfactual: CounterfactualOptions | None = None,
        timeout_s: float | None = None,
        at: datetime | None = None,
    ) -> tuple[Recommendation, ...]:
        """One recommendation for each user id, then for each taste, in the order given; as Client.recommend."""
        request = codec.recommend_request(
            user_ids, tastes, limit, mode, exclude_playlist_ids, explain, exclude_seen, max_per_owner,
            max_song_overlap, max_song_containment, adventurous, calibration, counterfactual,
        )  # fmt: skip
        headers = codec.metadata(at)
        response = await self._call(
            lambda left: self._stub.Recommend(request, timeout=left, metadata=headers), timeout_s
        )
        return codec.recommendations(response)

    async def recommend_stream(
        self,
        user_ids: Sequence[str] = (),
        *,
        tastes: Sequence[Taste] = (),
        limit: int | None = None,
        mode: Mode = Mode.LIVE,
        exclude_playlist_ids: Sequence[str] = (),
        explain: bool = True,
        exclude_seen: ExcludeSeen | None = None,
        max_per_owner: int | None = None,
        max_song_overlap: float | None = None,
        max_song_containment: float | None = None,
        adventurous: float = 0.0,
        calibration: float = 0.0,
        part_size: int | None = None,
        timeout_s: float = 60.0,
    ) -> AsyncGenerator[Recommendation, None]:
        """The same for up to 50,000 users, as the parts of the answer arrive; as Client.recommend_stream."""
        request = codec.recommend_request(
            user_ids, tastes, limit, mode, exclude_playlist_ids, explain, exclude_seen, max_per_owner,
            max_song_overlap, max_song_containment, adventurous, calibration,
        )  # fmt: skip
        call = self._stub.RecommendStream(
            pb.RecommendStreamRequest(request=request, part_size=part_size), timeout=deadline_s(timeout_s)
        )
        try:
            async for part in call:
                for recommendation in codec.recommendations(part):
                    yield recommendation
        except grpc.RpcError as failure:
            raise from_grpc(failure) from failure
        finally:
            call.cancel()

    async def feedback(
        self,
        recommendation: Recommendation | str,
        *,
        user_id: str = "",
        liked: Sequence[str] = (),
        ignored: Sequence[str] = (),
        disliked: Sequence[str] = (),
        do_not_recommend: Mapping[str, datetime] | None = None,
        idempotency_key: str | None = None,
        timeout_s: float | None = None,
        at: datetime | None = None,
    ) -> FeedbackResult:
        """Store what a user did; when this returns it is committed. Retried under one key: stored once."""
        headers = codec.metadata(at)
        key = idempotency_key or uuid.uuid4().hex
        user = user_id or (recommendation.user_id if isinstance(recommendation, Recommendation) else "")
        request = codec.feedback_request(recommendation, user, liked, ignored, disliked, key, do_not_recommend)
        try:
            response = await self._call(
                lambda left: self._stub.Feedback(request, timeout=left, metadata=headers), timeout_s
            )
        except BuddiesError as error:
            error.idempotency_key = key
            raise
        return codec.feedback_result(response, key)

    async def model_status(self, *, timeout_s: float | None = None) -> ModelStatus:
        """The versions that the answering replica serves."""
        request = pb.GetModelStatusRequest()
        return codec.model_status(
            await self._call(lambda left: self._stub.GetModelStatus(request, timeout=left), timeout_s)
        )

    async def export_user(self, user_id: str, *, timeout_s: float = 60.0) -> AsyncGenerator[bytes, None]:
        """The bytes of one JSON document, as they arrive; as Client.export_user."""
        call = self._stub.ExportUser(codec.export_request(user_id), timeout=deadline_s(timeout_s))
        try:
            async for part in call:
                if part.part:  # a refusal comes after an empty one
                    yield part.part
        except grpc.RpcError as failure:
            raise from_grpc(failure) from failure
        finally:
            call.cancel()

    async def erase_user(self, user_id: str, *, timeout_s: float = 30.0) -> Erasure:
        """Erase a user from every store, for good; the receipt, as Client.erase_user."""
        request = codec.erase_request(user_id)
        return codec.erasure(await self._call(lambda left: self._stub.EraseUser(request, timeout=left), timeout_s))

    async def close(self) -> None:
        """Close the connection; calls in flight fail."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _call(self, send: Callable[[float | None], Awaitable[Response]], timeout_s: float | None) -> Response:
        within_s = deadline_s(self._timeout_s if timeout_s is None else timeout_s)
        deadline = math.inf if within_s is None else time.monotonic() + within_s
        attempt = 0
        while True:
            attempt += 1
            try:
                return await send(None if within_s is None else max(0.0, deadline - time.monotonic()))
            except grpc.RpcError as failure:
                error = from_grpc(failure)
                wait_s = self._retry.wait_s(attempt, error, deadline - time.monotonic())
                if wait_s is None:
                    raise error from failure
            await asyncio.sleep(wait_s)
