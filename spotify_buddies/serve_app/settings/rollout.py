"""Settings of the rollout."""

from __future__ import annotations

from pydantic import Field

from spotify_buddies.serve_app.settings.gates import GateSettings


class RolloutSettings(GateSettings):
    """The [rollout] section: the controller's and the gates'."""

    poll_s: float = Field(1.0, gt=0, description="seconds between two looks of the controller at the registry")
    registry_within_s: float = Field(
        5.0, gt=0, description="longest wait for an answer of the registry before it counts as away"
    )
    prepare_within_s: float = Field(
        120.0, gt=0, description="longest time that replicas may take to load what a change needs; then it is given up"
    )
    max_metric_drop: float = Field(
        0.02,
        ge=0,
        le=1,
        description="by how much an offline MRR of a new version may be below production's, as a share of production's",
    )
    min_id_overlap: float = Field(
        0.5, ge=0, le=1, description="share of production's user ids, and of its playlist ids, that a version must know"
    )
    counts_days: int = Field(
        90, ge=1, description="days that counts of ended generations are kept; a canary's stay while it runs"
    )
    bundles_days: int = Field(
        14, ge=0, description="days that bundles of versions which nothing names stay on this machine; 0 keeps all"
    )

    @property
    def first_percent(self) -> float:
        """What a canary starts with where nobody says anything else."""
        return self.steps[0]
