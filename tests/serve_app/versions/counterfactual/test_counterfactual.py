"""Which songs bring a playlist into a list: true of whole answers, asked for again as anybody can."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.api.codec import decode_query
from spotify_buddies.serve_app.api.service import Service
from spotify_buddies.serve_app.build import local
from spotify_buddies.serve_app.neighbours.client import Neighbours
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.telemetry.metrics import Silent
from spotify_buddies.serve_app.versions.answers import Answers, Budgets
from spotify_buddies.serve_app.versions.counterfactual.answer import Limits
from spotify_buddies.serve_app.versions.counterfactual.search import POOL_LEAST
