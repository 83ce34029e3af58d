"""A command's session with the queue: its jobs, a producer once one is needed, and errors as sentences."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import typer

from spotify_buddies.foundation.terminal.visible import say
from spotify_buddies.foundation.text.lines import BOM
from spotify_buddies.serve_app.queue.settings import QueueSettings
from spotify_buddies.serve_app.settings.command import Settings, store_url

if TYPE_CHECKING:
    from spotify_buddies.serve_app.queue.broker import Producer
    from spotify_buddies.serve_app.queue.jobs import Jobs

POLL_S = 0.5


class CommandSettings(Settings, Protocol):
    """The settings of the command, with the section of this package."""

    queue: QueueSettings


@contextmanager
def opened_queue(settings: CommandSettings) -> Iterator[tuple[Jobs, Callable[[], Producer]]]:
    """The jobs of the queue, and what makes a producer, once; errors become sentences."""
    from redis import Redis
    from redis.exceptions import RedisError

    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.serve_app.queue.errors import QueueError
    from spotify_buddies.serve_app.queue.jobs import Jobs

    made: list[Producer] = []
    url = store_url(settings, "redis")

    def producer() -> Producer:
        from spotify_buddies.serve_app.queue.broker import Producer

        if not made:
            made.append(opened.enter_context(Producer(settings.queue, url, jobs)).ready())
        return made[0]

    with explained(RedisError, QueueError), Redis.from_url(url) as redis, ExitStack() as opened:
        jobs = Jobs(redis, settings.queue)
        yield jobs, producer


def wait_for(jobs: Jobs, names: Sequence[str]) -> None:
    """Return when every job has an answer or is a dead letter."""
    from spotify_buddies.foundation.stages.progress import Reporter

    progress, left = Reporter(), list(names)
    while True:
        buried = {letter.job_id for letter in jobs.letters()}
        left = [job for job in jobs.unanswered(left) if job not in buried]
        progress("jobs", len(names) - len(left), len(names), "jobs")
        if not left:
            return
        time.sleep(POLL_S)


def read_user_ids(path: Path) -> list[str]:
    """One user id a line, without empty lines and spaces around an id. Exits with a sentence on a bad file."""
    from spotify_buddies.foundation.text.ids import fault

    try:
        text = (sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()).decode()
    except (OSError, UnicodeDecodeError) as error:
        say(f"error: {path}: {error}", err=True)
        raise typer.Exit(1) from error
    # Not splitlines, which also splits at characters that are not allowed in ids: one bad id would become two.
    lines = ((number, line.strip(" \t\r")) for number, line in enumerate(text.removeprefix(BOM).split("\n"), 1))
    users = {number: line for number, line in lines if line}
    if not users:
        say(f"error: {path}: no user ids; one a line is expected", err=True)
        raise typer.Exit(1)
    for number, user in users.items():
        if problem := fault(user):
            say(f"error: {path}: line {number:,}: the user id {problem}; nothing is queued", err=True)
            raise typer.Exit(1)
    return list(users.values())
