"""What a retraining knows beside its data set: the version that serves, and the likes of the data set before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from spotify_buddies.trainer.bundle import Bundle
from spotify_buddies.trainer.dataset.table import Dataset
from spotify_buddies.trainer.models.items.item_model import ItemModel
from spotify_buddies.trainer.models.order import TripletSource
from spotify_buddies.trainer.models.warm.local import LocalRates, Looks
from spotify_buddies.trainer.models.warm.mixed import Mixed, implicit_likes

Array = npt.NDArray[Any]

LOCAL = "local"


@dataclass(frozen=True)
class Warm:
    """bundle: of the version that serves. implicit: the data set of implicit likes; None: they are not learned again.

    weight: of all that people said against all implicit likes; None: as without them. seen: what people looked at in
    the time of training, by the rows of the new data set; None: unknown. since: the same with the time of validation,
    for what is served when the weights are known.
    """

    bundle: Bundle
    implicit: Dataset | None = None
    weight: float | None = None
    seen: Looks | None = None
    since: Looks | None = None

    @property
    def key(self) -> str:
        """Names all that a training's result depends on here."""
        implied = None if self.weight is None or self.implicit is None else self.implicit.fingerprint
        return f"{self.bundle.sha256}/{implied}/{self.weight}"

    def item_models(self, taste: Array) -> dict[str, ItemModel]:
        """What it adds to the blend, by name. taste float32 (U, t): of every user."""
        return {} if self.seen is None or not self.seen.looks.nnz else {LOCAL: LocalRates(taste, self.seen)}

    def later_models(self, taste: Array) -> dict[str, ItemModel]:
        """What takes their places when their weights are known."""
        return {} if self.since is None or not self.item_models(taste) else {LOCAL: LocalRates(taste, self.since)}

    @property
    def named_weight(self) -> str:
        """The weight for people and for names of files."""
        return "alone" if self.weight is None else f"{self.weight:g}"

    def facts(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            "bundle_sha256": self.bundle.sha256,
            "implicit": None if self.implicit is None else self.implicit.fingerprint,
            "feedback_weight": self.weight,
        }

    def beside(self, source: TripletSource, data: Dataset) -> TripletSource:
        """The triplets with those of implicit likes between them, where there are any; else the same."""
        if self.implicit is None or self.weight is None:
            return source
        implicit = implicit_likes(self.implicit, data)
        return source if implicit is None else Mixed(source, implicit, self.weight)
