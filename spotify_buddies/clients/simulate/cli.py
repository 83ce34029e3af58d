"""`buddies simulate`: visits of simulated users."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spotify_buddies.clients.command.access import NoService, Target, client_options, target
from spotify_buddies.clients.command.calls import Address, Ca
from spotify_buddies.clients.command.option_groups import grouped
from spotify_buddies.clients.python import AsyncClient, BuddiesError, Client
from spotify_buddies.clients.simulate.weeks.options import DayOptions, WorldKind, WorldOptions
from spotify_buddies.foundation.terminal.console import AsJson
from spotify_buddies.foundation.terminal.durations import seconds
from spotify_buddies.foundation.terminal.visible import say

if TYPE_CHECKING:
    from spotify_buddies.clients.simulate.audience import Audience
    from spotify_buddies.clients.simulate.tally import VisitTally
    from spotify_buddies.clients.simulate.visits import VisitPlan

INTERRUPTED = 130
TICK_S = 5.0

app = typer.Typer(help="Simulated users, whose likes tell a good model from a bad one.", no_args_is_help=True)


@dataclass(frozen=True)
class VisitOptions:
    """Options of the visits: their times and number, and the lists that are asked for."""

    over: Annotated[str, typer.Option(help="Window of the visits, as 10m; 0: all at once.")] = "1m"
    visits: Annotated[float, typer.Option(min=0, help="Expected visits in a window.")] = 1_000.0
    every: Annotated[str | None, typer.Option(help="Repeat: start a window at this interval, as 10m.")] = None
    seed: Annotated[int, typer.Option(min=0, help="Seed of the users, times and moods that are drawn.")] = 1
    limit: Annotated[int, typer.Option(min=1, max=100, help="Playlists in a list.")] = 5
    include_known: Annotated[
        bool, typer.Option("--include-known", help="Also ask for what the user liked before, which is not new.")
    ] = False
    callers: Annotated[int, typer.Option(min=1, max=10_000, help="Most visits at a time.")] = 64


@dataclass(frozen=True)
class TasteOptions:
    """Options of the reactions to a list."""

    p_true: Annotated[
        float, typer.Option(min=0, max=1, help="Probability of liking a playlist of the user's taste, once looked at.")
    ] = 0.8
    p_noise: Annotated[float, typer.Option(min=0, max=1, help="Probability of liking any other.")] = 0.02
    falling: Annotated[
        float, typer.Option(min=0, max=5, help="A playlist of rank r is looked at with probability r ** -falling.")
    ] = 0.5


@app.command()
@grouped
def run(
    context: typer.Context,
    options: VisitOptions,
    taste: TasteOptions,
    changing: WorldOptions,
    days: DayOptions,
    world: Annotated[
        WorldKind, typer.Option(help="same: visits now, by test likes; weeks: days of a world that changes.")
    ] = WorldKind.SAME,
    dataset: Annotated[Path | None, typer.Option(help="Data set of the users; default: <state>/dataset.")] = None,
    address: Address = None,
    ca: Ca = None,
    as_json: AsJson = False,
) -> None:
    """Let users of the data set visit the service, look down their lists and react to what is to their taste.

    Visits are a Poisson process. What a user truly likes are the test likes, which training has not seen. The end is a
    table of calls, playlists shown, likes and like rate by version and arm; with --every, one after each window.
    With --world weeks, tastes drift and people come and go: visits carry the time at which they happen, which the
    service accepts where serve.event_times is on.

    Examples: buddies simulate run --over 10m --visits 6000  |  buddies simulate run --over 10m --every 10m --json  |
    buddies simulate run --world weeks --state weeks.json --json
    """
    from spotify_buddies.clients.simulate.audience import AudienceError, open_audience

    if world is WorldKind.WEEKS:
        if options.every is not None:
            raise typer.BadParameter("a world of weeks is lived once; leave it out", param_hint="--every")
        raise typer.Exit(_live(context.obj, options, taste, changing, days, dataset, address, ca, as_json=as_json))
    plan, every_s = _plan(options, taste)
    try:
        audience = open_audience(dataset or context.obj.state_dir / "dataset")
        service = target(context.obj, address)
    except (AudienceError, NoService) as error:
        raise _failed(str(error)) from error
    code = _Runner(service, client_options(context.obj, service, ca), as_json=as_json).run(audience, plan, every_s)
    if code:
        raise typer.Exit(code)


@app.command()
@grouped
def world(
    context: typer.Context,
    changing: WorldOptions,
    taste: TasteOptions,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the world.")] = 1,
    limit: Annotated[int, typer.Option(min=1, max=100, help="Playlists in a list.")] = 5,
    dataset: Annotated[Path | None, typer.Option(help="Data set of the users; default: <state>/dataset.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what the truth of a world of weeks is worth, without a service.

    For each week: who is there, what changed, and the expected like rates of lists that know everything (oracle), that
    know the week before (follows), that know the first week alone (stale), and of one list for all (popular).
    """
    from spotify_buddies.clients.simulate.audience import AudienceError
    from spotify_buddies.clients.simulate.clicks import Clicks
    from spotify_buddies.clients.simulate.weeks.command import week_lines
    from spotify_buddies.clients.simulate.weeks.options import open_world
    from spotify_buddies.clients.simulate.weeks.truth import truth_of

    clicks = Clicks(taste.p_true, taste.p_noise, taste.falling)
    try:
        made = open_world(dataset or context.obj.state_dir / "dataset", changing, seed)
    except AudienceError as error:
        raise _failed(str(error)) from error
    for week in range(changing.weeks):
        body = {
            "week": week,
            "truth": truth_of(made, week, clicks, limit).to_json(),
            "new_playlist_ids": made.arrivals(week),
        }
        say(json.dumps(body) if as_json else week_lines(body))


def _live(
    settings: Any, options: VisitOptions, taste: TasteOptions, changing: WorldOptions, days: DayOptions,
    dataset: Path | None, address: str | None, ca: Path | None, *, as_json: bool,
) -> int:  # fmt: skip
    """Days of a world of weeks against the service; the exit code."""
    from spotify_buddies.clients.simulate.audience import AudienceError
    from spotify_buddies.clients.simulate.clicks import Clicks
    from spotify_buddies.clients.simulate.weeks.command import WeeksRunner
    from spotify_buddies.clients.simulate.weeks.living import LivingPlan, WrongTime
    from spotify_buddies.clients.simulate.weeks.options import open_days, open_world
    from spotify_buddies.clients.simulate.weeks.progress import ProgressError

    clicks = Clicks(taste.p_true, taste.p_noise, taste.falling)
    plan = LivingPlan(options.limit, options.callers, not options.include_known, days.unseen_days, clicks)
    try:
        made = open_world(dataset or settings.state_dir / "dataset", changing, options.seed)
        calendar, progress, span = open_days(made, plan, days)
        service = target(settings, address)
        runner = WeeksRunner(service, client_options(settings, service, ca), made, calendar, plan)
        return 0 if runner.run(progress, span, as_json=as_json) else INTERRUPTED
    except WrongTime as error:
        raise _failed(
            f"{error}; start the service with serve.event_times on (BUDDIES_SERVE__EVENT_TIMES=true)"
        ) from error
    except (AudienceError, NoService, ProgressError, OSError) as error:
        raise _failed(str(error)) from error


def _plan(options: VisitOptions, taste: TasteOptions) -> tuple[VisitPlan, float | None]:
    """The plan of the first window, and the seconds between two; None: there is one. typer.BadParameter."""
    from spotify_buddies.clients.simulate.clicks import Clicks
    from spotify_buddies.clients.simulate.visits import VisitPlan

    over_s = _seconds(options.over, "--over")
    every_s = None if options.every is None else _seconds(options.every, "--every")
    if every_s is not None and (every_s <= 0 or every_s < over_s):
        raise typer.BadParameter(f"{options.every} is shorter than the window of {options.over}", param_hint="--every")
    clicks = Clicks(taste.p_true, taste.p_noise, taste.falling)
    plan = VisitPlan(
        options.visits, over_s, options.limit, options.callers, not options.include_known, options.seed, clicks=clicks
    )
    return plan, every_s


class _Runner:
    """One service, visited in one window after the other."""

    def __init__(self, service: Target, options: dict[str, Any], *, as_json: bool) -> None:
        self._address, self._options, self._as_json = service.address, options, as_json

    def run(self, audience: Audience, plan: VisitPlan, every_s: float | None) -> int:
        """The exit code: 1 where nothing was answered, 130 where a single window was interrupted."""
        if every_s is None:
            self._ask_status()
        try:
            while True:
                started = time.monotonic()
                tally, whole = self._window(audience, plan)
                self._print(tally, plan, audience)
                if every_s is None:
                    return INTERRUPTED if not whole else 0 if tally.arms or not tally.visits else 1
                if not whole:
                    return 0  # the ordinary end of a run that repeats
                plan = replace(plan, window=plan.window + 1)
                time.sleep(max(0.0, started + every_s - time.monotonic()))
        except KeyboardInterrupt:
            return 0

    def _ask_status(self) -> None:
        try:
            with Client(self._address, **self._options) as client:
                client.model_status()
        except BuddiesError as error:
            raise _failed(
                f"no service answers at {self._address}: {error}; start it with `buddies serve start`, or name another "
                "with --address"
            ) from error

    def _window(self, audience: Audience, plan: VisitPlan) -> tuple[VisitTally, bool]:
        """The counts of a window, and whether it was not interrupted."""
        from spotify_buddies.clients.simulate.interrupts import run_whole
        from spotify_buddies.clients.simulate.tally import VisitTally
        from spotify_buddies.clients.simulate.visits import simulate

        tally = VisitTally()

        async def visit() -> None:
            async with AsyncClient(self._address, **self._options) as client:
                await simulate(client, audience, plan, tally, _ticker(plan))

        return tally, run_whole(visit())

    def _print(self, tally: VisitTally, plan: VisitPlan, audience: Audience) -> None:
        body = {
            "audience": audience.size,
            "window": plan.window,
            "seed": plan.seed,
            "over_s": plan.over_s,
            **tally.to_json(),
        }
        say(json.dumps(body) if self._as_json else "\n".join(tally.lines()))
        with suppress(OSError):
            sys.stdout.flush()


def _ticker(plan: VisitPlan) -> Callable[[VisitTally], None]:
    """Progress on standard error: a rewritten line on a terminal, one every few seconds elsewhere."""
    terminal = sys.stderr.isatty()
    shown = time.monotonic()

    def tell(tally: VisitTally) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown < (0.5 if terminal else TICK_S):
            return
        shown = now
        line = f"{tally.visits:,} of about {plan.visits:,.0f} visits, {tally.errors:,} failed calls"
        print("\r\x1b[2K" + line if terminal else line, end="" if terminal else "\n", file=sys.stderr, flush=True)  # noqa: T201

    return tell


def _seconds(text: str, option: str) -> float:
    try:
        return seconds(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def _failed(message: str) -> typer.Exit:
    say(f"error: {message}", err=True)
    return typer.Exit(1)
