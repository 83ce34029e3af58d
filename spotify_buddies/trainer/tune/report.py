"""report.html of a search: parallel coordinates, learning curves and the trials, in one file that needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spotify_buddies.trainer.reports.page import Section, render
from spotify_buddies.trainer.reports.templates import fill
from spotify_buddies.trainer.tune.experiment import Experiment, Trial, winner
from spotify_buddies.trainer.tune.plots import learning_curves, parallel_coordinates
from spotify_buddies.trainer.tune.trial_table import rows_of

REPORT = "report.html"


def write_report(experiment: Experiment) -> Path:
    """Write report.html into the experiment's directory. The same trials give the same bytes."""
    trials = experiment.trials()
    path = experiment.directory / REPORT
    partial = path.with_suffix(".partial")
    title = f"Search {experiment.name}"
    summary, sections = _summary(experiment, trials), _sections(experiment, trials)
    partial.write_text(render(title, summary, sections, template="tune/report.html"), "utf-8")
    partial.replace(path)
    return path


def rungs(experiment: Experiment) -> list[float]:
    """The epochs at which ASHA compares trials, ascending."""
    epochs, rung = [], float(experiment.tune.grace)
    while rung < experiment.tune.epochs:
        epochs.append(rung)
        rung *= experiment.tune.reduction
    return epochs


def _sections(experiment: Experiment, trials: Sequence[Trial]) -> list[Section]:
    tune = experiment.tune
    set_name = tune.metric.split("/")[0]
    curves = (
        learning_curves(trials, f"{tune.metric}", lambda e: e.metrics[tune.metric], rungs(experiment), "lc"),
        learning_curves(trials, "Training loss", lambda e: e.loss, rungs(experiment), "tl"),
    )
    ranked = sorted(trials, key=lambda trial: (-(trial.score or 0.0), trial.number))
    return [
        Section(
            "Parallel coordinates",
            "Each line is a trial, from its settings to its score: blue the best, orange the worst, the winner thick. "
            "Point at a line or a row to see the trial everywhere; click to hold it.",
            {},
            (parallel_coordinates(trials, experiment.space, tune.metric),),
        ),
        Section(
            "Learning curves",
            f"Validation MRR among {set_name} negatives, and the loss, after every epoch. A dot ends a trial that ran "
            "to its end, a cross one that ASHA stopped; dotted lines are the epochs at which it compares.",
            {},
            curves,
        ),
        Section("Trials", "Best first; the winner was trained in full.", {}, (_table(ranked, tune.metric, trials),)),
        Section("What was searched", "Every other setting was as in [train].", _searched(experiment)),
    ]


def _summary(experiment: Experiment, trials: Sequence[Trial]) -> dict[str, Any]:
    best, result = winner(tuple(trials)), experiment.result()
    summary: dict[str, Any] = {
        "trials": len(trials),
        "epochs": sum(len(trial.epochs) for trial in trials),
        "seconds in trials": round(sum(trial.seconds for trial in trials), 1),
        "stopped by ASHA": sum(trial.status == "stopped" for trial in trials),
    }
    if best is not None:
        summary |= {f"best {experiment.tune.metric}": f"{best.score:.4f}", "winner": f"trial {best.number}"}
    return summary | ({"version": result.version} if result else {})


def _searched(experiment: Experiment) -> dict[str, Any]:
    tune = experiment.tune
    domains = {
        name: f"{domain.kind} {', '.join(map(str, getattr(domain, domain.kind)))}"
        for name, domain in experiment.space.items()
    }
    how = {"search": tune.search, "seed": tune.seed, "epochs at most": tune.epochs, "backend": experiment.backend}
    return domains | how | {"data set": experiment.dataset_fingerprint[:12], "MLflow run": experiment.run_id or "-"}


def _table(ranked: Sequence[Trial], metric: str, trials: Sequence[Trial]) -> str:
    head, lines = rows_of(ranked, metric)
    rows = [(trial, [*line, trial.why]) for trial, line in zip(ranked, lines, strict=True)]
    return fill("tune/trials.html", head=[*head, "ended"], rows=rows, best=winner(tuple(trials)))
