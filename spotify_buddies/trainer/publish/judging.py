"""The figures of what a new bundle serves, written into its manifest before it is registered."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from spotify_buddies.foundation.stages.progress import Progress
from spotify_buddies.trainer.bundle import Bundle, add_metrics
from spotify_buddies.trainer.dataset.table import Dataset
from spotify_buddies.trainer.evaluation.served.figures import Figures
from spotify_buddies.trainer.evaluation.served.protocol import ask_likes, version_metrics
from spotify_buddies.trainer.evaluation.served.ranker import OpenRanker

Asked = Mapping[str, Figures]
# From a bundle that was just written to the same with its figures, and all that was asked.
Judge = Callable[[Bundle], tuple[Bundle, Asked]]


def judge_served(data: Dataset, open_ranker: OpenRanker | None, progress: Progress) -> Judge:
    """Asks a bundle for the held-out likes of its data set; without a ranker, or without such likes, for nothing."""

    def judge(bundle: Bundle) -> tuple[Bundle, Asked]:
        if open_ranker is None:
            return bundle, {}
        asked = ask_likes(data, open_ranker(bundle.directory), progress)
        metrics = version_metrics(asked)
        return add_metrics(bundle, metrics) if metrics else bundle, asked

    return judge
