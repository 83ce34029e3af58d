"""Pairs of song names with a label, and how well a matching tells them: precision and recall.

labelled_pairs.csv holds pairs of the real sample by reference alone (a Taste Profile song id, or "slice:pid:pos" of a
track), since its names may not be given on. Candidates were names of one artist with near titles, drawn by kind; the
labels were read by a person from the two names:

  same       one recording: other spelling, remaster, edition, mono or stereo, cut for a single, an album or the radio,
             explicit or clean, the film that it is from, guests named or not
  different  another recording or another song
  untold     known to be another recording, mostly with guests, though the names do not say so. Not judged; how many of
             them are merged is told

made_up_pairs.csv holds the kinds that the sample lacks, in names of our own.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.text.song_keys import Matching
from spotify_buddies.trainer.dataset.matching import song_rows

HERE = Path(__file__).parent
# Names that no rule about two names alone can tell: what the whole catalogue says is asked for them.
BEYOND_RULES = ("misspelling", "left-out-subtitle")


@dataclass(frozen=True)
class Pair:
    """Two references (or two names joined by " @ " as in made_up_pairs.csv) and what is said of them."""

    kind: str
    label: str
    one: str
    other: str


@dataclass
class Counts:
    """How the pairs of a kind were told. untold: (merged, all)."""

    right: int = 0
    merged_wrongly: int = 0
    missed: int = 0
    apart: int = 0
    untold: tuple[int, int] = (0, 0)

    @property
    def precision(self) -> float:
        """Of the pairs that are merged, the share that is the same; 1 where none is."""
        merged = self.right + self.merged_wrongly
        return self.right / merged if merged else 1.0

    @property
    def recall(self) -> float:
        """Of the pairs that are the same, the share that is merged; 1 where none is."""
        same = self.right + self.missed
        return self.right / same if same else 1.0

    def add(self, other: Counts) -> None:
        """Add the counts of other pairs."""
        self.right += other.right
        self.merged_wrongly += other.merged_wrongly
        self.missed += other.missed
        self.apart += other.apart
        self.untold = (self.untold[0] + other.untold[0], self.untold[1] + other.untold[1])


def read_pairs(name: str) -> list[Pair]:
    """The pairs of a file beside this one."""
    with (HERE / name).open(newline="", encoding="utf-8") as file:
        return [Pair(row["kind"], row["label"], row["one"], row["other"]) for row in csv.DictReader(file)]


def sample_rows(sample: Path, matching: Matching) -> dict[str, int]:
    """The row that each song of the real sample gets in a data set, by its reference."""
    names, references, heard = [], [], []
    playlists: list[list[int]] = []
    with (sample / "taste_profile" / "song_data.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            names.append((row["title"], row["artist_name"]))
            references.append([row["song_id"]])
            heard.append(True)
    places: dict[tuple[str, str], int] = {}
    for path in sorted((sample / "mpd").glob("mpd.slice.*.json")):
        part = path.name.split(".")[2]
        for playlist in json.loads(path.read_text(encoding="utf-8"))["playlists"]:
            playlists.append([])
            for track in playlist["tracks"]:
                name = (track["track_name"], track["artist_name"])
                if name not in places:
                    places[name] = len(names)
                    names.append(name)
                    references.append([])
                    heard.append(False)
                references[places[name]].append(f"{part}:{int(playlist['pid'])}:{track['pos']}")
                playlists[-1].append(places[name])
    lists = [_libraries(sample, references), playlists]
    rows = _rows(names, np.array(heard), matching, [_csr(rows, len(names)) for rows in lists])
    return {reference: int(row) for row, known in zip(rows, references, strict=True) for reference in known}


def made_up_rows(pairs: Sequence[Pair], matching: Matching) -> dict[str, int]:
    """The row of each name in a data set of one pair alone, the first one heard, the other one in a playlist."""
    rows = {}
    for number, pair in enumerate(pairs):
        names = [(name.split(" @ ")[0], name.split(" @ ")[1]) for name in (pair.one, pair.other)]
        one, other = _rows(names, np.array([True, False]), matching)
        rows[f"{number}/one"], rows[f"{number}/other"] = 2 * number + int(one), 2 * number + int(other)
    return rows


def judge(pairs: Sequence[Pair], rows: Mapping[str, int]) -> dict[str, Counts]:
    """Counts by kind, in the order of the kinds. rows: of the references of the pairs."""
    found: dict[str, Counts] = {}
    for pair in pairs:
        counts, merged = found.setdefault(pair.kind, Counts()), rows[pair.one] == rows[pair.other]
        if pair.label == "untold":
            counts.untold = (counts.untold[0] + merged, counts.untold[1] + 1)
        elif pair.label == "same":
            counts.right += merged
            counts.missed += not merged
        else:
            counts.merged_wrongly += merged
            counts.apart += not merged
    return dict(sorted(found.items()))


def total(counts: Mapping[str, Counts], *, without: Sequence[str] = ()) -> Counts:
    """The counts of all kinds but those named."""
    out = Counts()
    for kind, part in counts.items():
        if kind not in without:
            out.add(part)
    return out


def _rows(
    names: Sequence[tuple[str, str]], heard: np.ndarray, matching: Matching, lists: Sequence[Csr] = ()
) -> np.ndarray:
    songs = pl.DataFrame({"title": [name[0] for name in names], "artist": [name[1] for name in names]})
    return song_rows(songs, matching, lambda *_: None, sides=(heard, ~heard), lists=lists).rows


def _libraries(sample: Path, references: Sequence[Sequence[str]]) -> list[list[int]]:
    places = {reference: place for place, known in enumerate(references) for reference in known}
    libraries: dict[str, list[int]] = {}
    for line in (sample / "taste_profile" / "train_triplets.txt").read_text(encoding="utf-8").splitlines():
        user, song, _ = line.split("\t")
        if song in places:
            libraries.setdefault(user, []).append(places[song])
    return list(libraries.values())


def _csr(rows: Sequence[Sequence[int]], columns: int) -> Csr:
    return Csr.from_rows([sorted(set(row)) for row in rows], columns)
