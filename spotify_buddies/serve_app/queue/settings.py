"""Settings of the job queue."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from spotify_buddies.serve_app.settings.exploration import ExplorationSettings
from spotify_buddies.serve_app.settings.serve import ServeSettings

# Nobody waits for the answer of a job as for that of a call, so steps that a call would skip get the time they need.
BUDGET_MS = 10_000.0


class QueueSettings(BaseModel):
    """The [queue] section."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field("buddies", pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="queue; part of its keys in Redis")
    workers: int = Field(1, ge=1, description="worker processes, one job at a time each")
    attempts: int = Field(3, ge=1, description="tries of a job before it is a dead letter")
    # Longer than any job: a job that takes longer is ranked twice, and answered once.
    redeliver_s: int = Field(60, ge=1, description="seconds before an unfinished job is given to another worker")
    result_ttl_s: int = Field(86_400, ge=1, description="seconds that a job and its answer are kept")


def settings_of(settings: ServeSettings) -> ServeSettings:
    """Those of a worker: patient, and without exploration, since few answers of jobs are ever reacted to."""
    patient = {"neighbour_budget_ms": BUDGET_MS, "store_budget_ms": BUDGET_MS}
    return settings.model_copy(update={**patient, "exploration": ExplorationSettings()})
