"""What a blend says of itself: what was compared, what was chosen and why, and what each part is worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class PartReport:
    """weight: of the standardised score. gain: NDCG@10 that removing it costs. dimensions: of the folded factors.

    offset: whether its scores are stored beside the candidates, one number a pair for all such parts together.
    """

    name: str
    weight: float
    gain: float
    dimensions: int
    offset: bool


@dataclass(frozen=True)
class Calibration:
    """Probability that a candidate is a held-out like: 1 / (1 + exp(-(slope * score + intercept))) (Platt 1999).

    rows: candidates it was fitted on; error: mean distance of ten equal groups' probabilities from their shares.
    """

    slope: float
    intercept: float
    rows: int
    error: float


@dataclass(frozen=True)
class BlendReport:
    """chosen: "model" (as it was trained) or "blend". why: a sentence for `buddies train run`.

    ndcg: NDCG@10 among the candidates over users with held-out likes, of the model and of the blend; the blend's is
    cross-fitted: each half of the users with the other half's weights. margin: mean difference, and its standard error.
    """

    chosen: str
    why: str
    labels: str
    users: int = 0
    held_out: int = 0
    found: int = 0
    ndcg: Mapping[str, float] = field(default_factory=dict)
    margin: tuple[float, float] = (0.0, 0.0)
    parts: tuple[PartReport, ...] = ()
    calibration: Calibration | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For people: what was chosen and why, then a line for each part of the blend."""
        shown = [f"ranking: {self.chosen}, because {self.why}"]
        if self.chosen == "blend":
            shown += [
                f"  {part.name}: weight {part.weight:.2f}, removing it costs {part.gain:+.4f} NDCG@10; "
                + ("one stored number a candidate" if part.offset else f"{part.dimensions} dimensions")
                for part in self.parts
            ]
        return shown
