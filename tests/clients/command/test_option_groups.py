"""Options in groups: a command gets its dataclasses, and a user sees one option for each field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from spotify_buddies.clients.command.option_groups import grouped


@dataclass(frozen=True)
class Pace:
    """How fast."""

    rate: Annotated[float | None, typer.Option(help="Calls a second.")] = None
    callers: Annotated[int, typer.Option(min=1, help="Callers.")] = 32


@dataclass(frozen=True)
class Unfinished:
    """A field has no default."""

    rate: Annotated[float, typer.Option()]


def run(*arguments: str) -> tuple[int, list[object]]:
    """The exit code, and what the command was called with."""
    seen: list[object] = []

    @grouped
    def load(
        context: typer.Context, name: str, pace: Pace, as_json: Annotated[bool, typer.Option("--json")] = False
    ) -> None:
        """Call."""
        seen.extend([context.info_name, name, pace, as_json])

    app = typer.Typer()
    app.command()(load)
    return CliRunner().invoke(app, list(arguments)).exit_code, seen


def test_a_group_holds_what_was_typed_and_the_defaults_of_the_rest() -> None:
    assert run("anna") == (0, ["load", "anna", Pace(), False])
    assert run("anna", "--rate", "2.5", "--json") == (0, ["load", "anna", Pace(rate=2.5), True])


def test_ranges_and_types_of_a_field_are_those_of_its_option() -> None:
    assert run("anna", "--callers", "0") == (2, [])
    assert run("anna", "--rate", "fast") == (2, [])


def test_a_field_without_a_default_is_a_defect_of_the_group() -> None:
    def load(options: Unfinished) -> None:
        """Call."""

    with pytest.raises(TypeError, match=r"Unfinished\.rate has no default"):
        grouped(load)
