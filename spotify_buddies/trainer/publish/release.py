"""The release of a model version from a data set and its pairing: train, evaluate, bundle, register."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages.progress import Progress, silent
from spotify_buddies.pairing.result import CANDIDATES, load_pairing
from spotify_buddies.trainer.bundle import Bundle, BundleError, BundleParts, SongFactors, open_bundle, write_bundle
from spotify_buddies.trainer.candidates.find import Candidates, find_candidates
from spotify_buddies.trainer.candidates.nearest import for_model
from spotify_buddies.trainer.dataset.table import FOLLOWS, open_dataset
from spotify_buddies.trainer.evaluation.evaluate import Evaluation, evaluate
from spotify_buddies.trainer.evaluation.served.ranker import OpenRanker
from spotify_buddies.trainer.models import checkpoint
from spotify_buddies.trainer.models.fit import fit
from spotify_buddies.trainer.models.hybrid.state import taste_dimensions
from spotify_buddies.trainer.models.model import EpochReport, Model
from spotify_buddies.trainer.models.pace import suited
from spotify_buddies.trainer.models.warm.warm import Warm
from spotify_buddies.trainer.publish.judging import Asked, Judge, judge_served
from spotify_buddies.trainer.publish.parts import bundle_parts
from spotify_buddies.trainer.publish.recording import record_result, recorded
from spotify_buddies.trainer.publish.song_factors import LEARNED_OF_SONGS, song_factors
from spotify_buddies.trainer.publish.tracking import Run, artifact_location, tracking_uri
from spotify_buddies.trainer.publish.weighing import Blended, blend, weigh
from spotify_buddies.trainer.publish.work import RunType, Work
from spotify_buddies.trainer.registry.production import PRODUCTION, register_checked
from spotify_buddies.trainer.registry.registry import Registry
from spotify_buddies.trainer.settings import CandidateSettings, RegistrySettings, TrainSettings


@dataclass(frozen=True)
class Release:
    """What `buddies train run` made. version: number in the registry; bundle_dir: the bundle on this machine.

    warnings: sentences about a version that is no better than the baselines, and what became of alias production.
    served: what the bundle answers to held-out likes; empty where nobody asked. notes: how its lists are ranked, and
    why so.
    """

    version: str
    bundle_dir: Path
    bundle_sha256: str
    evaluation: Evaluation
    run_id: str
    warnings: tuple[str, ...] = ()
    served: Asked = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def train_and_release(
    dataset: Path,
    pairing: Path,
    state_dir: Path,
    settings: TrainSettings | None = None,
    registry: RegistrySettings | None = None,
    candidates: CandidateSettings | None = None,
    *,
    uri: str | None = None,
    run_type: RunType = "full",
    aliases: Sequence[str] = (PRODUCTION,),
    progress: Progress = silent,
    on_epoch: Callable[[EpochReport], None] = lambda _: None,
    open_ranker: OpenRanker | None = None,
    warm: Sequence[Warm] = (),
) -> Release:
    """Train on a finished data set and pairing, and make the result a registered version with these aliases.

    All lies under state_dir/train and state_dir/mlflow, unless `uri` or MLFLOW_TRACKING_URI names another MLflow.
    A repeated call resumes where it stopped; with nothing changed it gives the same version. The same inputs,
    settings and seed give the same bundle sha256 on one thread. run_type "toy" trains on the toy triplets.

    The run's artifacts hold the bundle and no checkpoints: the bundle has the best epoch's factors, which is all that
    serving and evaluation need of them, and checkpoints, with the optimiser's state, serve to resume after an
    interruption on this machine, where they stay under state_dir/train/checkpoints.

    open_ranker: opens the bundle as it is served; then the version has the figures of what it serves, and is judged by
    them. Alias production is not moved from another version to one that is worse than the baselines, or than that other
    version on the same data set: a warning says so.

    warm: what a training goes on from; of several, each is trained, and the one whose blend ranks the validation likes
    best is released.

    StageError: an input is not finished, or the pairing is that of another data set. TrainingError, TrackingError,
    RegistryError, BundleError as in their modules.
    """
    data = open_dataset(dataset)
    work = Work(
        data=data,
        pairing=pairing,
        paired=load_pairing(pairing, dataset),
        home=state_dir / "train",
        settings=suited(settings or TrainSettings(), data.labels),
        run_type=run_type,
        candidates=for_model(candidates or CandidateSettings(), settings or TrainSettings()),
        warm=warm[0] if warm else None,
    )
    registry = registry or RegistrySettings()
    address = tracking_uri(state_dir, uri)
    with recorded(work, registry, address, artifact_location(address, state_dir)) as run:
        ranked = _best(work, warm, run, progress, on_epoch)
        work, ranking = ranked.work, ranked.blended.ranking
        evaluation = evaluate(dataset, ranked.model, ranked.found.rows.transpose().transpose(), progress)
        wide = not work.candidates.pairing_only
        parts = bundle_parts(
            data,
            pairing,
            ranked.blended.rows,
            ranking.model,
            training={**work.facts(), **ranking.facts},
            metrics=evaluation.version_metrics(),
            taste=ranked.taste or None,
            songs=ranking.songs,
            sources=ranked.found.sources if wide else None,
            scale=ranking.scale if wide else None,
            nearest=ranked.blended.index,
            progress=progress,
        )
        bundle, served = _bundle(work.home / "bundle", parts, judge_served(data, open_ranker, progress))
        record_result(run, evaluation, bundle)
        number, warnings = register_checked(Registry(address, registry.model), bundle.directory, run.run_id, aliases)
        run.tags({"version": number})
    return Release(number, bundle.directory, bundle.sha256, evaluation, run.run_id, warnings, served, ranking.notes)


@dataclass(frozen=True)
class _Ranked:
    """A trained model as it finds and ranks. model: as it ranks without the blend."""

    work: Work
    taste: int
    model: Model
    found: Candidates
    blended: Blended

    @property
    def judged(self) -> float:
        """NDCG@10 of the validation likes among the candidates; without a blend, what epochs are judged by."""
        ndcg = self.blended.ranking.facts.get("blend", {}).get("ndcg", {})
        done = checkpoint.read(self.work.checkpoints, self.work.key)
        return max(ndcg.values(), default=done.best.judged if done else -1.0)


def _rank(work: Work, run: Run, progress: Progress, on_epoch: Callable[[EpochReport], None]) -> _Ranked:
    data = work.data
    model = _fit(work, run, progress, on_epoch)
    taste = taste_dimensions(work.settings) if work.settings.model == "hybrid" else 0
    ranking = weigh(data, model, _song_factors(work), taste, work.settings, work.candidates)
    paired = data.servable(Csr.load(work.pairing / CANDIDATES, "candidates"))
    found = find_candidates(
        data, paired, ranking.model, ranking.scale, work.candidates,
        followed=data.labels == FOLLOWS, disliked=data.disliked, progress=progress,
    )  # fmt: skip
    blended = blend(data, ranking, found, work.settings, work.candidates, progress, work.warm)
    return _Ranked(work, taste, ranking.model, found, blended)


def _best(
    work: Work, warm: Sequence[Warm], run: Run, progress: Progress, on_epoch: Callable[[EpochReport], None]
) -> _Ranked:
    """The one that ranks best, with a note of the others; one more than it is in memory at a time."""
    best = _rank(work, run, progress, on_epoch)
    tried = {} if work.warm is None else {work.warm.named_weight: round(best.judged, 4)}
    for other in warm[1:]:
        ranked = _rank(replace(work, warm=other), run, progress, on_epoch)
        tried[other.named_weight] = round(ranked.judged, 4)
        best = max(best, ranked, key=lambda one: one.judged)
    if len(tried) < 2 or best.work.warm is None:
        return best
    told = ", ".join(f"{weight}: {judged:.4f}" for weight, judged in tried.items())
    note = f"feedback weighs {best.work.warm.named_weight} against implicit likes; on the validation window {told}"
    ranking = best.blended.ranking
    named = replace(ranking, facts={**ranking.facts, "feedback_weights": tried}, notes=(note, *ranking.notes))
    return replace(best, blended=replace(best.blended, ranking=named))


def _fit(work: Work, run: Run, progress: Progress, on_epoch: Callable[[EpochReport], None]) -> Model:
    before = "" if work.warm is None else f"weight-{work.warm.named_weight}/"

    def note(report: EpochReport) -> None:
        values = {"train/loss": report.loss, **report.metrics}
        run.metrics({f"{before}{name}": value for name, value in values.items()}, report.epoch)
        on_epoch(report)

    return fit(
        work.data,
        work.settings,
        work.checkpoints,
        key=work.key,
        toy=work.run_type == "toy",
        warm=work.warm,
        on_epoch=note,
        progress=progress,
    )


def _song_factors(work: Work) -> SongFactors | None:
    """What the finished training learned of songs; None where the model has no factors of songs."""
    directory = work.checkpoints
    done = checkpoint.read(directory, work.key)
    if work.settings.model != "hybrid" or done is None:
        return None
    learned = checkpoint.load(directory, work.key, done.best.epoch, LEARNED_OF_SONGS)
    return song_factors(work.data, work.settings, learned)


def _bundle(directory: Path, parts: BundleParts, judge: Judge) -> tuple[Bundle, Asked]:
    """Write and judge the bundle, under a name that starts its sha256; an equal one that is there stays as it is."""
    staged, served = judge(write_bundle(directory / "new", parts))
    target = directory / staged.sha256[:12]
    try:
        open_bundle(target)
    except BundleError:
        shutil.rmtree(target, ignore_errors=True)
        staged.directory.replace(target)
    for other in directory.iterdir():
        if other != target:
            shutil.rmtree(other)
    return open_bundle(target, check_hashes=False), served
