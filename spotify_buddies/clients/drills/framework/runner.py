"""Running drills: those that need the same service one after the other on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from spotify_buddies.clients.command.endpoints import running
from spotify_buddies.clients.drills.framework.drill import Drill, Options, Say, Stage
from spotify_buddies.clients.drills.framework.result import DrillResult
from spotify_buddies.clients.drills.framework.service import CannotRun, ServiceUnderTest, Setting, attached, serving
from spotify_buddies.clients.drills.framework.traffic import Users

NOT_ATTACHED = "it starts a service of its own; run it without --attach"


@dataclass(frozen=True)
class Ground:
    """The place of the drills. attach: to the service that runs there. users: gives as many as a drill needs."""

    state_dir: Path
    options: Options
    users: Callable[[int], Users]
    say: Say
    attach: bool = False

    def service(self, setting: Setting) -> AbstractContextManager[ServiceUnderTest]:
        """A service of this setting until the block ends, or the running one.

        DrillError: there is none, or it does not start. CannotRun: not on this machine.
        """
        return attached(self.state_dir) if self.attach else _started(self.state_dir, setting)


def run(drills: Sequence[Drill], ground: Ground) -> Iterator[DrillResult]:
    """Run drills, those of one setting together; yields each result as it is known.

    DrillError, CommandFailed, BuddiesError: one could not be brought to its end.
    """
    users = {count: ground.users(count) for count in {drill.users for drill in drills}}
    # A start takes long, so drills that can share a service do.
    by_setting: dict[Setting, list[Drill]] = {}
    for drill in drills:
        by_setting.setdefault(drill.setting, []).append(drill)
    for setting, together in by_setting.items():
        if ground.attach and not setting.attachable:
            yield from (drill.skipped(NOT_ATTACHED) for drill in together)
            continue
        yield from _run_together(together, setting, ground, users)


def _run_together(
    drills: Sequence[Drill], setting: Setting, ground: Ground, users: dict[int, Users]
) -> Iterator[DrillResult]:
    with ExitStack() as stack:
        service: ServiceUnderTest | None = None
        for drill in drills:
            # A drill can end the service that it breaks; the next one needs another.
            if service is None or running(ground.state_dir) is None:
                stack.close()
                ground.say("attaching to the service" if ground.attach else "starting the service")
                try:
                    service = stack.enter_context(ground.service(setting))
                except CannotRun as reason:
                    yield drill.skipped(str(reason))
                    continue
            ground.say(f"{drill.name}: {drill.about}")
            yield drill.play(Stage(service, users[drill.users], ground.options, ground.say))


@contextmanager
def _started(state_dir: Path, setting: Setting) -> Iterator[ServiceUnderTest]:
    with (
        setting.prepared(state_dir) as launch,
        serving(state_dir, prefix=launch.prefix, environment=launch.environment) as service,
    ):
        yield service
