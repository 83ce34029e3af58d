"""Settings of the search for training settings, with the space that it searches as data."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_serializer, model_validator

from spotify_buddies.trainer.settings import TrainSettings

Value = bool | int | float | str

# What the search itself decides for every trial.
_FIXED = {
    "epochs": "[tune] epochs bounds a trial, [train] epochs the last training",
    "threads": "a trial runs on one thread, so that it can be repeated",
}


class Domain(BaseModel):
    """The values that one setting may take: exactly one of the fields.

    choice: these values. uniform, loguniform: from the first number to the second. integers, logintegers: the same in
    whole numbers, both ends included.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    choice: tuple[Value, ...] | None = Field(None, min_length=1, description="these values")
    uniform: tuple[float, float] | None = Field(None, description="numbers between these two")
    loguniform: tuple[float, float] | None = Field(None, description="numbers between these two, evenly by magnitude")
    integers: tuple[int, int] | None = Field(None, description="whole numbers from the first to the second")
    logintegers: tuple[int, int] | None = Field(None, description="the same, evenly by magnitude")

    @property
    def kind(self) -> str:
        """The name of the one field that is set."""
        return next(name for name in type(self).model_fields if getattr(self, name) is not None)

    @property
    def logarithmic(self) -> bool:
        """Whether values are spread by magnitude."""
        return self.kind.startswith("log")

    @model_validator(mode="after")
    def _one_range(self) -> Domain:
        kinds = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(kinds) != 1:
            raise ValueError(f"name exactly one of {', '.join(type(self).model_fields)}")
        if kinds != ["choice"]:
            low, high = getattr(self, kinds[0])
            if not low < high:
                raise ValueError(f"{kinds[0]} goes from a number to a larger one, not from {low} to {high}")
            if self.logarithmic and low <= 0:
                raise ValueError(f"{kinds[0]} begins above 0, not at {low}")
        return self

    @model_serializer
    def _plain(self) -> dict[str, Any]:
        return {self.kind: list(getattr(self, self.kind))}

    def probes(self) -> list[Value]:
        """Values that a setting must accept if it accepts all of the domain: every choice, or both ends and between."""
        if self.choice is not None:
            return list(self.choice)
        low, high = getattr(self, self.kind)
        whole = "integers" in self.kind
        return [low, high] if whole else [low, high, low + 0.37 * (high - low)]


class TuneSettings(BaseModel):
    """The [tune] section: a search for training settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trials: int = Field(16, ge=1, description="number of trials")
    search: Literal["random", "optuna"] = Field(
        "random", description="how trials are drawn; optuna: its TPE sampler learns from earlier trials"
    )
    metric: Literal["random/mrr", "hard/mrr"] = Field(
        "random/mrr", description="what a trial is judged by: validation MRR among random or among hard negatives"
    )
    epochs: int = Field(18, ge=1, description="epochs of a trial at most")
    grace: int = Field(2, ge=1, description="epochs before ASHA may stop a trial")
    reduction: float = Field(3.0, gt=1, description="ASHA lets about one of this many trials go on at each rung")
    seed: int = Field(42, description="seed of the draws; every trial trains with the seed of [train]")
    cpus: float = Field(1.0, gt=0, description="CPUs that Ray sets aside for a trial")
    gpus: float = Field(0.5, gt=0, description="GPUs of a trial, where the cluster has any")
    accelerator_type: str | None = Field(
        None, description="kind of GPU that trials ask for, such as A100, where the cluster has it"
    )
    concurrency: int | None = Field(None, ge=1, description="trials at a time; unset: as many as there is room for")
    space: dict[str, Domain] | None = Field(
        None,
        description="what is searched: a setting of [train] to {choice = [..]}, {uniform = [low, high]}, "
        "{loguniform = ..}, {integers = ..} or {logintegers = ..}; unset: dimension, learning_rate, regularisation; "
        "batch for torch; negatives and hard_share where training draws them",
    )

    @field_validator("space")
    @classmethod
    def _known(cls, space: dict[str, Domain] | None) -> dict[str, Domain] | None:
        if space is not None:
            check_space(space)
        return space

    @model_validator(mode="after")
    def _grace_within(self) -> TuneSettings:
        if self.grace > self.epochs:
            raise ValueError(f"grace is at most epochs, {self.epochs}, not {self.grace}")
        return self


def check_space(space: Mapping[str, Domain]) -> None:
    """ValueError: the space is empty, names no setting of [train] or a fixed one, or leaves a setting's range."""
    if not space:
        raise ValueError("a space names at least one setting; leave it out to search the default one")
    known = TrainSettings.model_fields
    for name, domain in space.items():
        if name not in known:
            close = difflib.get_close_matches(name, list(known), n=1)
            hint = f"did you mean {close[0]}?" if close else f"it has {', '.join(known)}"
            raise ValueError(f"{name}: [train] has no such setting; {hint}")
        if name in _FIXED:
            raise ValueError(f"{name} is not searched: {_FIXED[name]}")
        _check_range(name, domain)


def _check_range(name: str, domain: Domain) -> None:
    for value in domain.probes():
        try:
            TrainSettings.model_validate({name: value})
        except ValidationError as error:
            problem = error.errors()[0]["msg"]
            raise ValueError(f"{name}: [train] {name} cannot be {value!r}: {problem}") from error
