"""`buddies online`: what was shown, and what listeners did with it."""

from __future__ import annotations

import typer

from spotify_buddies.serve_app.online.decide import decide
from spotify_buddies.serve_app.online.evaluation.command import report, worth
from spotify_buddies.serve_app.online.replay.command import replay

app = typer.Typer(help="What was shown and what listeners did with it.", no_args_is_help=True)
app.command()(report)
app.command()(worth)
app.command()(decide)
app.command()(replay)
