"""A ranker that follows generations: its versions in rotation, and what their arms count."""

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
from spotify_buddies.serve_app.versions.parity import check_parity
from spotify_buddies.serve_app.versions.rotation import Answering, Assignment, Rotation
from spotify_buddies.serve_app.versions.shadow import Shadow
from spotify_buddies.serve_app.versions.table import Loaded, Table
from spotify_buddies.trainer.bundle import open_bundle

# Without a canary or a shadow nobody decides on the counts, and the playlists shown are a large part of a row.
IDLE_EVERY_S = 10.0


@dataclass(frozen=True)
class Loader:
    """Opens, checks and warms up a version.

    fetch: its directory, hashes checked, for as long as it is loaded. make: answers of an engine.
    """

    fetch: Callable[[str], AbstractContextManager[Path]]
    make: Callable[[Engine], Answers]
    neighbours: Callable[[Engine], Neighbours]

    def __call__(self, version: str) -> Loaded[Answers]:
        """As Table.load_with wants it. Blocks. BundleError: the bundle is refused, or does not answer as written."""
        with self.fetch(version) as directory:
            engine = Engine(open_bundle(directory, check_hashes=False), version)
            note = check_parity(engine)
            answers = self.make(engine)
            answers.use_neighbours(self.neighbours(engine))
            answers.warm_up()
            return Loaded(answers, engine.bundle.sha256, note)


class Ranker:
    """Puts what is active into rotation. Serving, for a Follower."""

    def __init__(self, rotation: Rotation, table: Table[Answers], telemetry: Telemetry) -> None:
        self._rotation, self._table, self._telemetry = rotation, table, telemetry
        self._counts: list[tuple[int, ArmCounter]] = []
        self._before: list[tuple[int, ArmCounter]] = []
        self._written: dict[ArmCounter, ArmCounts] = {}
        self._due = 0.0

    def follow(self, generation: Generation) -> bool:
        """As Serving.follow. Without its canary, which is to be loaded yet, production answers everybody."""
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
        """As Serving.counted."""
        now = self._rotation.current
        if not whole and now.canary is None and now.shadow is None and time.monotonic() < self._due:
            return []
        self._due = time.monotonic() + IDLE_EVERY_S
        found = []
        # The generation before too: calls that it began have ended since.
        for number, counts in (*self._before, *self._counts):
            row, before = counts.row(whole=whole), self._written.get(counts)
            if row != before:
                found.append((number, row))
                lists, errors = (row.listeners, row.errors) if before is None else _since(row, before)
                self._telemetry.count_arm(row.arm, row.version, lists, errors)
                self._written[counts] = replace(row, shown=None)
        return found

    def close(self) -> None:
        """Let the shadow's thread end."""
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
            self._before, self._counts = self._counts, []
            self._written = {counts: self._written[counts] for _, counts in self._before if counts in self._written}
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
            main, side, wanted.share if side is not None else 0.0, wanted.salt, beside, number, now.since
        )
        self._due = 0.0
        self._telemetry.set_generation(number)
        if now.shadow is not None:
            now.shadow.close()

    def _side(self, number: int, arm: str, answers: Answers, kept: Answering | None) -> Answering:
        """An arm with its counts; those of before where it goes on in the same generation."""
        if kept is not None and kept.answers is answers and kept.counts is not None:
            return kept
        return Answering(answers, self._count(number, arm, answers))

    def _count(self, number: int, arm: str, answers: Answers) -> ArmCounter:
        counts = ArmCounter(arm, answers.version, answers.engine.bundle.manifest.playlists)
        self._counts = [(other, old) for other, old in self._counts if old.arm != arm]
        self._counts.append((number, counts))
        return counts


def _since(row: ArmCounts, before: ArmCounts) -> tuple[int, int]:
    return row.listeners - before.listeners, row.errors - before.errors


def _same(
    now: Assignment, generation: Generation, production: Answers, canary: Answers | None, shadow: Answers | None
) -> bool:
    """Whether that is what is assigned: a generation never changes, but its versions are loaded one after another."""
    answering = None if now.canary is None else now.canary.answers
    beside = None if now.shadow is None else now.shadow.answers
    return (
        now.generation == generation.number
        and now.production.answers is production
        and answering is canary
        and beside is shadow
    )
