"""The synchronous client."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
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


class Client:
    """Calls the service at `address` ("host:port"). One instance serves many threads; close it or use `with`.

    timeout_s is the deadline of one call, all attempts together; infinity: none. ValueError for one below 0 and for
    NaN, here and in every call. credentials None means plaintext, for loopback and private networks only. http_proxy
    does not count for an address on this machine, nor where `direct` is set. Errors are BuddiesError and its kinds.
    ValueError: the address is a URL. TypeError: an address that is not text; one string where a list of ids belongs.
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
            grpc.secure_channel(address, credentials, options=options)
            if credentials
            else grpc.insecure_channel(address, options=options)
        )
        self._stub = rpc.RecommenderServiceStub(self._channel)

    def recommend(
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
        """One recommendation for each user id, then for each taste, in the order given.

        A user whose id or taste breaks a range has `error` set while the others are answered. counterfactual: for
        10 users at most; it takes the server many rankings. at: when it is asked, for simulations; None: now. A service
        that does not accept other times refuses it (InvalidRequest). ValueError: `at` has no time zone.
        """
        request = codec.recommend_request(
            user_ids, tastes, limit, mode, exclude_playlist_ids, explain, exclude_seen, max_per_owner,
            max_song_overlap, max_song_containment, adventurous, calibration, counterfactual,
        )  # fmt: skip
        headers = codec.metadata(at)
        return codec.recommendations(
            self._call(lambda left: self._stub.Recommend(request, timeout=left, metadata=headers), timeout_s)
        )

    def recommend_stream(
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
    ) -> Iterator[Recommendation]:
        """The same for up to 50,000 users, in the order given, as the parts of the answer arrive.

        part_size: users per part, 1 to 1,000. Not retried: when it breaks, ask again for those without an answer.
        Leaving the loop and closing the iterator cancels the call.
        """
        request = codec.recommend_request(
            user_ids, tastes, limit, mode, exclude_playlist_ids, explain, exclude_seen, max_per_owner,
            max_song_overlap, max_song_containment, adventurous, calibration,
        )  # fmt: skip
        call = self._stub.RecommendStream(
            pb.RecommendStreamRequest(request=request, part_size=part_size), timeout=deadline_s(timeout_s)
        )
        try:
            for part in call:
                yield from codec.recommendations(part)
        except grpc.RpcError as failure:
            raise from_grpc(failure) from failure
        finally:
            call.cancel()

    def feedback(
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
        """Store what a user did; when this returns it is committed. Retried under one key: stored once.

        Without user_id the recommendation's own is taken. do_not_recommend: playlists not to show before a time,
        which needs a time zone (ValueError). To try again later, give the failed call's key, which the error carries as
        idempotency_key, and everything else as it was: KeyReused otherwise. at: when it happened; as in recommend.
        """
        headers = codec.metadata(at)
        key = idempotency_key or uuid.uuid4().hex
        user = user_id or (recommendation.user_id if isinstance(recommendation, Recommendation) else "")
        request = codec.feedback_request(recommendation, user, liked, ignored, disliked, key, do_not_recommend)
        try:
            response = self._call(lambda left: self._stub.Feedback(request, timeout=left, metadata=headers), timeout_s)
        except BuddiesError as error:
            error.idempotency_key = key
            raise
        return codec.feedback_result(response, key)

    def model_status(self, *, timeout_s: float | None = None) -> ModelStatus:
        """The versions that the answering replica serves."""
        request = pb.GetModelStatusRequest()
        return codec.model_status(self._call(lambda left: self._stub.GetModelStatus(request, timeout=left), timeout_s))

    def export_user(self, user_id: str, *, timeout_s: float = 60.0) -> Iterator[bytes]:
        """Everything that the service's stores hold of a user: the bytes of one JSON document in UTF-8, as they arrive.

        For operators: AccessDenied where the deployment does not offer it to this caller. When it breaks, what was
        received is no document: ask again, nothing is retried here. Leaving the loop and closing the iterator cancels
        the call.
        """
        call = self._stub.ExportUser(codec.export_request(user_id), timeout=deadline_s(timeout_s))
        try:
            for part in call:
                if part.part:  # a refusal comes after an empty one
                    yield part.part
        except grpc.RpcError as failure:
            raise from_grpc(failure) from failure
        finally:
            call.cancel()

    def erase_user(self, user_id: str, *, timeout_s: float = 30.0) -> Erasure:
        """Erase a user from every store, for good; the receipt. Repeat it until it is `complete`; that does no harm.

        For operators, as export_user. DeadlineExceeded: it goes on; ask again for a receipt.
        """
        request = codec.erase_request(user_id)
        return codec.erasure(self._call(lambda left: self._stub.EraseUser(request, timeout=left), timeout_s))

    def close(self) -> None:
        """Close the connection; calls in flight fail."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _call(self, send: Callable[[float | None], Response], timeout_s: float | None) -> Response:
        within_s = deadline_s(self._timeout_s if timeout_s is None else timeout_s)
        deadline = math.inf if within_s is None else time.monotonic() + within_s
        attempt = 0
        while True:
            attempt += 1
            try:
                return send(None if within_s is None else max(0.0, deadline - time.monotonic()))
            except grpc.RpcError as failure:
                error = from_grpc(failure)
                wait_s = self._retry.wait_s(attempt, error, deadline - time.monotonic())
                if wait_s is None:
                    raise error from failure
            time.sleep(wait_s)
