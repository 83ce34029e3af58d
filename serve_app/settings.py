"""Settings of the server."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ServeSettings(BaseModel):
    """The [serve] section. Ports: 0 takes a free one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="address that the gRPC and HTTP fronts bind")
    grpc_port: int = Field(9000, ge=0, le=65_535, description="gRPC port")
    http_port: int = Field(8000, ge=0, le=65_535, description="port of Ray Serve's HTTP front (health)")
    dashboard_port: int = Field(8265, ge=0, le=65_535, description="port of the Ray dashboard")
    mlflow_port: int = Field(5000, ge=0, le=65_535, description="port of the embedded MLflow server")
    haproxy: bool = Field(True, description="HAProxy in front of the replicas; off: Ray Serve's own proxy")
    replicas: int = Field(1, ge=1, description="Recommender replicas at start")
    max_replicas: int = Field(2, ge=1, description="Recommender replicas at most")
    max_ongoing_requests: int = Field(64, ge=1, description="requests in flight per replica")
    neighbour_budget_ms: float = Field(50.0, gt=0, description="time budget of the neighbour search for a taste")
    store_budget_ms: float = Field(20.0, gt=0, description="time budget of a look-up in the daily lists")
    request_timeout_s: float = Field(10.0, gt=0, description="server's maximum for requests without a deadline")
    # Below the deadlines of clients (2 s in ours), which are told UNAVAILABLE and when to come back.
    feedback_timeout_s: float = Field(1.5, gt=0, description="longest wait for Postgres before Feedback is UNAVAILABLE")
    feedback_days: int = Field(
        730, ge=1, description="days that reactions and idempotency keys are kept, in whole weeks"
    )
    impressions_days: int = Field(90, ge=1, description="days that impressions are kept, in whole weeks")
    impressions_waiting: int = Field(
        100_000, ge=1, description="lists per replica that may wait to be written; beyond it the oldest are lost"
    )
    alias: str = Field("production", description="registry alias that is served")
    daily_ttl_s: int = Field(172_800, ge=1, description="seconds a daily list lives")
    drain_s: float = Field(2.0, ge=0, description="seconds a replica goes on answering before it stops")
