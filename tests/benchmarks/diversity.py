"""What the rules and weights of a list change: parts of better playlists, novelty, genres, and what each costs in hits.

    python tests/benchmarks/diversity.py BUNDLE <state>/dataset
    python tests/benchmarks/diversity.py BUNDLE <state>/dataset --halves BUNDLE_OF_HALVES <state>/served
    python tests/benchmarks/diversity.py BUNDLE <state>/dataset --json

BUNDLE: the directory of a bundle, as `buddies train run` names it, and the data set that it was made from. --halves:
the bundle that `buddies train evaluate --protocol served` leaves under <state>/served/train/bundle, and that directory.
The engine is asked for lists of 5 and of 20, with the rules of a request that names none but for the one that is
varied. What lists show is of all users of the bundle; hits are of the questions of the served protocol (validation
likes, or the other half), whose people have a list of their own. Hit@5 is of lists of 5, Hit@20 of lists of 20; `+-`
is the standard error of the difference from the default (of the rules: from overlap alone), over the same people.

`kl`: the mean divergence of a list's genres from the library's, the genre of a playlist being that of most of its
songs, mixed with 0.01 of the library as the ranking does; `kl songs` the same with all songs of the list's playlists.
`us a list`: microseconds for one user's list, all users in one call.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.serve_app.ranking.catalogue import genre_of, novelty_of, shares_of
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.kernels.weighing import SMOOTHING
from spotify_buddies.serve_app.ranking.query import Query
from spotify_buddies.serve_app.ranking.rules import Rules
from spotify_buddies.trainer.bundle import open_bundle
from spotify_buddies.trainer.dataset.table import open_dataset
from spotify_buddies.trainer.evaluation.served.halves import build_halves
from spotify_buddies.trainer.evaluation.served.questions import Questions, questions_of_likes
from spotify_buddies.trainer.metrics.kernels import count_shared
from spotify_buddies.trainer.metrics.lists import coverage, hits, inequality, places, shown
from spotify_buddies.trainer.settings import DataSettings

Array = npt.NDArray[Any]

ASKED = Query()
DEFAULT = Rules(
    max_per_owner=ASKED.max_per_owner,
    max_song_overlap=ASKED.max_song_overlap,
    max_song_containment=ASKED.max_song_containment,
)
LENGTHS = (5, 20)
ADVENTUROUS = tuple(round(step / 10, 1) for step in range(11))
CALIBRATION = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
PARTS = {
    "neither": replace(DEFAULT, max_song_overlap=1.0, max_song_containment=1.0),
    "overlap 0.8": replace(DEFAULT, max_song_containment=1.0),
    "containment 0.5": replace(DEFAULT, max_song_overlap=1.0),
    **{f"both, containment {most}": replace(DEFAULT, max_song_containment=most) for most in (0.5, 0.7, 0.9)},
}


@dataclass(frozen=True)
class Case:
    """A bundle's engine and its questions; people: rows of all users who get lists of their own."""

    name: str
    engine: Engine
    questions: Questions
    people: Array


@dataclass(frozen=True)
class Pairs:
    """Pairs of playlists in one list that share more than half of the smaller's songs.

    lists: the share of lists with such a pair. jaccard: of each pair, songs in both out of songs in either.
    """

    lists: float
    jaccard: Array


def main() -> None:
    """Read the command line, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--halves", type=Path, nargs=2, metavar=("BUNDLE_OF_HALVES", "WORK"))
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    for case in cases(asked.bundle, asked.dataset, asked.halves):
        for row in (*parts(case), *settings(case)):
            print(json.dumps(row) if asked.json else "  ".join(f"{name} {value}" for name, value in row.items()))


def cases(bundle: Path, dataset: Path, halves: tuple[Path, Path] | None) -> Iterator[Case]:
    """The likes, and the halves where they are given."""
    whole = open_dataset(dataset)
    sets = questions_of_likes(whole)
    yield from (_case(name, bundle, sets[name]) for name in sets if name.endswith("-validation"))
    if halves is not None:
        made, work = halves
        # Reused, not built: the protocol did.
        cut = build_halves(whole, work, DataSettings(), lambda *_: None)
        yield _case("halves-warm", made, cut.questions()["halves-warm"])


def _case(name: str, bundle: Path, questions: Questions) -> Case:
    engine = Engine(open_bundle(bundle, check_hashes=False), "1")
    return Case(name, engine, questions, np.flatnonzero(engine.bundle.candidates.counts > 0))


def lists_of(case: Case, limit: int, rules: Rules, questions: Questions | None = None) -> Array:
    """Playlist rows (people, limit), -1 padded, of everybody; or of those who ask, without what they have seen."""
    engine, rows = case.engine, case.people
    if questions is not None:
        assert questions.users is not None
        rows = questions.users
        rules = replace(rules, blocked=questions.seen)
    ids = [engine.bundle.user_ids.table[row] for row in rows.tolist()]
    lists = engine.rank_known(ids, limit, np.empty(0, np.int32), rules)
    return np.where(np.arange(limit) < lists.counts[:, None], lists.rows, -1)


def parts(case: Case) -> Iterator[dict[str, Any]]:
    """Lists with a playlist of which more than half is in another one, or the other way round, by the rules."""
    for limit in LENGTHS:
        for name, rules in PARTS.items():
            found = _pairs(lists_of(case, limit, rules, case.questions), case.engine.bundle.playlist_songs)
            everybody = _pairs(lists_of(case, limit, rules), case.engine.bundle.playlist_songs)
            seen = {f"with Jaccard > {j}": int((found.jaccard > j).sum()) for j in (0.5, 0.8)}
            yield {
                "questions": case.name,
                "limit": limit,
                "rules": name,
                "lists with a part": round(found.lists, 4),
                "of all users": round(everybody.lists, 4),
                "pairs": found.jaccard.size,
                **seen,
                **_hits(case, limit, rules, PARTS["overlap 0.8"]),
            }


def _pairs(lists: Array, songs: Csr | None) -> Pairs:
    assert songs is not None
    sizes, jaccard, has_one = songs.counts, [np.empty(0)], np.zeros(len(lists), np.bool_)
    for later in range(1, lists.shape[1]):
        for better in range(later):
            both = np.flatnonzero((lists[:, later] >= 0) & (lists[:, better] >= 0))
            left, right = (np.ascontiguousarray(lists[both, place], np.int32) for place in (better, later))
            common = np.empty(left.size, np.int32)
            count_shared(songs.indptr, songs.indices, songs.indptr, songs.indices, left, right, common)
            is_part = 2 * common > np.minimum(sizes[left], sizes[right])
            has_one[both[is_part]] = True
            jaccard.append((common / np.maximum(sizes[left] + sizes[right] - common, 1))[is_part])
    return Pairs(float(has_one.mean()), np.concatenate(jaccard))


def settings(case: Case) -> Iterator[dict[str, Any]]:
    """What lists show, and hits, by adventurous and by calibration."""
    varied = [("adventurous", value, replace(DEFAULT, adventurous=value)) for value in ADVENTUROUS]
    varied += [("calibration", value, replace(DEFAULT, calibration=value)) for value in CALIBRATION]
    for limit in LENGTHS:
        for name, value, rules in varied:
            began = time.perf_counter()
            lists = lists_of(case, limit, rules)
            took = {"us a list": round(1e6 * (time.perf_counter() - began) / len(lists), 1)}
            shows = {"questions": case.name, "limit": limit, name: value, **_shown(case, lists)}
            yield {**shows, **_hits(case, limit, rules, DEFAULT), **took}


def _shown(case: Case, lists: Array) -> dict[str, float]:
    bundle = case.engine.bundle
    songs, genres = bundle.playlist_songs, bundle.genre_popular.rows
    assert songs is not None
    novelty = novelty_of(songs, bundle.song_listeners, bundle.manifest.users)
    exposure = shown(lists, bundle.manifest.playlists)
    wanted = shares_of(bundle.user_songs, case.people, bundle.song_genres, genres).astype(np.float64)
    of_all = np.arange(songs.rows)
    by_song = shares_of(songs, of_all, bundle.song_genres, genres).astype(np.float64)
    main = genre_of(songs, bundle.song_genres, genres)
    by_genre = (np.arange(genres) == main[:, None]).astype(np.float64)
    values = {
        "novelty": np.mean(novelty[lists[lists >= 0]]),
        "coverage": coverage(exposure),
        "gini": inequality(exposure),
        "kl": _divergence(wanted, lists, by_genre),
        "kl songs": _divergence(wanted, lists, by_song),
    }
    return {name: round(float(value), 4) for name, value in values.items()}


def _divergence(wanted: Array, lists: Array, of_playlists: Array) -> float:
    filled = (lists >= 0)[:, :, None]
    shares = (of_playlists[lists] * filled).sum(axis=1)
    shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1e-12)
    mixed = (1 - SMOOTHING) * shares + SMOOTHING * wanted
    some = wanted.any(axis=1) & (lists >= 0).any(axis=1)
    terms = np.where(wanted > 0, wanted * np.log(np.where(wanted > 0, wanted / np.maximum(mixed, 1e-300), 1.0)), 0.0)
    return float(terms.sum(axis=1)[some].mean())


def _hits(case: Case, limit: int, rules: Rules, before: Rules) -> Mapping[str, float]:
    wanted = case.questions.wanted
    now, then = (
        hits(places(lists_of(case, limit, one, case.questions), wanted), wanted, limit) for one in (rules, before)
    )
    error = float((now - then).std(ddof=1) / np.sqrt(now.size))
    return {f"hit@{limit}": round(float(now.mean()), 4), "+-": round(error, 4)}


if __name__ == "__main__":
    main()
