"""Both event loops: asyncio's, and uvloop, which replicas have."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from tests.serve_app.http1.talking import Run


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine on one of them."""
    return request.param
