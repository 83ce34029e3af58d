"""The calls for the rights of a listener, which this deployment does not offer, over every way."""

from __future__ import annotations

import grpc
import pytest

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.protos.buddies.v1.recommender_pb2_grpc import RecommenderServiceStub
from tests.waiting import WITHIN_S


def test_both_calls_are_refused_where_the_settings_do_not_offer_them(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        stub = RecommenderServiceStub(channel)
        for call in (
            lambda: stub.EraseUser(pb.EraseUserRequest(user_id="user-1"), timeout=WITHIN_S),
            lambda: list(stub.ExportUser(pb.ExportUserRequest(user_id="user-1"), timeout=WITHIN_S)),
        ):
            with pytest.raises(grpc.RpcError) as error:
                call()
            assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED
            assert "serve.user_rights" in error.value.details()
