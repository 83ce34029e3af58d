"""`buddies queue`: workers, recommendation jobs, answers and dead letters."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spotify_buddies.foundation.terminal.console import AsJson
from spotify_buddies.foundation.terminal.visible import say, visible
from spotify_buddies.serve_app.queue.session import CommandSettings, opened_queue, read_user_ids, wait_for
from spotify_buddies.serve_app.queue.settings import QueueSettings

if TYPE_CHECKING:
    from spotify_buddies.serve_app.queue.broker import Producer
    from spotify_buddies.serve_app.queue.jobs import Letter

SECTIONS = {"queue": QueueSettings}
MOST_USERS = 1000

app = typer.Typer(help="Recommendation jobs that workers answer later.", no_args_is_help=True)


@app.command()
def start(
    context: typer.Context,
    alias: Annotated[str | None, typer.Option(help="Registry alias to serve; default: serve.alias.")] = None,
) -> None:
    """Answer jobs until Ctrl-C, SIGTERM or SIGHUP; then finish running jobs. Any number of machines can do so.

    Example: BUDDIES_QUEUE__WORKERS=2 buddies queue start
    """
    from spotify_buddies.foundation.process.errors import LaunchError
    from spotify_buddies.foundation.process.lock import locked
    from spotify_buddies.foundation.process.signals import stop_as_interrupt
    from spotify_buddies.foundation.process.subreaper import fork_under_subreaper
    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.serve_app.queue.start import answer_jobs

    settings: CommandSettings = context.obj
    with explained(LaunchError), locked(settings.state_dir / "queue", "queue workers already run"):
        code = fork_under_subreaper()
        if code is None:
            stop_as_interrupt()
            answer_jobs(settings, alias or settings.serve.alias)
            return
    if code < 0:
        say(f"error: the workers were ended by signal {-code}; everything they had started is stopped", err=True)
    raise typer.Exit(code if code >= 0 else 128 - code)


@app.command()
def submit(
    context: typer.Context,
    ids: Annotated[Path, typer.Option("--ids", help="File of user ids, one a line; - is standard input.")],
    name: Annotated[
        str | None,
        typer.Option(
            help="Name of the batch; submit it again and each job is still answered once. Default: a new one."
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="Playlists per user.")] = 5,
    batch: Annotated[int, typer.Option(min=1, max=MOST_USERS, help="Users of one job.")] = MOST_USERS,
    wait: Annotated[bool, typer.Option(help="Wait until every job is answered or a dead letter.")] = False,
    as_json: AsJson = False,
) -> None:
    """Queue recommendation jobs, each for up to 1,000 users.

    Example: buddies queue submit --ids users.txt --name monday --wait
    """
    from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb

    settings: CommandSettings = context.obj
    users = read_user_ids(ids)
    name = name or uuid.uuid4().hex
    parts = [users[first : first + batch] for first in range(0, len(users), batch)]
    requests = {f"{name}.{i}": pb.RecommendRequest(user_ids=part, limit=limit) for i, part in enumerate(parts)}
    with opened_queue(settings) as (jobs, producer):
        queued = [job for job, request in requests.items() if producer().submit(job, _bytes(request))]
        if wait:
            wait_for(jobs, list(requests))
    if as_json:
        say(json.dumps({"name": name, "users": len(users), "jobs": list(requests), "queued": len(queued)}))
        return
    say(f"{len(queued):,} jobs queued for {len(users):,} users; {len(requests) - len(queued):,} had an answer")
    say(f"answers: buddies queue result {name}.0" + (f" .. {name}.{len(parts) - 1}" if len(parts) > 1 else ""))


@app.command()
def result(
    context: typer.Context,
    job: Annotated[str, typer.Argument(help="Job id.", metavar="JOB")],
    as_json: AsJson = False,
) -> None:
    """Show the answer of a job.

    Example: buddies queue result monday.0 --json
    """
    from google.protobuf.json_format import MessageToDict

    from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb

    with opened_queue(context.obj) as (jobs, _):
        answer = jobs.answer(job)
    if answer is None:
        say(f"error: job {job!r} has no answer, or it has expired; see `buddies queue status`", err=True)
        raise typer.Exit(1)
    response = pb.RecommendResponse.FromString(answer)
    if as_json:
        say(json.dumps(MessageToDict(response, preserving_proto_field_name=True)))
        return
    for item in response.recommendations:
        say("  ".join(map(visible, (item.user_id, *(playlist.playlist_id for playlist in item.playlists)))))


@app.command()
def status(context: typer.Context, as_json: AsJson = False) -> None:
    """Count the jobs: waiting, taken by a worker, answered, dead letters.

    Example: buddies queue status --json
    """
    from spotify_buddies.foundation.terminal.console import show

    with opened_queue(context.obj) as (jobs, _):
        show(asdict(jobs.counts()), as_json=as_json)


@app.command()
def dead(context: typer.Context, as_json: AsJson = False) -> None:
    """List the dead letters: jobs whose attempts all failed, and jobs that no worker can answer.

    Example: buddies queue dead
    """
    from spotify_buddies.foundation.terminal.tables import table

    with opened_queue(context.obj) as (jobs, _):
        letters = jobs.letters()
    if as_json:
        say(json.dumps([{"queue": one.queue, "job": one.job_id, "error": one.error} for one in letters]))
        return
    say(f"{len(letters)} dead letters")
    if letters:
        say(table(("queue", "job", "error"), [(one.queue, one.job_id, one.error) for one in letters]))


@app.command()
def retry(
    context: typer.Context,
    job: Annotated[str | None, typer.Argument(help="Job id.", metavar="[JOB]")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every dead letter of a known job.")] = False,
    drop: Annotated[bool, typer.Option(help="Forget the dead letters instead.")] = False,
    as_json: AsJson = False,
) -> None:
    """Queue dead letters again, with all their attempts.

    Example: buddies queue retry monday.3
    """
    if (job is None) != everything:
        say("error: name a job, or say --all", err=True)
        raise typer.Exit(2)
    with opened_queue(context.obj) as (jobs, producer):
        chosen = [one for one in jobs.letters() if everything or one.job_id == job]
        if not chosen and job is not None:
            say(f"error: no dead letter of job {job!r}", err=True)
            raise typer.Exit(1)
        errors = {} if drop else {letter: error for letter in chosen if (error := _queue_again(letter, producer))}
        done = [letter for letter in chosen if letter not in errors]
        for letter in done:
            jobs.discard(letter, forget=drop)
    names = [letter.job_id for letter in done]
    failed = [{"queue": one.queue, "job": one.job_id, "error": error} for one, error in errors.items()]
    if as_json:
        say(json.dumps({"queued": [] if drop else names, "forgotten": names if drop else [], "failed": failed}))
    else:
        for one in failed:
            say(f"{one['job'] or one['queue']}: {one['error']}", err=True)
        say(f"{len(done)} of {len(chosen)} dead letters " + ("forgotten" if drop else "queued again"))
    raise typer.Exit(1 if failed else 0)


def _queue_again(letter: Letter, producer: Callable[[], Producer]) -> str | None:
    """Why the job cannot be queued again; None: it is. The letter stays: a job may be queued twice, not lost."""
    from spotify_buddies.serve_app.queue.errors import UnprocessableJob

    try:
        producer().retry(letter.job_id)
    except UnprocessableJob as error:
        return str(error)
    return None


def _bytes(message: Any) -> bytes:
    """The same bytes for the same request, so that a job can be submitted again."""
    serialized: bytes = message.SerializeToString(deterministic=True)
    return serialized
