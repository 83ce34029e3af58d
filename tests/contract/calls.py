"""Calls of the API as the contract's tests make them."""

from __future__ import annotations

import uuid
from typing import Any

import grpc
import pytest
from grpc_status import rpc_status

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from tests.waiting import WITHIN_S

TIMEOUT_S = WITHIN_S
SERVICE = "buddies.v1.RecommenderService"


def fail(call: Any, request: Any, timeout: float = TIMEOUT_S) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as error:
        call(request, timeout=timeout)
    return error.value


def details(error: Any, kind: Any) -> Any:
    status = rpc_status.from_call(error)
    assert status is not None
    found = kind()
    assert any(detail.Unpack(found) for detail in status.details), f"no {kind.__name__} in {status}"
    return found


def feedback(**changes: Any) -> pb.FeedbackRequest:
    base = {
        "recommendation_id": uuid.uuid4().hex,
        "user_id": "user-1",
        "liked": ["list-1"],
        "ignored": ["list-2", "list-3"],
        "idempotency_key": uuid.uuid4().hex,
        "model_version": "7",
        "arm": pb.ARM_PRODUCTION,
    }
    return pb.FeedbackRequest(**{**base, **changes})
