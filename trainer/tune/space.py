"""The space that is searched, and how a drawn point becomes the settings of a training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from trainer.settings import TrainSettings
from trainer.tune.settings import Domain, TuneSettings

BackendName = Literal["numba", "torch"]

# SPEC's for torch's SparseAdam. Row-wise Adagrad, which numba runs, fits with steps ten to fifty times as long.
_RATES = {"numba": Domain(loguniform=(0.005, 0.5)), "torch": Domain(loguniform=(1e-4, 1e-2))}
_DECAYS = {"numba": Domain(loguniform=(1e-3, 0.1)), "torch": Domain(loguniform=(1e-7, 1e-4))}
# Of the data set as it is now; searched from the day on which training draws its triplets itself.
_DRAWN = {"negatives": Domain(choice=(2, 4, 8)), "hard_share": Domain(uniform=(0.0, 1.0))}


def default_space(backend: BackendName) -> dict[str, Domain]:
    """What is searched where the settings name nothing."""
    space = {
        "dimension": Domain(choice=(64, 128, 256)),
        "learning_rate": _RATES[backend],
        "regularisation": _DECAYS[backend],
    }
    if backend == "torch":
        space["batch"] = Domain(choice=(8_192, 16_384))
    return space | {name: domain for name, domain in _DRAWN.items() if name in TrainSettings.model_fields}


def space_of(settings: TuneSettings, backend: BackendName) -> dict[str, Domain]:
    """What is searched: the setting, else the default."""
    return dict(settings.space) if settings.space is not None else default_space(backend)


def chosen_settings(train: TrainSettings, backend: BackendName, point: Mapping[str, Any]) -> TrainSettings:
    """[train] with a point of the space in it: what the winner is trained with. ValidationError: out of range."""
    return TrainSettings.model_validate({**train.model_dump(), "backend": backend, **point})


def trial_settings(
    train: TrainSettings, tune: TuneSettings, backend: BackendName, point: Mapping[str, Any]
) -> TrainSettings:
    """The settings of a trial: as chosen_settings, on one thread and for a trial's epochs."""
    return chosen_settings(train, backend, point).model_copy(update={"epochs": tune.epochs, "threads": 1})


def domains(space: Mapping[str, Domain]) -> dict[str, Any]:
    """The space in Ray Tune's words."""
    return {name: _domain(domain) for name, domain in space.items()}


def _domain(domain: Domain) -> Any:
    from ray import tune

    if domain.choice is not None:
        return tune.choice(list(domain.choice))
    low, high = getattr(domain, domain.kind)
    if domain.kind in ("integers", "logintegers"):  # Ray's leave the upper end out
        return tune.randint(low, high + 1) if domain.kind == "integers" else tune.lograndint(low, high + 1)
    return tune.uniform(low, high) if domain.kind == "uniform" else tune.loguniform(low, high)
