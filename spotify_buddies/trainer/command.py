"""Options and settings that the commands of this package share; light to import, like every command."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from spotify_buddies.foundation.text.registry_names import alias_fault
from spotify_buddies.pairing.settings import PairingSettings
from spotify_buddies.trainer.settings import CandidateSettings, DataSettings, RegistrySettings, TrainSettings

if TYPE_CHECKING:
    from spotify_buddies.foundation.stages.blocks import Blocks

OnRay = Annotated[
    str | None,
    typer.Option(
        "--ray", metavar="auto|HOST:PORT", help="Run on a Ray cluster; `auto` joins a running one or starts one here."
    ),
]


def checked_aliases(aliases: list[str] | None) -> list[str] | None:
    """Aliases that the registry will accept, of an option that typer parsed. BadParameter names one it would not."""
    for alias in aliases or ():
        checked_alias(alias)
    return aliases


def checked_alias(alias: str) -> str:
    """The same of one alias. The registry itself would refuse only after the training."""
    if problem := alias_fault(alias):
        raise typer.BadParameter(f"alias {alias!r} {problem}")
    return alias


class Settings(Protocol):
    """What the root command hands to the commands of this package."""

    state_dir: Path
    mlflow_tracking_uri: str | None
    data: DataSettings
    train: TrainSettings
    candidates: CandidateSettings
    registry: RegistrySettings
    pairing: PairingSettings


def open_cluster(address: str) -> AbstractContextManager[Blocks]:
    """The workers of a Ray cluster, as `trainer.cluster.connect.cluster` says; for the commands of every package."""
    from spotify_buddies.trainer.cluster.connect import cluster

    return cluster(address)
