"""`buddies pair`: neighbours and candidate playlists of every user."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from spotify_buddies.foundation.terminal.console import AsJson
from spotify_buddies.pairing.settings import PairingSettings

if TYPE_CHECKING:
    from spotify_buddies.foundation.stages.blocks import Blocks

SECTIONS = {"pairing": PairingSettings}

# Where the root command puts what opens a cluster (`Opener`), in the context's meta: pairing itself knows none.
CLUSTER = "buddies.cluster"
Opener = Callable[[str], "AbstractContextManager[Blocks]"]

app = typer.Typer(help="Neighbours and candidate playlists of every user.", no_args_is_help=True)


class _Settings(Protocol):
    state_dir: Path
    pairing: PairingSettings


@app.callback()
def _group() -> None:
    """Neighbours and candidate playlists of every user."""


@app.command()
def build(
    context: typer.Context,
    dataset: Annotated[Path | None, typer.Option(help="Data set directory; default: <state>/dataset.")] = None,
    output: Annotated[Path | None, typer.Option(help="Output directory; default: <state>/pairing.")] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray",
            metavar="auto|HOST:PORT",
            help="Run on a Ray cluster; `auto` joins a running one or starts one here.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find every user's neighbours by exact cosine, select candidates, build the FAISS index.

    With --ray the neighbours are searched for on a cluster whose machines have the same release installed; the files
    are the same byte for byte.

    Example: buddies pair build --ray auto
    """
    from spotify_buddies.foundation.stages.progress import Reporter
    from spotify_buddies.foundation.stages.stage import StageError
    from spotify_buddies.foundation.terminal.console import explained, show
    from spotify_buddies.pairing.build import build_pairing

    settings: _Settings = context.obj
    with explained(StageError):
        with _workers(context, ray) as blocks:
            summary = build_pairing(
                dataset or settings.state_dir / "dataset",
                output or settings.state_dir / "pairing",
                settings.pairing,
                blocks=blocks,
                progress=Reporter(),
            )
        show(summary.statistics, as_json=as_json)


def _workers(context: typer.Context, address: str | None) -> AbstractContextManager[Blocks]:
    from spotify_buddies.foundation.stages.blocks import THREADS

    if address is None:
        return nullcontext(THREADS)
    opener: Opener = context.meta[CLUSTER]
    return opener(address)
