"""The served protocol over a state directory: a bundle asked for held-out likes, and halves through a whole release."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from spotify_buddies.foundation.stages.progress import Progress, silent
from spotify_buddies.pairing.build import build_pairing
from spotify_buddies.pairing.settings import PairingSettings
from spotify_buddies.trainer.bundle import open_bundle
from spotify_buddies.trainer.dataset.table import open_dataset
from spotify_buddies.trainer.evaluation.evaluate import evaluate_bundle
from spotify_buddies.trainer.evaluation.served.halves import TooFewHalves
from spotify_buddies.trainer.evaluation.served.protocol import ServedResult, ask_halves, ask_likes
from spotify_buddies.trainer.evaluation.served.ranker import OpenRanker
from spotify_buddies.trainer.publish.release import train_and_release
from spotify_buddies.trainer.registry.mlflow_client import default_uri
from spotify_buddies.trainer.settings import CandidateSettings, DataSettings, RegistrySettings, TrainSettings


class Sections(Protocol):
    """The settings of the chain from a data set to a bundle."""

    data: DataSettings
    train: TrainSettings
    registry: RegistrySettings
    candidates: CandidateSettings
    pairing: PairingSettings


def served_likes(dataset: Path, bundle: Path, open_ranker: OpenRanker, progress: Progress = silent) -> ServedResult:
    """Held-out likes through a bundle's engine; beside them the same among 50 others. StageError as evaluate_bundle."""
    beside = evaluate_bundle(dataset, open_bundle(bundle, check_hashes=False), progress)
    asked = ask_likes(open_dataset(dataset), open_ranker(bundle), progress)
    return ServedResult(asked, beside.batches, {} if asked else {"likes": "no like of the data set is held out"})


def served_halves(
    dataset: Path, work: Path, settings: Sections, open_ranker: OpenRanker, progress: Progress = silent
) -> ServedResult:
    """Halves through data set, pairing, training and bundle as `buddies train run` makes them, all under `work`.

    The version is registered in an MLflow of its own there, which nothing serves from. Finished steps are reused. Left
    out, with the reason, where no playlist is long enough.
    """

    def make(halves: Path) -> Path:
        build_pairing(halves, work / "pairing", settings.pairing, progress=progress)
        release = train_and_release(
            halves,
            work / "pairing",
            work,
            settings.train,
            settings.registry,
            settings.candidates,
            uri=default_uri(work),
            aliases=(),
            progress=progress,
        )
        return release.bundle_dir

    try:
        return ask_halves(open_dataset(dataset), work, settings.data, make, open_ranker, progress)
    except TooFewHalves as error:
        return ServedResult({}, {}, {"halves": str(error)})
