"""Options of a world of weeks, and what they make."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spotify_buddies.foundation.terminal.durations import moment

if TYPE_CHECKING:
    from spotify_buddies.clients.simulate.weeks.command import Span
    from spotify_buddies.clients.simulate.weeks.days import Calendar
    from spotify_buddies.clients.simulate.weeks.living import LivingPlan
    from spotify_buddies.clients.simulate.weeks.progress import Progress
    from spotify_buddies.clients.simulate.weeks.world import World

_PANEL = "World of weeks"


class WorldKind(Enum):
    """The world in which visits happen."""

    SAME = "same"
    WEEKS = "weeks"


@dataclass(frozen=True)
class WorldOptions:
    """Options of a world that changes."""

    weeks: Annotated[int, typer.Option(min=1, max=52, help="Weeks of the world.", rich_help_panel=_PANEL)] = 6
    listeners: Annotated[
        int, typer.Option(min=1, help="Most users of the data set that take part.", rich_help_panel=_PANEL)
    ] = 2_000
    drift: Annotated[
        float, typer.Option(min=0, max=1, help="Share of a listener's likes that change in a week.",
                            rich_help_panel=_PANEL)
    ] = 0.3  # fmt: skip
    newcomers: Annotated[
        float, typer.Option(min=0, max=1, help="New listeners of a week, as a share of the first ones.",
                            rich_help_panel=_PANEL)
    ] = 0.05  # fmt: skip
    leaving: Annotated[
        float, typer.Option(min=0, max=0.99, help="Share of the listeners who leave in a week.", rich_help_panel=_PANEL)
    ] = 0.03
    new_playlists: Annotated[
        float, typer.Option(min=0, max=0.9, help="Share of the playlists that come after the first week.",
                            rich_help_panel=_PANEL)
    ] = 0.1  # fmt: skip
    bots: Annotated[int, typer.Option(min=0, max=1_000, help="Bots, who like everything.", rich_help_panel=_PANEL)] = 3


@dataclass(frozen=True)
class DayOptions:
    """Options of the days that are simulated now."""

    visits_per_day: Annotated[
        float, typer.Option(min=0, help="Expected visits of a day that is no weekend.", rich_help_panel=_PANEL)
    ] = 500.0
    unseen_days: Annotated[
        int,
        typer.Option(min=0, max=365, help="What a listener was shown in so many days does not come back; 0: it may.",
                     rich_help_panel=_PANEL),
    ] = 0  # fmt: skip
    start: Annotated[
        str | None,
        typer.Option(help="First day, as 2026-10-12; default: a Monday, the weeks end with the last whole one.",
                     rich_help_panel=_PANEL),
    ] = None  # fmt: skip
    state: Annotated[
        Path | None,
        typer.Option(help="File of the days that are over: a run that was ended goes on after them.",
                     rich_help_panel=_PANEL),
    ] = None  # fmt: skip
    from_day: Annotated[
        int | None, typer.Option(min=0, help="First day to simulate, from 0.", rich_help_panel=_PANEL)
    ] = None
    until_day: Annotated[
        int | None, typer.Option(min=0, help="The day before which to stop; default: all.", rich_help_panel=_PANEL)
    ] = None


def open_world(dataset: Path, options: WorldOptions, seed: int) -> World:
    """The world of a seed over a data set. AudienceError."""
    from spotify_buddies.clients.simulate.weeks.people import PeopleSettings
    from spotify_buddies.clients.simulate.weeks.source import open_source
    from spotify_buddies.clients.simulate.weeks.world import World, WorldSettings

    people = PeopleSettings(options.listeners, options.newcomers, options.leaving, options.bots)
    settings = WorldSettings(
        weeks=options.weeks, drift=options.drift, new_playlists=options.new_playlists, people=people
    )
    return World(open_source(dataset), settings, seed)


def open_days(world: World, plan: LivingPlan, options: DayOptions) -> tuple[Calendar, Progress, Span]:
    """When the days are, which are over, and which come now. ProgressError, typer.BadParameter."""
    from spotify_buddies.clients.simulate.weeks.command import Span, default_start, settings_of
    from spotify_buddies.clients.simulate.weeks.days import DAYS, Calendar
    from spotify_buddies.clients.simulate.weeks.progress import Progress, held_start

    given = options.start or held_start(options.state)
    start = default_start(datetime.now(UTC), world.settings.weeks) if given is None else _start(given)
    calendar = Calendar(start, options.visits_per_day)
    progress = Progress(options.state, settings_of(world, calendar, plan))
    if options.from_day is not None and options.state is not None:
        progress.keep(options.from_day)
    first = len(progress.days) if options.from_day is None else options.from_day
    every = world.settings.weeks * DAYS
    last = every if options.until_day is None else options.until_day
    if max(first, last) > every:
        raise typer.BadParameter(f"the world has {every} days, 0 to {every - 1}", param_hint="--from-day, --until-day")
    return calendar, progress, Span(first, last)


def _start(text: str) -> datetime:
    try:
        return moment(text)
    except ValueError:
        raise typer.BadParameter(f"{text} is no date, such as 2026-10-12", param_hint="--start") from None
