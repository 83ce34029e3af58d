"""The Ray Serve deployments: the ranker, which is the gRPC ingress, and the neighbour index."""

from __future__ import annotations

import asyncio
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

from pairing.csr import Csr
from serve_app import native
from serve_app.build import Services, open_service
from serve_app.errors import NeighboursUnavailable
from serve_app.neighbours import within
from serve_app.query import Taste
from serve_app.servicer import Servicer
from serve_app.settings import ServeSettings
from serve_app.telemetry import RayTelemetry
from serve_app.views import plain

Array = npt.NDArray[Any]

# Tastes per call of the index: a message between replicas holds 4 MB, a taste up to 1,000 songs of 4 bytes.
TASTES_PER_CALL = 128
INDEX_WITHIN_S = 20.0
# Entries of song lists that a search may walk on the event loop, about a millisecond's worth.
SEARCH_AT_ONCE = 200_000


@serve.deployment(name="NeighbourIndex")
class NeighbourIndex:
    """Finds the nearest users of tastes, with the index that came with the bundle."""

    async def __init__(self, bundle: str) -> None:  # type: ignore[misc]
        from pairing.search import NeighbourSearch
        from trainer.bundle import open_bundle

        opened = plain(await asyncio.to_thread(open_bundle, Path(bundle)))
        self._search = await asyncio.to_thread(NeighbourSearch.open, opened.index, opened.user_songs)
        self._songs = opened.manifest.songs
        # The first search pays for compiling; a taste of one song is enough.
        await self.search(np.array([0, min(1, self._songs)], np.int64), np.zeros(min(1, self._songs), np.int32), 1)

    async def search(self, indptr: Array, indices: Array, k: int) -> tuple[Array, Array, Array]:
        """Tastes as CSR rows to users and cosines as CSR rows."""
        tastes = Csr(indptr, indices, self._songs)
        # A thread costs more than a light search takes, above all on a busy machine.
        if self._search.work(tastes) <= SEARCH_AT_ONCE:
            found = self._search.search(tastes, k)
        else:
            found = await asyncio.to_thread(self._search.search, tastes, k)
        values = np.zeros(found.nnz, np.float32) if found.values is None else found.values
        return found.indptr, found.indices, values


class Handle:
    """The neighbour index as the service sees it, over Ray."""

    def __init__(self, handle: DeploymentHandle, users: int) -> None:
        self._handle = handle
        self._users = users

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
        found: tuple[Array, Array, Array] = await self._handle.search.remote(indptr - indptr[0], indices, k)
        return found


@serve.deployment(name="Recommender")
class Recommender(Servicer):
    """Takes the RPC, ranks and answers, in one process: a handle between ingress and ranker halves the throughput."""

    async def __init__(  # type: ignore[misc]
        self,
        settings: ServeSettings,
        bundle: str,
        version: str,
        model: str,
        services: Services,
        index: DeploymentHandle,
    ) -> None:
        telemetry = RayTelemetry()
        self._flushing = asyncio.create_task(telemetry.flush_forever())
        self._stack = AsyncExitStack()
        service = await open_service(
            settings, Path(bundle), version, services, self._stack, model=model, telemetry=telemetry
        )
        super().__init__(service, telemetry, settings)
        neighbours = Handle(index, service.engine.bundle.manifest.users)
        service.use_neighbours(neighbours)
        # The first call of a handle finds the index's replicas; it must not cost the first listener the budget. An
        # index that is away does not keep the ranker from serving.
        await within(neighbours, service.engine.find_songs([Taste("", ("",))]).songs, 1, INDEX_WITHIN_S)
        native.INGRESS.deployment = self

    async def __del__(self) -> None:
        self._flushing.cancel()
        await self._stack.aclose()
