"""An MLflow run around a training: its inputs, its course, its results."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spotify_buddies.foundation.addresses import AddressError
from spotify_buddies.trainer.registry.mlflow_client import (
    artifact_location,
    configure,
    connect,
    default_uri,
    first_line,
    public,
    tracking_uri,
)

__all__ = ["Run", "TrackingError", "artifact_location", "default_uri", "track", "tracking_uri"]


class TrackingError(Exception):
    """The run cannot be tracked; the message names the server or experiment and what to do."""


@dataclass(frozen=True)
class Run:
    """A run that is being recorded."""

    client: Any
    run_id: str

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Record numbers at a step (an epoch, from 1). "hit@5" is stored as "hit_at_5": MLflow allows no @."""
        import time

        from mlflow.entities import Metric

        now_ms = int(time.time() * 1000)
        batch = [Metric(name.replace("@", "_at_"), value, now_ms, step) for name, value in values.items()]
        self.client.log_batch(self.run_id, metrics=batch)

    def tags(self, tags: Mapping[str, str]) -> None:
        """Set tags."""
        for name, value in tags.items():
            self.client.set_tag(self.run_id, name, value)

    def document(self, name: str, body: object) -> None:
        """Store JSON values as an artifact."""
        self.client.log_text(self.run_id, json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False), name)

    def file(self, path: Path, folder: str | None = None) -> None:
        """Store a file as an artifact."""
        self.client.log_artifact(self.run_id, str(path), folder)


@contextmanager
def track(
    uri: str,
    experiment: str,
    *,
    name: str,
    parameters: Mapping[str, Any],
    tags: Mapping[str, str],
    artifacts: str | None = None,
    resume: str | None = None,
) -> Iterator[Run]:
    """Open a run, close it as FINISHED, or as FAILED or KILLED when the body raises or is interrupted.

    artifacts: where a new experiment keeps its artifacts. resume: the id of a run to continue; a new run starts when
    it is unknown or already finished. TrackingError: the server does not answer, or the experiment was deleted.
    """
    configure()
    from mlflow.exceptions import MlflowException

    try:
        run = _open(connect(uri), experiment, name, tags, artifacts, resume)
        _parameters(run, parameters)
    except (MlflowException, OSError, AddressError) as error:
        raise TrackingError(
            f"MLflow at {public(uri)} cannot record the run: {first_line(error, uri)}; check "
            "MLFLOW_TRACKING_URI or unset it"
        ) from error
    status = "FAILED"
    try:
        yield run
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    except MlflowException as error:
        raise TrackingError(
            f"MLflow at {public(uri)} failed during the run: {first_line(error, uri)}; what was computed is kept, "
            "rerun to resume"
        ) from error
    finally:
        with suppress(MlflowException):  # the run stays open, and the next call continues it
            run.client.set_terminated(run.run_id, status)


def _open(
    client: Any, experiment: str, name: str, tags: Mapping[str, str], artifacts: str | None, resume: str | None
) -> Run:
    from mlflow.exceptions import MlflowException

    if resume is not None:
        try:
            info = client.get_run(resume).info
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            info = None
        if info is not None and info.status != "FINISHED" and info.lifecycle_stage == "active":
            client.update_run(resume, status="RUNNING")
            return Run(client, resume)
    created = client.create_run(_experiment(client, experiment, artifacts), run_name=name, tags=dict(tags))
    return Run(client, created.info.run_id)


def _experiment(client: Any, name: str, artifacts: str | None) -> str:
    known = client.get_experiment_by_name(name)
    if known is None:
        return str(client.create_experiment(name, artifact_location=artifacts))
    if known.lifecycle_stage != "active":
        raise TrackingError(
            f"the MLflow experiment {name!r} was deleted; restore it or choose another [registry] experiment"
        )
    return str(known.experiment_id)


def _parameters(run: Run, parameters: Mapping[str, Any]) -> None:
    from mlflow.entities import Param

    run.client.log_batch(run.run_id, params=[Param(name, str(value)) for name, value in parameters.items()])
