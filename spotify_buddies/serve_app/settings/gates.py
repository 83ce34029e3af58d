"""Settings of the gates."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class GateSettings(BaseModel):
    """Limits of a canary. Rates and shares are 0 to 1, steps are percent; docs/rollout-gates.md says why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    manual: bool = Field(False, description="only show verdicts; people act on them")
    steps: tuple[float, ...] = Field(
        (1, 5, 25, 50, 100), description="percent of the users, ascending; 100 makes the canary production"
    )
    min_step_s: float = Field(600.0, ge=0, description="minimum seconds in a step")
    min_answers: int = Field(1_000, ge=1, description="minimum users answered by the canary in a step")
    min_reacting: int = Field(100, ge=2, description="users of each arm who reacted, before like rates are compared")
    max_canary_s: float = Field(604_800.0, gt=0, description="seconds from the start of a canary to the end of it")
    on_timeout: Literal["roll_back", "hold"] = Field(
        "roll_back", description="action when a canary has not proved as good by then"
    )
    min_error_calls: int = Field(
        10, ge=1, description="calls to the canary before its errors are judged; users of one call count as one"
    )
    error_window_s: float = Field(30.0, gt=0, description="seconds of calls that the recent error rate is taken from")
    max_error_rate: float = Field(0.05, ge=0, lt=1, description="share of the canary's users whose calls may fail")
    max_error_rise: float = Field(
        0.01, ge=0, lt=1, description="how far the canary's failure share may exceed production's"
    )
    max_p99_ratio: float = Field(
        1.5, ge=1, description="the canary's p99 latency over production's, for calls of like sizes"
    )
    p99_slack_ms: float = Field(5.0, ge=0, description="extra milliseconds allowed above max_p99_ratio")
    max_cold_rise: float = Field(0.1, ge=0, lt=1, description="rise of the share of users answered without a factor")
    max_empty_rise: float = Field(0.02, ge=0, lt=1, description="rise of the share of empty lists")
    max_coverage_drop: float = Field(
        0.3, ge=0, lt=1, description="largest relative drop in distinct playlists, for equal numbers of answers"
    )
    split_gate: bool = Field(True, description="hold every verdict while the arms' listeners are not split as asked")
    split_alpha: float = Field(
        0.001, gt=0, lt=0.5, description="probability, in each step, that a right split is taken for a wrong one"
    )
    like_gate: bool = Field(True, description="compare like rates; off for a service that gets no feedback")
    like_alpha: float = Field(
        0.05, gt=0, lt=0.5, description="probability, over the whole canary, of a wrong verdict on the like rate"
    )
    like_effect: float = Field(
        0.2, gt=0, lt=1, description="relative difference of like rates that the test is tuned to detect"
    )
    reaction_delay_s: float = Field(
        3_600.0, gt=0, description="seconds within which most users react to a list; a step's first ones are set apart"
    )
    like_margin: float = Field(
        0.1, gt=0, lt=1, description="largest relative drop in like rate still accepted as equal"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        rising = all(one < other for one, other in zip(self.steps, self.steps[1:], strict=False))
        if not self.steps or not rising or self.steps[0] <= 0 or self.steps[-1] != 100:
            raise ValueError("steps must ascend from above 0 and end with 100, as 1, 5, 25, 50, 100")
        return self

    def after(self, share: float) -> float:
        """The next step above a share of the users, both 0 to 1; 1 above the last."""
        return next((step / 100 for step in self.steps if step / 100 > share + 1e-9), 1.0)
