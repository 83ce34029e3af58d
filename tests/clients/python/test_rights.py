"""Export and erasure of the clients, where the server breaks off."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest

from spotify_buddies.clients.python import Client, Erasure, Retry, ServiceUnavailable
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from tests.clients.grpc_server import refuse, serving


def test_an_export_that_breaks_is_an_error_and_no_short_document() -> None:
    def export(request: pb.ExportUserRequest, context: grpc.ServicerContext) -> Iterator[pb.ExportUserResponse]:
        yield pb.ExportUserResponse(part=b"{")
        refuse(context, grpc.StatusCode.UNAVAILABLE, "Redis is away")

    with serving(ExportUser=export) as address, Client(address) as client:  # type: ignore[arg-type]
        parts = client.export_user("ada")
        assert next(parts) == b"{"
        with pytest.raises(ServiceUnavailable, match="Redis is away"):
            next(parts)


def test_an_erasure_is_asked_for_again_where_the_server_was_away() -> None:
    asked: list[str] = []

    def erase(request: pb.EraseUserRequest, context: grpc.ServicerContext) -> pb.EraseUserResponse:
        asked.append(request.user_id)
        if len(asked) < 2:
            refuse(context, grpc.StatusCode.UNAVAILABLE, "away")
        rows = [pb.ErasedRows(place="redis/jobs", rows=3)]
        answer = pb.EraseUserResponse(listener="ab", rows=rows, confirmed=["a"], left=["wait"], notes=["logs stay"])
        answer.erased_at.FromSeconds(7)
        return answer

    with serving(EraseUser=erase) as address, Client(address, retry=Retry()) as client:
        receipt = client.erase_user("ada")
    assert asked == ["ada", "ada"]
    assert receipt == Erasure("ab", receipt.erased_at, {"redis/jobs": 3}, ("a",), ("wait",), ("logs stay",))
    assert receipt.erased_at.timestamp() == 7
    assert not receipt.complete
