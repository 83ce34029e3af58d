"""The calls of the API, independent of what carries them (Ray Serve or a plain gRPC server)."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime

from google.protobuf.duration_pb2 import Duration

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.api import codec
from spotify_buddies.serve_app.api.event_time import read_event_time
from spotify_buddies.serve_app.api.feedback_codec import decode_feedback
from spotify_buddies.serve_app.api.rights import Rights
from spotify_buddies.serve_app.daily.read import Reader
from spotify_buddies.serve_app.errors import FeedbackUnavailable
from spotify_buddies.serve_app.neighbours.client import Neighbours
from spotify_buddies.serve_app.ranking.encoding import Encoded
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.history import History
from spotify_buddies.serve_app.ranking.query import Arm
from spotify_buddies.serve_app.ranking.rules import Exploration
from spotify_buddies.serve_app.store.reactions import RETRY_AFTER_S
from spotify_buddies.serve_app.store.rights.places import Places
from spotify_buddies.serve_app.store.store import Store
from spotify_buddies.serve_app.telemetry.metrics import Telemetry
from spotify_buddies.serve_app.versions.answers import Answers, Budgets
from spotify_buddies.serve_app.versions.rotation import ArmAnswers, Assignment, Rotation
from spotify_buddies.serve_app.versions.status import describe
from spotify_buddies.serve_app.versions.table import Loaded, VersionTable


class Service:
    """The calls as functions: protobuf messages in and out, errors raised. No gRPC; api/servicer.py calls it.

    Recommend for known users in live mode awaits nothing.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        model: str,
        budgets: Budgets,
        feedback: Store | None,
        daily: Reader | None,
        telemetry: Telemetry,
        history: History | None = None,
        note: str = "",
        event_times: bool = False,
        rights: Places | None = None,
        explorations: Mapping[Arm, Exploration] | None = None,
    ) -> None:
        """engine: served until another version is assigned. note: shown beside its version in the status.

        event_times: whether a call may say when its events happened. rights: where ExportUser and EraseUser work; None:
        they are not offered. explorations: how the places of an arm's live lists are drawn; arms that are left out do
        not explore.
        """
        self.rights = Rights(rights)
        self._model, self._event_times, self._explorations = model, event_times, explorations or {}
        self._budgets, self._daily, self._history, self._telemetry = budgets, daily, history, telemetry
        given = self.answers(engine)
        self.rotation = Rotation(Assignment(ArmAnswers(given)))
        self.table: VersionTable[Answers] = VersionTable()
        self.table.put(engine.version, Loaded(given, engine.bundle.sha256, note))
        self._feedback = feedback
        self._started = time.monotonic()

    @property
    def engine(self) -> Engine:
        """The engine of the version that is production now."""
        return self.rotation.current.production.answers.engine

    def answers(self, engine: Engine) -> Answers:
        """Answers with another engine, from the same stores."""
        return Answers(
            engine, budgets=self._budgets, daily=self._daily, history=self._history, telemetry=self._telemetry,
            explorations=self._explorations,
        )  # fmt: skip

    def use_neighbours(self, neighbours: Neighbours) -> None:
        """Ask these for tastes; before, every taste is answered with what is popular."""
        self.rotation.current.production.answers.use_neighbours(neighbours)

    def warm_up(self) -> None:
        """Compile every kernel of the request path and map the pages of the bundle."""
        self.rotation.current.production.answers.warm_up()

    async def recommend(self, request: pb.RecommendRequest | codec.Malformed, event_time: str = "") -> Encoded:
        """A RecommendResponse: every user, user_ids first, in the order asked. InvalidRequest.

        event_time: the header that says when it is asked; empty: now.
        """
        query = codec.decode_query(request)
        if event_time:
            query = replace(query, at=self._time(event_time))
        return Encoded(await self.rotation.route(query))

    async def recommend_stream(
        self, request: pb.RecommendStreamRequest | codec.Malformed, event_time: str = ""
    ) -> AsyncGenerator[Encoded, None]:
        """RecommendStreamResponses: the same in parts, each ranked when the one before was taken. InvalidRequest."""
        asked = codec.decode_stream(request)
        query = replace(asked.query, at=self._time(event_time)) if event_time else asked.query
        async with aclosing(self.rotation.stream(query, asked.part_size)) as parts:
            async for first, data in parts:
                yield Encoded(pb.RecommendStreamResponse(first=first).SerializeToString() + data)

    async def feedback(
        self, request: pb.FeedbackRequest | codec.Malformed, caller: str = "", event_time: str = ""
    ) -> pb.FeedbackResponse:
        """Store a feedback and return after the commit. InvalidRequest, KeyReused, FeedbackUnavailable.

        caller: whose idempotency_key it is; empty where nobody says. event_time: as for recommend.
        """
        action = decode_feedback(request, caller)
        if event_time:
            action = replace(action, at=self._time(event_time))
        if self._feedback is None:
            raise FeedbackUnavailable("no Postgres is configured", RETRY_AFTER_S)
        stored = await self._feedback.store(action)
        outcome = pb.FEEDBACK_OUTCOME_ACCEPTED if stored.new else pb.FEEDBACK_OUTCOME_DUPLICATE
        return pb.FeedbackResponse(outcome=outcome, reactions=stored.reactions)

    async def get_model_status(self, request: pb.GetModelStatusRequest | codec.Malformed) -> pb.GetModelStatusResponse:
        """Every version that is loaded, or is to be. InvalidRequest."""
        codec.refuse_malformed(request)
        uptime = Duration()
        uptime.FromNanoseconds(int((time.monotonic() - self._started) * 1e9))
        now = self.rotation.current
        return pb.GetModelStatusResponse(
            model=self._model, versions=describe(now, self.table), generation=now.generation, uptime=uptime
        )

    def _time(self, event_time: str) -> datetime:
        return read_event_time(event_time, datetime.now(UTC), accepted=self._event_times)
