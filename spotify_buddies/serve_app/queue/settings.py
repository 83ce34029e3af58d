"""Settings of the job queue."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class QueueSettings(BaseModel):
    """The [queue] section."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field("buddies", pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="queue; part of its keys in Redis")
    workers: int = Field(1, ge=1, description="worker processes, one job at a time each")
    attempts: int = Field(3, ge=1, description="tries of a job before it is a dead letter")
    # Longer than any job: a job that takes longer is ranked twice, and answered once.
    redeliver_s: int = Field(60, ge=1, description="seconds before an unfinished job is given to another worker")
    result_ttl_s: int = Field(86_400, ge=1, description="seconds that a job and its answer are kept")
