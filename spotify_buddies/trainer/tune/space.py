"""The space that is searched, and the settings of a training from a drawn point."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spotify_buddies.trainer.settings import TrainSettings
from spotify_buddies.trainer.tune.settings import Domain, TuneSettings

HYBRID, HYBRID_FUSED = "hybrid", "hybrid_fused"  # what [train] model and backend are called together

_DIMENSION = Domain(choice=(64, 128, 256))
# torch runs SparseAdam. Row-wise Adagrad, which the others run, fits with steps ten to fifty times as long.
_ADAM = {
    "learning_rate": Domain(loguniform=(1e-4, 1e-2)),
    "regularisation": Domain(loguniform=(1e-7, 1e-4)),
    "batch": Domain(choice=(8_192, 16_384)),
}
# The hybrid model's Adam, over all triplets in a few steps. Its taste settings are not here: they trade likes, which
# the metrics ask for, for people's own taste, which they do not see.
_HYBRID = {"learning_rate": Domain(loguniform=(1e-3, 2e-2)), "regularisation": Domain(loguniform=(1e-6, 1e-2))}
_ADAGRAD = {"learning_rate": Domain(loguniform=(0.005, 0.5)), "regularisation": Domain(loguniform=(1e-3, 0.1))}
_DRAWN = {"negatives": Domain(choice=(2, 4, 8)), "hard_share": Domain(uniform=(0.0, 1.0))}


def default_space(backend: str, *, draws: bool) -> dict[str, Domain]:
    """What is searched where the settings name nothing. draws: whether training can draw its negatives."""
    steps = {"torch": _ADAM, HYBRID: _HYBRID, HYBRID_FUSED: _HYBRID}.get(backend, _ADAGRAD)
    return {"dimension": _DIMENSION, **steps, **(_DRAWN if draws else {})}


def space_of(settings: TuneSettings, backend: str, *, draws: bool) -> dict[str, Domain]:
    """What is searched: the setting, else the default."""
    return dict(settings.space) if settings.space is not None else default_space(backend, draws=draws)


def chosen_settings(train: TrainSettings, backend: str, point: Mapping[str, Any]) -> TrainSettings:
    """[train] with a point of the space in it: what the winner is trained with. ValidationError: out of range."""
    # Every node must train alike, so the backend is named; the key of a hybrid model by numba is that of a plain one.
    fixed = {} if backend == HYBRID else {"backend": "fused" if backend == HYBRID_FUSED else backend}
    return TrainSettings.model_validate({**train.model_dump(), **fixed, **point})


def trial_settings(train: TrainSettings, tune: TuneSettings, backend: str, point: Mapping[str, Any]) -> TrainSettings:
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
