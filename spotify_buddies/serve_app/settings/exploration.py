"""Settings of exploration: places of lists that are drawn at random."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class ArmExploration(BaseModel):
    """How the places of an arm's lists are drawn; docs/online.md says what each policy is good for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    policy: Literal["none", "epsilon", "plackett_luce"] = Field(
        "none", description="none: each place goes to the best; else it is drawn from the `top` best"
    )
    epsilon: float = Field(
        0.1,
        gt=0,
        le=1,
        description="of policy epsilon: probability that a place is drawn evenly, not the best",
    )
    temperature: float = Field(
        0.1,
        gt=0,
        allow_inf_nan=False,
        description="of policy plackett_luce: a playlist whose score is lower by this is drawn 1/e times as often",
    )
    top: int = Field(
        20, ge=2, le=1_000, description="playlists that a place is drawn from: the best that the rules admit there"
    )


class ExplorationSettings(BaseModel):
    """One policy per arm; both should have the same while a canary runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    production: ArmExploration = Field(ArmExploration(), description="lists of production")
    canary: ArmExploration = Field(ArmExploration(), description="lists of a canary")

    @property
    def differs(self) -> bool:
        """Whether the arms' lists are not drawn alike; numbers that a policy does not use do not count."""
        return _used(self.production) != _used(self.canary)


def _used(arm: ArmExploration) -> tuple[str, float, int]:
    match arm.policy:
        case "epsilon":
            return arm.policy, arm.epsilon, arm.top
        case "plackett_luce":
            return arm.policy, arm.temperature, arm.top
        case _:
            return arm.policy, 0.0, 0
