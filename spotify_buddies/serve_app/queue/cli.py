"""`buddies queue`: workers that answer jobs, jobs, and what became of them."""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from spotify_buddies.foundation.terminal.visible import say, visible
from spotify_buddies.foundation.text.lines import BOM
from spotify_buddies.serve_app.queue.settings import QueueSettings
from spotify_buddies.serve_app.settings.command import Settings, store_url

if TYPE_CHECKING:
    from spotify_buddies.serve_app.queue.broker import Producer
    from spotify_buddies.serve_app.queue.jobs import Jobs, Letter

SECTIONS = {"queue": QueueSettings}
POLL_S = 0.5
MOST_USERS = 1000

app = typer.Typer(help="Recommend jobs that are answered later.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="JSON for scripts.")]


class _Settings(Settings, Protocol):
    queue: QueueSettings


@app.command()
def start(
    context: typer.Context,
    alias: Annotated[str | None, typer.Option(help="Registry alias to serve; default: the setting.")] = None,
) -> None:
    """Answer jobs until Ctrl-C, SIGTERM or SIGHUP; then running jobs are finished. Any number of machines may do so.

    Example: BUDDIES_QUEUE__WORKERS=2 buddies queue start
    """
    from spotify_buddies.foundation.process.errors import LaunchError
    from spotify_buddies.foundation.process.lock import locked
    from spotify_buddies.foundation.process.signals import stop_as_interrupt
    from spotify_buddies.foundation.process.subreaper import fork_under_subreaper
    from spotify_buddies.foundation.terminal.console import explained

    settings: _Settings = context.obj
    with explained(LaunchError), locked(settings.state_dir / "queue", "queue workers already run"):
        code = fork_under_subreaper()
        if code is None:
            stop_as_interrupt()
            _work(settings, alias or settings.serve.alias)
            return
    if code < 0:
        say(f"error: the workers were ended by signal {-code}; everything they had started is stopped", err=True)
    raise typer.Exit(code if code >= 0 else 128 - code)


@app.command()
def submit(
    context: typer.Context,
    ids: Annotated[Path, typer.Option("--ids", help="File of user ids, one a line; - is standard input.")],
    name: Annotated[
        str | None, typer.Option(help="Name of the batch: submitted again, it is answered once. Default: a new one.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="Playlists per user.")] = 5,
    batch: Annotated[int, typer.Option(min=1, max=MOST_USERS, help="Users of one job.")] = MOST_USERS,
    wait: Annotated[bool, typer.Option(help="Stay until every job is answered or a dead letter.")] = False,
    as_json: AsJson = False,
) -> None:
    """Queue users to be recommended to, as jobs of up to 1,000 users.

    Example: buddies queue submit --ids users.txt --name monday --wait
    """
    from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb

    settings: _Settings = context.obj
    users = _read_ids(ids)
    name = name or uuid.uuid4().hex
    parts = [users[first : first + batch] for first in range(0, len(users), batch)]
    requests = {f"{name}.{i}": pb.RecommendRequest(user_ids=part, limit=limit) for i, part in enumerate(parts)}
    with _queue(settings) as (jobs, producer):
        queued = [job for job, request in requests.items() if producer().submit(job, _bytes(request))]
        if wait:
            _wait_for(jobs, list(requests))
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

    with _queue(context.obj) as (jobs, _):
        found = jobs.answer(job)
    if found is None:
        say(f"error: job {job!r} has no answer, or not any more; see `buddies queue status`", err=True)
        raise typer.Exit(1)
    response = pb.RecommendResponse.FromString(found)
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

    with _queue(context.obj) as (jobs, _):
        show(asdict(jobs.counts()), as_json=as_json)


@app.command()
def dead(context: typer.Context, as_json: AsJson = False) -> None:
    """List the dead letters: jobs whose attempts all failed, and jobs that no worker can answer.

    Example: buddies queue dead
    """
    with _queue(context.obj) as (jobs, _):
        letters = jobs.letters()
    if as_json:
        say(json.dumps([{"queue": one.queue, "job": one.job_id, "error": one.error} for one in letters]))
        return
    say(f"{len(letters)} dead letters")
    for one in letters:
        say(f"  {one.queue:<13}  {visible(one.job_id)}  {visible(one.error)}")


@app.command()
def retry(
    context: typer.Context,
    job: Annotated[str | None, typer.Argument(help="Job id.", metavar="[JOB]")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every dead letter of a known job.")] = False,
    drop: Annotated[bool, typer.Option(help="Forget the dead letters instead.")] = False,
) -> None:
    """Queue dead letters again, with all their attempts.

    Example: buddies queue retry monday.3
    """
    from spotify_buddies.serve_app.queue.errors import UnprocessableJob

    if (job is None) != everything:
        say("error: name a job, or say --all", err=True)
        raise typer.Exit(2)
    with _queue(context.obj) as (jobs, producer):
        chosen = [one for one in jobs.letters() if everything or one.job_id == job]
        if not chosen and job is not None:
            say(f"error: no dead letter of job {job!r}", err=True)
            raise typer.Exit(1)
        done = [one for one in chosen if drop or _again(one, producer, UnprocessableJob)]
        for letter in done:
            jobs.discard(letter, forget=drop)
    say(f"{len(done)} of {len(chosen)} dead letters " + ("forgotten" if drop else "queued again"))
    raise typer.Exit(0 if len(done) == len(chosen) else 1)


def _again(letter: Letter, producer: Callable[[], Producer], expired: type[Exception]) -> bool:
    """Queue first, and forget the letter afterwards: a job may be queued twice, and is answered once."""
    try:
        producer().retry(letter.job_id)
    except expired as error:
        say(f"{letter.job_id or letter.queue}: {error}", err=True)
        return False
    return True


def _work(settings: _Settings, alias: str) -> None:
    from spotify_buddies.foundation.process.errors import LaunchError
    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.serve_app.queue.launch import died, launch_workers
    from spotify_buddies.serve_app.settings.services import Services
    from spotify_buddies.trainer.bundle import BundleError, open_bundle
    from spotify_buddies.trainer.registry.registry import Registry, RegistryError, tracking_uri

    with explained(LaunchError, BundleError, RegistryError):
        services = Services(store_url(settings, "postgres"), store_url(settings, "redis"))
        registry = Registry(tracking_uri(settings.state_dir, settings.mlflow_tracking_uri), settings.registry.model)
        version = registry.resolve(alias)
        bundle = registry.fetch(version.number, settings.state_dir / "bundles").resolve()
        open_bundle(bundle)
        serving = _serving(settings, bundle, version.number, services)
        with launch_workers(serving, settings.queue, state_dir=settings.state_dir / "queue") as vital:
            say(f"answering jobs of queue {settings.queue.name!r} with version {version.number}; Ctrl-C stops")
            try:
                while died(vital) is None:
                    time.sleep(POLL_S)
            except (KeyboardInterrupt, SystemExit):
                say("finishing the running jobs", err=True)
                return
            raise LaunchError("Ray has died, so the workers were stopped; start them again, no job is lost")


def _serving(settings: _Settings, bundle: Path, version: str, services: Any) -> Callable[[], Any]:
    def make() -> Any:
        from spotify_buddies.serve_app.queue.worker import ServiceAnswering, WorkerSetup

        model = settings.registry.model
        return WorkerSetup(settings.serve, str(bundle), version, model, services, ServiceAnswering)

    return make


@contextmanager
def _queue(settings: _Settings) -> Iterator[tuple[Jobs, Callable[[], Producer]]]:
    """The store of the queue and what makes a producer, once; errors as sentences."""
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


def _wait_for(jobs: Jobs, names: Sequence[str]) -> None:
    """Until every job has an answer or is a dead letter."""
    from spotify_buddies.foundation.stages.progress import Reporter

    progress, left = Reporter(), list(names)
    while True:
        buried = {letter.job_id for letter in jobs.letters()}
        left = [job for job in jobs.unanswered(left) if job not in buried]
        progress("jobs", len(names) - len(left), len(names), "jobs")
        if not left:
            return
        time.sleep(POLL_S)


def _read_ids(path: Path) -> list[str]:
    """One user id a line; empty lines are left out, and so are spaces around an id. Exits with a sentence."""
    from spotify_buddies.foundation.text.ids import fault

    try:
        text = (sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()).decode()
    except (OSError, UnicodeDecodeError) as error:
        say(f"error: {path}: {error}", err=True)
        raise typer.Exit(1) from error
    # Not splitlines, which also cuts at characters that no id may hold: two ids would come of one.
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


def _bytes(message: Any) -> bytes:
    """The same bytes for the same request, so that a job can be submitted again."""
    serialized: bytes = message.SerializeToString(deterministic=True)
    return serialized
