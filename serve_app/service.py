"""The three calls of the API, apart from what carries them (Ray Serve or a plain gRPC server)."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace

import numpy as np
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from protos.buddies.v1 import recommender_pb2 as pb
from serve_app import codec
from serve_app.daily import Reader, read_daily
from serve_app.engine import Engine
from serve_app.errors import FeedbackUnavailable
from serve_app.neighbours import Neighbours, within
from serve_app.query import Lists, Mode, Query, Skipped, Taste
from serve_app.reasons import explain
from serve_app.store.reactions import RETRY_AFTER_S
from serve_app.store.store import Store
from serve_app.telemetry import Telemetry

# Nearest users asked for per taste.
NEAREST = 100
# Listeners encoded before other requests get a turn: encoding is Python and holds the event loop.
ENCODE_AT_ONCE = 64
# Songs of tastes looked up on the event loop, about a millisecond's worth; more go to a thread.
FIND_AT_ONCE = 200


@dataclass(frozen=True)
class Budgets:
    """Longest waits for what an answer can do without, in seconds."""

    neighbours_s: float
    store_s: float


class Service:
    """Answers Recommend, Feedback and GetModelStatus. Recommend for known users in live mode awaits nothing."""

    def __init__(
        self,
        engine: Engine,
        *,
        model: str,
        budgets: Budgets,
        feedback: Store | None,
        daily: Reader | None,
        telemetry: Telemetry,
    ) -> None:
        self.engine = engine
        self._model = model
        self._budgets = budgets
        self._neighbours: Neighbours | None = None
        self._feedback = feedback
        self._daily = daily
        self._telemetry = telemetry
        self._since = time.time()
        self._started = time.monotonic()

    def use_neighbours(self, neighbours: Neighbours) -> None:
        """Ask these for tastes; before, every taste is answered with what is popular."""
        self._neighbours = neighbours

    def warm_up(self) -> None:
        """Compile every kernel of the request path and map the factors' pages."""
        engine = self.engine
        engine.warm_up()
        users = engine.bundle.user_ids.table
        nothing = engine.find_playlists(())
        explain(engine, engine.rank_known([users[0] if len(users) else ""], 1, nothing))
        # A taste's songs and rows come in arrays of other types, for which numba compiles once more.
        tastes = [Taste("", ("",))]
        explain(engine, engine.rank_tastes(tastes, engine.find_songs(tastes), None, 1, nothing))

    async def recommend(self, request: pb.RecommendRequest | codec.Malformed) -> pb.RecommendResponse:
        """Answer every listener, user_ids first, in the order asked. InvalidRequest."""
        query = codec.decode_query(request)
        started = time.perf_counter()
        answered = []
        if query.user_ids:
            answered.append(await self._rank_known(query))
        if query.tastes:
            answered.append(await self._rank_tastes(query))
        self._telemetry.time_inference(time.perf_counter() - started)
        response = pb.RecommendResponse()
        for lists in answered:
            await self._encode(lists, query, response)
        return response

    async def feedback(self, request: pb.FeedbackRequest | codec.Malformed) -> pb.FeedbackResponse:
        """Store, and answer after the commit. InvalidRequest, FeedbackUnavailable."""
        action = codec.decode_feedback(request)
        if self._feedback is None:
            raise FeedbackUnavailable("no Postgres is configured", RETRY_AFTER_S)
        stored = await self._feedback.store(action)
        outcome = pb.FEEDBACK_OUTCOME_ACCEPTED if stored.new else pb.FEEDBACK_OUTCOME_DUPLICATE
        return pb.FeedbackResponse(outcome=outcome, reactions=stored.reactions)

    async def get_model_status(self, request: pb.GetModelStatusRequest | codec.Malformed) -> pb.GetModelStatusResponse:
        """The loaded version. InvalidRequest."""
        codec.refuse_malformed(request)
        bundle = self.engine.bundle
        since, uptime = Timestamp(), Duration()
        since.FromNanoseconds(int(self._since * 1e9))
        uptime.FromNanoseconds(int((time.monotonic() - self._started) * 1e9))
        version = pb.ModelVersion(
            version=self.engine.version,
            state=pb.VERSION_STATE_READY,
            arm=pb.ARM_PRODUCTION,
            share=1.0,
            since=since,
            bundle_sha256=bundle.sha256,
            users=bundle.manifest.users,
            playlists=bundle.manifest.playlists,
        )
        return pb.GetModelStatusResponse(model=self._model, versions=[version], uptime=uptime)

    async def _rank_known(self, query: Query) -> Lists:
        excluded = self.engine.find_playlists(query.exclude_playlist_ids)
        lists = self.engine.rank_known(query.user_ids, query.limit, excluded)
        if query.mode is Mode.DAILY:
            lists = await read_daily(self.engine, self._daily, lists, excluded, self._budgets.store_s)
        return lists

    async def _rank_tastes(self, query: Query) -> Lists:
        excluded = self.engine.find_playlists(query.exclude_playlist_ids)
        if sum(len(taste.songs) for taste in query.tastes) <= FIND_AT_ONCE:
            found = self.engine.find_songs(query.tastes)
        else:
            found = await asyncio.to_thread(self.engine.find_songs, query.tastes)
        near = None
        if self._neighbours is not None:
            near = await within(self._neighbours, found.songs, NEAREST, self._budgets.neighbours_s)
        lists = self.engine.rank_tastes(query.tastes, found, near, query.limit, excluded)
        if query.mode is Mode.DAILY:
            # Nobody computed a list for a taste ahead.
            lists = replace(lists, skipped=tuple((*skipped, Skipped.DAILY_LIST) for skipped in lists.skipped))
        return lists

    async def _encode(self, lists: Lists, query: Query, response: pb.RecommendResponse) -> None:
        reasons = explain(self.engine, lists) if query.explain else None
        for at in range(len(lists)):
            if at and at % ENCODE_AT_ONCE == 0:
                await asyncio.sleep(0)
            response.recommendations.append(codec.encode_list(self.engine, lists, at, reasons))
        sources, counts = np.unique([source.name for source in lists.sources], return_counts=True)
        for source, count in zip(sources, counts, strict=True):
            self._telemetry.count_lists(str(source), int(count))
