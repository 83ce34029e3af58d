"""`buddies online`: what was shown, and what listeners did with it."""

from __future__ import annotations

import typer

app = typer.Typer(help="What was shown and what listeners did with it.", no_args_is_help=True)
