"""Behaviour shared by all commands: an error becomes one sentence, statistics become lines or JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from spotify_buddies.foundation.addresses import scrubbed
from spotify_buddies.foundation.process.disk import is_full, no_room
from spotify_buddies.foundation.process.private import NotPrivate
from spotify_buddies.foundation.terminal.visible import say, visible

# The option of every command that has something for scripts.
AsJson = Annotated[bool, typer.Option("--json", help="JSON for scripts.")]


def an_id(value: str) -> str:
    """The argument of a command itself, for typer's `callback`. typer.BadParameter: it is no id."""
    from spotify_buddies.foundation.text.ids import fault

    if problem := fault(value):
        raise typer.BadParameter(f"{value!r} {problem}")
    return value


@contextmanager
def explained(*expected: type[Exception]) -> Iterator[None]:
    """Print an expected error as a sentence and exit with 1; Ctrl-C exits with 130 and says that a rerun resumes.

    expected: what the block may raise beside NotPrivate and OSError. Blocks nest: the inner one prints.
    """
    caught: tuple[type[Exception], ...] = (NotPrivate, *expected)
    try:
        yield
    except caught as error:
        say(f"error: {_message(error)}", err=True)
        raise typer.Exit(1) from error
    except OSError as error:
        if is_full(error):
            where = no_room(Path(os.fsdecode(error.filename)).parent) if error.filename else str(error)
            say(f"error: {where}; free space there and rerun the command", err=True)
            raise typer.Exit(1) from error
        say(f"error: {_message(error)}", err=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt as error:
        say("interrupted; rerun the same command to resume", err=True)
        raise typer.Exit(130) from error


def _message(error: Exception) -> str:
    """An error in words, without the secrets of addresses, and without saying anything twice."""
    if isinstance(error, OSError) and error.strerror:
        # str() repeats the number, and some libraries put the file's name into the words as well.
        place = "" if error.filename is None or str(error.filename) in error.strerror else f"{error.filename}: "
        return scrubbed(f"{place}{error.strerror}")
    # psycopg's own words before those of libpq, which say that the connection failed.
    return scrubbed(str(error).removeprefix("connection failed: ")) or type(error).__name__


def show(value: Any, *, as_json: bool) -> None:
    """Print statistics: indented lines for people, JSON for scripts."""
    say(json.dumps(value, indent=1, default=str) if as_json else "\n".join(_lines(value, 0)))


def _lines(value: Any, depth: int) -> Iterator[str]:
    for key, item in value.items():
        if isinstance(item, dict):
            yield f"{'  ' * depth}{key}"
            yield from _lines(item, depth + 1)
        else:
            yield f"{'  ' * depth}{key}: {_number(item)}"


def _number(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return visible(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
