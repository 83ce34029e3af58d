"""`buddies pair`: who is near whom, and whose playlists that brings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Protocol

import typer

from pairing.settings import PairingSettings

SECTIONS = {"pairing": PairingSettings}

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
    as_json: Annotated[bool, typer.Option("--json", help="JSON for scripts.")] = False,
) -> None:
    """Find every user's neighbours by exact cosine, select candidates, build the FAISS index.

    Example: buddies pair build
    """
    from pairing.build import build_pairing
    from pairing.console import explained, show
    from pairing.progress import Reporter
    from pairing.stage import StageError

    settings: _Settings = context.obj
    with explained(StageError):
        summary = build_pairing(
            dataset or settings.state_dir / "dataset",
            output or settings.state_dir / "pairing",
            settings.pairing,
            progress=Reporter(),
        )
        show(summary.statistics, as_json=as_json)
