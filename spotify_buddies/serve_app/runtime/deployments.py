"""The Ray Serve deployments: the ranker, which is the gRPC ingress, and the neighbour index."""

from __future__ import annotations

import asyncio
import gc
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.serve_app.api import direct_handlers
from spotify_buddies.serve_app.api.servicer import GrpcServicer
from spotify_buddies.serve_app.build import open_index, open_service
from spotify_buddies.serve_app.errors import NeighboursUnavailable
from spotify_buddies.serve_app.neighbours.client import within
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.query import Taste
from spotify_buddies.serve_app.runtime.scaling import BUSY, Busy
from spotify_buddies.serve_app.settings.serve import ServeSettings
from spotify_buddies.serve_app.settings.services import Services
from spotify_buddies.serve_app.telemetry.ray_metrics import RayTelemetry

Array = npt.NDArray[Any]

# Tastes per call of the index: a message between replicas holds 4 MB, a taste up to 1,000 songs of 4 bytes.
TASTES_PER_CALL = 128
INDEX_WITHIN_S = 20.0


@serve.deployment(name="NeighbourIndex")
class NeighbourIndex:
    """Finds the nearest users of tastes, with the index of the version that asks."""

    async def __init__(  # type: ignore[misc]
        self, settings: ServeSettings, bundle: str, version: str, model: str, services: Services
    ) -> None:
        self._stack = AsyncExitStack()
        self._table = await open_index(
            settings, Path(bundle), version, services, self._stack, model=model, replica=_name()
        )

    async def search(self, version: str, indptr: Array, indices: Array, k: int) -> tuple[Array, Array, Array] | None:
        """Tastes as CSR rows to users and cosines as CSR rows; None: there is no index of this version here."""
        searching = self._table.get(version)
        return None if searching is None else await searching.search(indptr, indices, k)

    async def __del__(self) -> None:
        await self._stack.aclose()


class Handle:
    """The neighbour index as the service sees it, over Ray."""

    def __init__(self, handle: DeploymentHandle, users: int, version: str) -> None:
        self._handle = handle
        self._users = users
        self._version = version

    async def search(self, tastes: Csr, k: int) -> Csr:
        """Ask the index, in parts that fit a message. NeighboursUnavailable when a part fails."""
        starts = range(0, tastes.rows, TASTES_PER_CALL)
        try:
            parts = await asyncio.gather(*(self._part(tastes, start, k) for start in starts))
        except (RayError, RayServeException, grpc.RpcError) as error:
            raise NeighboursUnavailable(type(error).__name__) from error
        counts = np.concatenate([np.diff(indptr) for indptr, _, _ in parts])
        indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
        indices, values = (np.concatenate([part[i] for part in parts]) for i in (1, 2))
        return Csr(indptr, indices, self._users, values)

    async def _part(self, tastes: Csr, start: int, k: int) -> tuple[Array, Array, Array]:
        stop = min(start + TASTES_PER_CALL, tastes.rows)
        indptr = tastes.indptr[start : stop + 1]
        indices = tastes.indices[indptr[0] : indptr[-1]]
        nearest: tuple[Array, Array, Array] | None = await self._handle.search.remote(
            self._version, indptr - indptr[0], indices, k
        )
        if nearest is None:
            raise NeighboursUnavailable(f"no index of version {self._version}")
        return nearest


@serve.deployment(name="Recommender")
class Recommender(GrpcServicer):
    """Takes the RPC, ranks and answers, in one process: a handle between ingress and ranker halves the throughput."""

    async def __init__(  # type: ignore[misc]
        self,
        settings: ServeSettings,
        bundle: str,
        version: str,
        model: str,
        services: Services,
        index: DeploymentHandle,
        controller: DeploymentHandle | None,  # noqa: ARG002 - never called: what is bound here is deployed
    ) -> None:
        telemetry = RayTelemetry()
        self._flushing = asyncio.create_task(telemetry.flush_forever())
        self._stack = AsyncExitStack()

        def neighbours(engine: Engine) -> Handle:
            return Handle(index, engine.bundle.manifest.users, engine.version)

        service = await open_service(
            settings, Path(bundle), version, services, self._stack,
            model=model, telemetry=telemetry, neighbours=neighbours, replica=_name(),
        )  # fmt: skip
        super().__init__(service, telemetry, settings)
        # The first call of a handle finds the index's replicas; the first user must not pay for it. An index that
        # is unreachable does not keep the ranker from serving.
        engine = service.engine
        await within(neighbours(engine), engine.find_songs([Taste("", ("",))]).songs, 1, INDEX_WITHIN_S)
        self._busy = Busy()
        direct_handlers.INGRESS.deployment = self
        # What is there now stays: a full collection would walk through it, and keep callers waiting.
        gc.collect()
        gc.freeze()

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """What Ray asks for scaling; on the thread that answers calls."""
        return {BUSY: self._busy.share()}

    async def __del__(self) -> None:
        self._flushing.cancel()
        await self._stack.aclose()


def _name() -> str:
    """This replica's, which no other has."""
    context = serve.get_replica_context()
    return f"{context.deployment}#{context.replica_id.unique_id}"
