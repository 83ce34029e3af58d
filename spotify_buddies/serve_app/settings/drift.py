"""Settings of drift."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class DriftSettings(BaseModel):
    """The [drift] section: how sensitive the alarms are, and what starts a retraining; docs/drift.md says why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    alarms_per_quarter: float = Field(
        0.5, gt=0, le=30, description="false alarms of all signals together in 90 quiet days, in expectation"
    )
    checks_per_day: float = Field(1.0, ge=1, description="checks a day that alarms_per_quarter is spread over")
    history_days: int = Field(
        28, ge=7, le=365, description="days before the window that say how much quiet days differ"
    )
    least_psi: float = Field(
        0.01, ge=0, description="PSI below which a change is too small for an alarm, however certain it is"
    )
    least_entries: int = Field(
        100, ge=10, description="lists, users or reactions on each side of a comparison before it is judged"
    )
    tastes_a_day: int = Field(
        500, ge=10, description="tastes of each day, drawn at random, whose genres and songs are looked at"
    )
    retrain_blocks: int = Field(
        10_000, ge=1, description="user-blocks since the last retraining's data that start the next one"
    )
