"""A ranker that follows generations: its versions in rotation, and the counts of their arms."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from spotify_buddies.serve_app.generations.counts import ArmCounts
from spotify_buddies.serve_app.generations.state import Generation
from spotify_buddies.serve_app.neighbours.client import Neighbours
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.query import Arm
from spotify_buddies.serve_app.telemetry.metrics import Telemetry
from spotify_buddies.serve_app.versions.answers import Answers
from spotify_buddies.serve_app.versions.counts import SHADOW, ArmCounter
from spotify_buddies.serve_app.versions.interleaving.draft import warm_up
from spotify_buddies.serve_app.versions.parity import check_parity
from spotify_buddies.serve_app.versions.rotation import ArmAnswers, Assignment, Rotation
from spotify_buddies.serve_app.versions.shadow import Shadow
from spotify_buddies.serve_app.versions.table import Loaded, VersionTable
from spotify_buddies.trainer.bundle import open_bundle

# Without a canary or a shadow no gate waits for the counts, and the playlists shown make a row large.
IDLE_EVERY_S = 10.0


@dataclass(frozen=True)
class Loader:
    """Opens, checks and warms up a version.

    fetch: its directory, hashes checked, until it is loaded. make: the answers of an engine. neighbours: its search.
    """

    fetch: Callable[[str], AbstractContextManager[Path]]
    make: Callable[[Engine], Answers]
    neighbours: Callable[[Engine], Neighbours]

    def __call__(self, version: str) -> Loaded[Answers]:
        """Load a version, for VersionTable.load_with; blocks. BundleError: the bundle is bad or answers differently."""
        with self.fetch(version) as directory:
            engine = Engine(open_bundle(directory, check_hashes=False), version)
            note = check_parity(engine)
            answers = self.make(engine)
            answers.use_neighbours(self.neighbours(engine))
            answers.warm_up()
            warm_up(engine)
            return Loaded(answers, engine.bundle.sha256, note)


@dataclass
class _Reported:
    """A counter of a generation's arm. row: as it was reported last, without the playlists shown."""

    generation: int
    counter: ArmCounter
    row: ArmCounts | None = None


class ReportedCounts:
    """The arms' counters of the current generation and of the one before, and what of them was reported.

    Counters are added by the event loop and reported from a thread: lists are replaced, never changed.
    """

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._current: list[_Reported] = []
        self._before: list[_Reported] = []
        self._due = 0.0

    def begin(self) -> None:
        """Begin a generation. The one before is still reported: calls that it began may end now."""
        self._before, self._current = self._current, []

    def add(self, generation: int, counter: ArmCounter) -> None:
        """Report a counter from now on, in place of the one of the same arm."""
        others = [entry for entry in self._current if entry.counter.arm != counter.arm]
        self._current = [*others, _Reported(generation, counter)]

    def hurry(self) -> None:
        """Make the next report at once, whether or not somebody waits for it."""
        self._due = 0.0

    def changed(self, *, whole: bool, idle: bool) -> list[tuple[int, ArmCounts]]:
        """Rows that differ from those reported last, with their generation; all of them with `whole`.

        idle: nobody decides on the counts, so there are rows only every IDLE_EVERY_S.
        """
        if idle and not whole and time.monotonic() < self._due:
            return []
        self._due = time.monotonic() + IDLE_EVERY_S
        rows = []
        for entry in (*self._before, *self._current):
            row, last = entry.counter.row(whole=whole), entry.row
            if row == last:
                continue
            rows.append((entry.generation, row))
            entry.row = replace(row, shown=None)
            lists, errors = (row.listeners, row.errors) if last is None else _since(row, last)
            self._telemetry.count_arm(row.arm, row.version, lists, errors)
        return rows


class Ranker:
    """Puts the active generation into rotation. A FollowingReplica."""

    def __init__(self, rotation: Rotation, table: VersionTable[Answers], telemetry: Telemetry) -> None:
        self._rotation, self._table, self._telemetry = rotation, table, telemetry
        self._counts = ReportedCounts(telemetry)

    def follow(self, generation: Generation) -> bool:
        """See FollowingReplica.follow. Until the canary is loaded, production answers everybody."""
        wanted, now = generation.wanted, self._rotation.current
        production = self._table.get(wanted.production)
        if production is None:
            return False
        canary, shadow = (None if v is None else self._table.get(v) for v in (wanted.canary, wanted.shadow))
        takes = canary if wanted.share > 0 else None
        if not _same(now, generation, production, takes, shadow):
            self._swap(now, generation, production, takes, shadow)
        return wanted.canary is None or canary is not None

    def counted(self, *, whole: bool) -> Sequence[tuple[int, ArmCounts]]:
        """See FollowingReplica.counted."""
        current = self._rotation.current
        return self._counts.changed(whole=whole, idle=current.canary is None and current.shadow is None)

    def close(self) -> None:
        """End the shadow's thread."""
        shadow = self._rotation.current.shadow
        if shadow is not None:
            shadow.close()

    def _swap(
        self,
        now: Assignment,
        generation: Generation,
        production: Answers,
        canary: Answers | None,
        shadow: Answers | None,
    ) -> None:
        number, wanted = generation.number, generation.wanted
        if number != now.generation:
            self._counts.begin()
        kept = now if number == now.generation else None
        main = self._side(number, Arm.PRODUCTION.label, production, None if kept is None else kept.production)
        side = None
        if canary is not None:
            side = self._side(number, Arm.CANARY.label, canary, None if kept is None else kept.canary)
        beside = None
        if shadow is not None:
            counts = self._count(number, SHADOW, shadow)
            beside = Shadow(production, shadow, counts)
        self._rotation.current = Assignment(
            main, side, wanted.share if side is not None else 0.0, wanted.salt, beside, number, now.since,
            wanted.interleave,
        )  # fmt: skip
        self._counts.hurry()
        self._telemetry.set_generation(number)
        if now.shadow is not None:
            now.shadow.close()

    def _side(self, number: int, arm: str, answers: Answers, kept: ArmAnswers | None) -> ArmAnswers:
        """An arm with its counts; the same ones as before where the generation and the answers are the same."""
        if kept is not None and kept.answers is answers and kept.counts is not None:
            return kept
        return ArmAnswers(answers, self._count(number, arm, answers))

    def _count(self, number: int, arm: str, answers: Answers) -> ArmCounter:
        counter = ArmCounter(arm, answers.version, answers.engine.bundle.manifest.playlists)
        self._counts.add(number, counter)
        return counter


def _since(row: ArmCounts, last: ArmCounts) -> tuple[int, int]:
    return row.listeners - last.listeners, row.errors - last.errors


def _same(
    now: Assignment, generation: Generation, production: Answers, canary: Answers | None, shadow: Answers | None
) -> bool:
    """Whether this is assigned already: a generation never changes, but its versions are loaded one after another."""
    answering = None if now.canary is None else now.canary.answers
    beside = None if now.shadow is None else now.shadow.answers
    return (
        now.generation == generation.number
        and now.production.answers is production
        and answering is canary
        and beside is shadow
    )
