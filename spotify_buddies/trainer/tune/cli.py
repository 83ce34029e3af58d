"""`buddies tune`: search training settings, and compare the trials of searches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from spotify_buddies.foundation.terminal.console import AsJson
from spotify_buddies.foundation.terminal.visible import say
from spotify_buddies.trainer.command import Settings, checked_aliases
from spotify_buddies.trainer.publish.cli import RANKER
from spotify_buddies.trainer.tune.settings import TuneSettings

if TYPE_CHECKING:
    from spotify_buddies.trainer.tune.experiment import Experiment

SECTIONS = {"tune": TuneSettings}

app = typer.Typer(help="Search training settings with Ray Tune.", no_args_is_help=True)


class _Settings(Settings, Protocol):
    tune: TuneSettings


@app.command()
def run(
    context: typer.Context,
    trials: Annotated[int | None, typer.Option(min=1, help="Settings to try, instead of [tune] trials.")] = None,
    dataset: Annotated[Path | None, typer.Option(help="Data set directory; default: <state>/dataset.")] = None,
    pairing: Annotated[Path | None, typer.Option(help="Pairing directory; default: <state>/pairing.")] = None,
    alias: Annotated[
        list[str] | None,
        typer.Option(help="Alias of the winner; repeatable; default: staging.", callback=checked_aliases),
    ] = None,
    ray: Annotated[
        str | None, typer.Option(help="A running Ray cluster, auto or HOST:PORT; default: one of its own.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Try settings, stop the worse ones early, train the best in full and register it as staging.

    Interrupted or killed, the same command resumes. <state>/tune/KEY/report.html shows the outcome.

    Example: BUDDIES_TUNE__SEARCH=optuna buddies tune run --trials 8
    """
    from spotify_buddies.foundation.stages.progress import Reporter
    from spotify_buddies.foundation.stages.stage import StageError
    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.trainer.bundle import BundleError
    from spotify_buddies.trainer.models.model import TrainingError
    from spotify_buddies.trainer.publish.tracking import TrackingError
    from spotify_buddies.trainer.registry.registry import RegistryError
    from spotify_buddies.trainer.tune.experiment import TuneError
    from spotify_buddies.trainer.tune.run import tune_and_release

    settings: _Settings = context.obj
    with explained(StageError, TrainingError, TrackingError, BundleError, RegistryError, TuneError):
        tuned = tune_and_release(
            dataset or settings.state_dir / "dataset",
            pairing or settings.state_dir / "pairing",
            settings.state_dir,
            settings.tune if trials is None else settings.tune.model_copy(update={"trials": trials}),
            settings.train,
            settings.registry,
            settings.candidates,
            uri=settings.mlflow_tracking_uri,
            ray=ray,
            aliases=tuple(alias or ("staging",)),
            progress=Reporter(),
            open_ranker=context.meta.get(RANKER),
        )
    if as_json:
        say(json.dumps({**_body(tuned.experiment, "finished"), "report": str(tuned.report)}, indent=1))
        return
    _print_trials(tuned.experiment)
    say(f"\nversion {tuned.result.version} ({', '.join(alias or ['staging'])}), from trial {tuned.result.number}")
    say(f"report: {tuned.report}")


@app.command()
def compare(
    context: typer.Context,
    keys: Annotated[list[str] | None, typer.Argument(help="Searches, by the first digits of their keys.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the searches; with keys, the trials of these, best first.

    Example: buddies tune compare 3f9a
    """
    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.foundation.terminal.tables import table
    from spotify_buddies.trainer.tune.experiment import TuneError, experiments
    from spotify_buddies.trainer.tune.session import is_locked

    settings: _Settings = context.obj
    with explained(TuneError):
        searches = experiments(settings.state_dir, tuple(keys or ()))
        busy = is_locked(settings.state_dir)
        states = [_state(one, busy=busy) for one in searches]
        if as_json:
            bodies = [_body(one, state) for one, state in zip(searches, states, strict=True)]
            say(json.dumps(bodies, indent=1))
        elif keys:
            for one in searches:
                say(f"{one.name}")
                _print_trials(one)
        elif searches:
            head = ["key", "begun", "state", "trials", "metric", "best", "seconds", "version"]
            lines = [_line(one, state) for one, state in zip(searches, states, strict=True)]
            say(table(head, lines, right=(5, 6, 7)))
        else:
            say("no search yet; `buddies tune run` begins one")


def _print_trials(experiment: Experiment) -> None:
    from spotify_buddies.foundation.terminal.tables import table
    from spotify_buddies.trainer.tune.trial_table import rows_of

    ranked = sorted(experiment.trials(), key=lambda trial: (-(trial.score or 0.0), trial.number))
    headers, rows = rows_of(ranked, experiment.tune.metric)
    endings = [[*row, trial.why] for row, trial in zip(rows, ranked, strict=True)]
    numbers = [index for index, header in enumerate(headers) if header != "status"]
    say(table([*headers, "ended"], endings, right=numbers))


def _state(experiment: Experiment, *, busy: bool) -> str:
    """finished; running: trials run, or the winner is trained; unfinished: the same command resumes."""
    if experiment.result() is not None:
        return "finished"
    live = {"running", "waiting"} & {trial.status for trial in experiment.trials()}
    return "running" if busy and live else "unfinished"


def _line(experiment: Experiment, state: str) -> list[str]:
    from spotify_buddies.trainer.tune.experiment import ENDED, winner

    trials, result = experiment.trials(), experiment.result()
    best = winner(trials)
    return [
        experiment.name,
        f"{experiment.created:%Y-%m-%d %H:%M} UTC",
        state,
        f"{sum(trial.status in ENDED for trial in trials)} of {experiment.tune.trials}",
        experiment.tune.metric,
        f"{best.score:.4f}" if best is not None else "-",
        f"{sum(trial.seconds for trial in trials):.1f}",
        result.version if result else "-",
    ]


def _body(experiment: Experiment, state: str) -> dict[str, Any]:
    from spotify_buddies.trainer.tune.trial_table import as_json

    result = experiment.result()
    return {
        "key": experiment.key,
        "begun": experiment.created.isoformat(),
        "state": state,
        "metric": experiment.tune.metric,
        "backend": experiment.backend,
        "dataset_fingerprint": experiment.dataset_fingerprint,
        "run_id": experiment.run_id,
        "version": result.version if result else None,
        "winner": result.number if result else None,
        "trials": [as_json(trial) for trial in experiment.trials()],
    }
