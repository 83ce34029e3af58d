"""Help texts shown as they are written: typer would read `[client]` as markup of rich and leave it out."""

from __future__ import annotations

from typing import Any

from rich.markup import escape
from typer.core import TyperGroup


class PlainHelp(TyperGroup):
    """The root of a command whose texts, and those of everything below it, hold no markup."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        if self.rich_markup_mode == "rich":
            _escape(self)


def _escape(command: Any) -> None:
    for owner in (command, *command.params):
        for name in ("help", "short_help", "epilog"):
            if text := getattr(owner, name, None):
                setattr(owner, name, escape(text))
    for below in getattr(command, "commands", {}).values():
        _escape(below)
