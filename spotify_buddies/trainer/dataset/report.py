"""report.html: the statistics and plots of every finished part in one file that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages import stage
from spotify_buddies.pairing.result import CANDIDATES, load_pairing
from spotify_buddies.trainer.dataset.table import (
    BUILD,
    FOLLOWS,
    LIKED,
    MATRIX,
    OWN,
    RAW,
    SCORE,
    SONGS,
    SPLIT,
    STAGES,
    TRIPLETS,
    VALIDATION,
)
from spotify_buddies.trainer.dataset.verdict import Verdict, judge
from spotify_buddies.trainer.reports.page import Section, render

Array = npt.NDArray[Any]
Plots = Callable[[Path], tuple[str, ...]]

REPORT = "report.html"

_PARTS = {
    RAW: ("Raw data", "What was read, and what was left out of it."),
    SONGS: (
        "Songs",
        "One song id space for listens and playlists, by normalised title and artist. Both kinds of matching are "
        "measured; the one in use is named.",
    ),
    MATRIX: ("Libraries and playlists", "Distinct songs of each user and of each playlist."),
    SCORE: ("Scores", "Users and playlists that share at least one song. e is drawn per user from a Beta."),
    LIKED: ("Liked", "The best-scored share of a user's playlists, at least one; users with a scored playlist."),
    SPLIT: ("Split", "Warm users' likes for training, validation and test. Cold users are held out."),
    OWN: ("Ownership", "Each playlist goes to the user for whom it has the highest priority; no playlist has two."),
    TRIPLETS: ("Triplets", "User, positive and negative; negatives from a hard and an easy pool."),
    VALIDATION: ("Validation", "Each held-out positive among negatives, random and hard."),
}


def statistics(directory: Path) -> dict[str, Any]:
    """The statistics of every finished part by its name; StageError where none is finished."""
    finished = {
        name: dict(stage.load(directory, name, BUILD).statistics) for name in STAGES if (directory / name).exists()
    }
    if not finished:
        stage.load(directory, RAW, BUILD)  # raises, and says what to do
    return finished


def write_report(directory: Path) -> Path:
    """Write report.html from the finished parts of a data set, and of the pairing of it that lies beside it.

    The same files give the same bytes. StageError where no part is finished.
    """
    parts = statistics(directory)
    sections = [
        Section(*_describe(name, numbers), numbers, _PLOTS[name](directory) if name in _PLOTS else ())
        for name, numbers in parts.items()
    ]
    pairing = directory.parent / "pairing"
    with suppress(stage.StageError):  # there is none, it is not finished, or it is that of another data set
        sections.append(pairing_section(directory, pairing))
    path = directory / REPORT
    scratch = path.with_suffix(".partial")
    page = render("Data set", _summary(sections), [verdict_section(judge(parts)), *sections])
    scratch.write_text(page, encoding="utf-8")
    scratch.replace(path)
    return path


def _describe(name: str, numbers: Mapping[str, Any]) -> tuple[str, str]:
    return _PARTS[name] if numbers.get("labels") != FOLLOWS else ("Liked", "What users follow, with its weight.")


def verdict_section(verdict: Verdict) -> Section:
    """What `buddies data build` prints, at the top of the page."""
    lists = {"problems": list(verdict.problems), "left_out": list(verdict.left_out)}
    return Section("Verdict", verdict.headline().capitalize() + ".", {**verdict.facts, **lists})


def pairing_section(directory: Path, pairing: Path) -> Section:
    """Neighbours per user, how often a user is a neighbour, playlists that the neighbours bring.

    StageError: the pairing is not finished, or was made from another data set.
    """
    from spotify_buddies.pairing.selection.select import reachable
    from spotify_buddies.trainer.reports.plots import histogram

    stamps = load_pairing(pairing, directory)

    neighbours = Csr.load(pairing / CANDIDATES, "neighbours")
    popularity = neighbours.column_counts()
    playlists = reachable(neighbours, Csr.load(directory / OWN, "owned"))
    some = neighbours.counts > 0
    return Section(
        "Pairing",
        "Who is near whom, and whose playlists that brings.",
        dict(stamps[CANDIDATES].statistics),
        (
            histogram(neighbours.counts[some], "Neighbours per user", "users"),
            histogram(popularity[popularity > 0], "Popularity as neighbour", "users"),
            histogram(playlists[playlists > 0], "Playlists reachable", "users"),
        ),
    )


def _matrix_plots(directory: Path) -> tuple[str, ...]:
    from spotify_buddies.trainer.reports.plots import histogram

    users = Csr.load(directory / MATRIX, "user_songs").counts
    playlists = Csr.load(directory / MATRIX, "playlist_songs").counts
    return (
        histogram(users[users > 0], "Songs per user", "users"),
        histogram(playlists[playlists > 0], "Songs per playlist", "playlists"),
    )


def _score_plots(directory: Path) -> tuple[str, ...]:
    from spotify_buddies.trainer.reports.plots import histogram

    scored = np.load(directory / SCORE / "scored.npy")
    return (
        histogram(scored[scored > 0], "Playlists that share a song, per user", "users"),
        histogram(np.load(directory / SCORE / "beta.npy"), "e", "users"),
    )


def _liked_plots(directory: Path) -> tuple[str, ...]:
    from spotify_buddies.trainer.reports.plots import histogram

    liked = Csr.load(directory / LIKED, "liked")
    return (histogram(liked.counts[liked.counts > 0], "Liked per user", "users"),)


def _owned_plots(directory: Path) -> tuple[str, ...]:
    from spotify_buddies.trainer.reports.plots import histogram, lorenz_curve

    amounts = Csr.load(directory / OWN, "owned").counts
    amounts = amounts[amounts > 0]
    return (
        histogram(amounts, "Owned per owner", "owners"),
        lorenz_curve(amounts, "Playlists over owners"),
    )


def _triplet_plots(directory: Path) -> tuple[str, ...]:
    from spotify_buddies.trainer.dataset.negatives.samples import triplets_per_user
    from spotify_buddies.trainer.reports.plots import histogram

    negatives = int(stage.load(directory, TRIPLETS, BUILD).statistics["negatives"])
    per_user = triplets_per_user(directory / TRIPLETS, negatives)
    return (histogram(per_user[per_user > 0], "Triplets per user", "users"),)


_PLOTS: Mapping[str, Plots] = {
    MATRIX: _matrix_plots,
    SCORE: _score_plots,
    LIKED: _liked_plots,
    OWN: _owned_plots,
    TRIPLETS: _triplet_plots,
}


def _summary(sections: list[Section]) -> dict[str, int]:
    names = ("users", "songs", "shared_songs", "playlists", "pairs", "liked", "owners", "triplets", "random_positives")
    numbers: dict[str, Any] = {}
    for section in sections:
        numbers |= section.statistics
    return {name: numbers[name] for name in names if isinstance(numbers.get(name), int)}
