"""Settings of the rollout."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class RolloutSettings(BaseModel):
    """The [rollout] section."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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
    steps: tuple[float, ...] = Field(
        (1, 5, 25, 50, 100), description="percent of the listeners, ascending to 100, that a canary goes through"
    )

    @property
    def first_percent(self) -> float:
        """What a canary starts with where nobody says anything else."""
        return self.steps[0]

    @model_validator(mode="after")
    def _check(self) -> Self:
        rising = all(one < other for one, other in zip(self.steps, self.steps[1:], strict=False))
        if not self.steps or not rising or self.steps[0] <= 0 or self.steps[-1] != 100:
            raise ValueError("steps must ascend from above 0 and end with 100, as 1, 5, 25, 50, 100")
        return self
