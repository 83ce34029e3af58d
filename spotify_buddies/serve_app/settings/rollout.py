"""Settings of the rollout."""

from __future__ import annotations

from pydantic import Field

from spotify_buddies.serve_app.settings.gates import GateSettings


class RolloutSettings(GateSettings):
    """The [rollout] section: settings of the controller and of the gates."""

    poll_s: float = Field(1.0, gt=0, description="seconds between two looks of the controller at the registry")
    interleave_percent: float = Field(
        5.0, gt=0, le=100, description="percent of the users who get drafted lists with `start --interleave`"
    )
    registry_within_s: float = Field(
        5.0, gt=0, description="longest wait for an answer of the registry before it counts as away"
    )
    prepare_within_s: float = Field(
        120.0,
        gt=0,
        description="longest time that replicas may take to load the versions of a change; then the change fails",
    )
    max_metric_drop: float = Field(
        0.02,
        ge=0,
        le=1,
        description="largest accepted relative drop of a figure of what is served, or of an offline MRR, after noise",
    )
    seed_noise: float = Field(
        0.02,
        ge=0,
        le=1,
        description="standard deviation of an offline MRR over the seeds of a training, as a share of it",
    )
    hard_seed_noise: float = Field(
        0.15,
        ge=0,
        le=1,
        description="standard deviation over seeds of the hard-negative MRR, as a share of it",
    )
    served_seed_noise: float = Field(
        0.07,
        ge=0,
        le=1,
        description="standard deviation over seeds of Hit@5 and NDCG@10 of what is served, as a share of them",
    )
    min_coverage_kept: float = Field(
        0.5,
        ge=0,
        le=1,
        description="least share of production's coverage, and of its evenness (1 - Gini), that a version must keep",
    )
    min_id_overlap: float = Field(
        0.5, ge=0, le=1, description="share of production's user ids, and of its playlist ids, that a version must know"
    )
    counts_days: int = Field(
        90, ge=1, description="days that counts of ended generations are kept; a canary's stay while it runs"
    )
    bundles_days: int = Field(14, ge=0, description="days before an unused version's bundle is deleted here; 0: never")

    @property
    def first_percent(self) -> float:
        """The share of a canary that was started without one, in percent."""
        return self.steps[0]
