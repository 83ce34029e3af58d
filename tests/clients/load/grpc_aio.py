"""A real grpc.aio server in a thread, with a stall that a test asks for."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.protos.buddies.v1 import recommender_pb2_grpc as rpc
from tests.waiting import WITHIN_S


@dataclass
class Stalling(rpc.RecommenderServiceServicer):
    """Answers every listener at once, except that the process stands still once, at call number `stall_at`."""

    stall_at: int = -1
    stall_s: float = 0.0
    stalled_s: float = 0.0
    calls: int = 0
    users: list[str] = field(default_factory=list)
    feedback_keys: list[str] = field(default_factory=list)

    async def Recommend(self, request, context):  # noqa: N802
        self.calls += 1
        if self.calls == self.stall_at:
            before = time.monotonic()
            time.sleep(self.stall_s)  # blocks the loop, as a long collection or a lock would: nobody is answered
            self.stalled_s = time.monotonic() - before
        users = [*request.user_ids, *(taste.user_id for taste in request.tastes)]
        if "refuse" in users:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
        if "short" in users:
            users = users[:-1]
        playlist = pb.RecommendedPlaylist(playlist_id="p1")
        return pb.RecommendResponse(
            recommendations=[
                pb.Recommendation(
                    user_id=user, recommendation_id=f"r{self.calls}", playlists=[playlist], source=pb.SOURCE_LIVE
                )
                for user in users
            ]
        )

    async def Feedback(self, request, context):  # noqa: N802
        self.feedback_keys.append(request.idempotency_key)
        return pb.FeedbackResponse(outcome=pb.FEEDBACK_OUTCOME_ACCEPTED, reactions=len(request.liked))

    async def GetModelStatus(self, request, context):  # noqa: N802
        version = pb.ModelVersion(version="7", state=pb.VERSION_STATE_READY, arm=pb.ARM_PRODUCTION)
        return pb.GetModelStatusResponse(model="stalling", versions=[version])


@contextmanager
def serving(servicer: Stalling) -> Iterator[str]:
    """Serve on a free port until the block ends."""
    ready: list[str] = []
    up, stopping = threading.Event(), threading.Event()

    async def serve() -> None:
        server = grpc.aio.server()
        rpc.add_RecommenderServiceServicer_to_server(servicer, server)
        ready.append(f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
        await server.start()
        up.set()
        await asyncio.get_running_loop().run_in_executor(None, stopping.wait)
        await server.stop(0)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert up.wait(WITHIN_S)
        yield ready[0]
    finally:
        stopping.set()
        thread.join()
