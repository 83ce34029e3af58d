"""Settings of the server."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from spotify_buddies.serve_app.settings.exploration import ExplorationSettings


class ServeSettings(BaseModel):
    """The [serve] section. Ports: 0 takes a free one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="address that the gRPC and HTTP fronts bind")
    grpc_port: int = Field(9000, ge=0, le=65_535, description="gRPC port")
    http_port: int = Field(8000, ge=0, le=65_535, description="port of Ray Serve's HTTP front (health)")
    dashboard_port: int = Field(8265, ge=0, le=65_535, description="port of the Ray dashboard")
    mlflow_port: int = Field(5000, ge=0, le=65_535, description="port of the embedded MLflow server")
    haproxy: bool = Field(True, description="HAProxy in front of the replicas; off: Ray Serve's own proxy")
    http1: bool = Field(
        True, description="HAProxy sends Recommend and Feedback to the replicas over HTTP/1.1; off: over gRPC's HTTP/2"
    )
    replicas: int = Field(1, ge=1, description="minimum replicas, also at start")
    max_replicas: int = Field(2, ge=1, description="maximum replicas; never below `replicas`")
    max_ongoing_requests: int = Field(
        64,
        ge=1,
        description="calls in flight per replica; further ones are refused with a time to retry (RESOURCE_EXHAUSTED)",
    )
    target_ongoing_requests: float | None = Field(
        None, gt=0, description="calls in flight per replica to scale for; unset: a quarter of max_ongoing_requests"
    )
    target_busy: float = Field(0.5, gt=0, le=1, description="target utilisation of a replica's event loop")
    upscale_delay_s: float = Field(5.0, ge=0, description="seconds above the target before replicas are added")
    downscale_delay_s: float = Field(120.0, ge=0, description="seconds below the target before replicas are removed")
    scale_interval_s: float = Field(2.0, gt=0, description="seconds between two reports of a replica's calls in flight")
    scale_window_s: float = Field(10.0, gt=0, description="seconds of reports that a scaling decision averages over")
    neighbour_budget_ms: float = Field(50.0, gt=0, description="time budget of the neighbour search for a taste")
    local_taste_listeners: int = Field(
        50_000,
        ge=0,
        description="listeners of a taste's songs, in total, up to which the replica counts its neighbours by itself "
        "and does not ask the neighbour index; 0: never",
    )
    counterfactual_rankings: int = Field(
        600, ge=1, description="lists that are computed for the counterfactuals of one call"
    )
    counterfactual_budget_ms: float = Field(500.0, gt=0, description="time budget of the counterfactuals of one call")
    counterfactual_places: int = Field(
        16, ge=1, description="places of max_ongoing_requests that a call with counterfactuals takes"
    )
    store_budget_ms: float = Field(20.0, gt=0, description="time budget of a look-up in the daily lists")
    request_timeout_s: float = Field(
        10.0, gt=0, description="longest work on one call, whatever its deadline; then DEADLINE_EXCEEDED"
    )
    # Below the deadlines of clients (2 s in ours), so that they still receive UNAVAILABLE with a time to retry.
    feedback_timeout_s: float = Field(1.5, gt=0, description="longest wait for Postgres before Feedback is UNAVAILABLE")
    feedback_days: int = Field(
        730, ge=1, description="days that reactions and idempotency keys are kept, in whole weeks"
    )
    impressions_days: int = Field(90, ge=1, description="days that impressions are kept, in whole weeks")
    impressions_waiting: int = Field(
        100_000, ge=1, description="lists per replica that may wait to be written; beyond it the oldest are lost"
    )
    exploration: ExplorationSettings = Field(
        ExplorationSettings(), description="places of lists that are drawn at random, by arm; off by default"
    )
    event_times: bool = Field(
        False,
        description="a call may say in its header buddies-event-time when its events happened, for simulations; off: "
        "such a call is refused (INVALID_ARGUMENT)",
    )
    user_rights: bool = Field(
        False,
        description="ExportUser and EraseUser are answered; every caller of this port may then use them, so only "
        "behind an edge that lets nobody but operators call them",
    )
    erasure_key_file: Path | None = Field(
        None, description="file with the key of erased listeners' hashes; unset: erasure-key in the state directory"
    )
    alias: str = Field("production", description="registry alias that is served")
    daily_ttl_s: int = Field(172_800, ge=1, description="lifetime of a daily list in seconds")
    stop_notice_s: float = Field(
        1.0, ge=0, description="seconds of answering with health NOT_SERVING before a stop takes no more calls"
    )
    drain_s: float = Field(2.0, ge=0, description="seconds a replica still answers before it stops")
    idle_connection_s: int = Field(3_600, ge=1, description="seconds without a call before a connection is closed")

    @property
    def target(self) -> float:
        """Calls in flight per replica that the number of replicas is chosen for."""
        return self.target_ongoing_requests or max(1.0, self.max_ongoing_requests / 4)

    @property
    def stream_places(self) -> int:
        """Streams that a replica works on: each holds its place for as long as its caller takes to read it."""
        return max(1, self.max_ongoing_requests // 4)

    @property
    def stop_within_s(self) -> float:
        """Longest a stop may take before what is left is killed: notice, calls in flight twice (at the front and in the
        replicas), draining, and half a minute for Ray and the stores.
        """
        return self.stop_notice_s + 2 * self.request_timeout_s + self.drain_s + 30.0

    @model_validator(mode="after")
    def _check(self) -> Self:
        # The measured load never exceeds what a replica takes on: near that, it could not show that more are needed.
        most = max(1.0, self.max_ongoing_requests / 2)
        if self.target_ongoing_requests is not None and self.target_ongoing_requests > most:
            raise ValueError(f"target_ongoing_requests must be at most half of max_ongoing_requests, {most:g} here")
        if self.scale_window_s <= self.scale_interval_s:
            raise ValueError("scale_window_s must be longer than scale_interval_s")
        return self
