"""ASHA that keeps the scores of trials across a restored search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray.tune.schedulers import ASHAScheduler

from spotify_buddies.trainer.tune.experiment import Trial
from spotify_buddies.trainer.tune.running import live
from spotify_buddies.trainer.tune.running.trial import EPOCH, SCORE
from spotify_buddies.trainer.tune.settings import TuneSettings


class Asha(ASHAScheduler):  # type: ignore[misc]  # Ray has no types
    """Asynchronous successive halving (Li et al. 2020, arXiv:1810.05934): stops the worse trials at every rung.

    Ray restores a search with an empty scheduler, in which every trial is the best one so far. So the earlier scores
    are reported again, from the experiment's own record, when Ray adds the restored trials.
    """

    def __init__(self, settings: TuneSettings, remembered: Mapping[str, Trial]) -> None:
        super().__init__(
            time_attr=EPOCH,
            max_t=settings.epochs,
            grace_period=settings.grace,
            reduction_factor=settings.reduction,
        )
        self._remembered = remembered

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Fill the rungs with the epochs of a restored trial; a new one has none."""
        super().on_trial_add(tune_controller, trial)
        heard = (trial.last_result or {}).get(EPOCH, 0)
        known = self._remembered.get(trial.trial_id)
        for epoch in known.epochs if known is not None else ():
            if epoch.epoch <= heard:
                super().on_trial_result(tune_controller, trial, {EPOCH: epoch.epoch, SCORE: epoch.score})

    def __reduce__(self) -> Any:
        """Ray pickles the scheduler when a search starts; whoever restores it gets the one of the running search."""
        return live.scheduler, ()
