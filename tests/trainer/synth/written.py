"""A synthetic data set as it lies on disk, read back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from spotify_buddies.foundation.stages.stage import hash_file
from spotify_buddies.trainer.synth.write import SynthSummary

USERS, LISTS, SONGS = 1_500, 1_200, 12_000


@dataclass(frozen=True)
class Written:
    folder: Path
    summary: SynthSummary
    playlists: list[dict[str, Any]]
    lines: list[tuple[str, str, int]]
    names: dict[str, tuple[str, str]]

    @property
    def libraries(self) -> dict[str, list[str]]:
        """Song ids by user id, in file order."""
        songs_by_user: dict[str, list[str]] = {}
        for user, song, _ in self.lines:
            songs_by_user.setdefault(user, []).append(song)
        return songs_by_user


def read(folder: Path, summary: SynthSummary) -> Written:
    slices = sorted((folder / "mpd").iterdir(), key=lambda path: int(path.name.split(".")[2].split("-")[0]))
    playlists = [playlist for path in slices for playlist in orjson.loads(path.read_bytes())["playlists"]]
    triplets = (folder / "taste_profile" / "train_triplets.txt").read_text("utf-8").splitlines()
    lines = [(user, song, int(plays)) for user, song, plays in (line.split("\t") for line in triplets)]
    names = {}
    for line in (folder / "taste_profile" / "unique_tracks.txt").read_text("utf-8").split("\n")[:-1]:
        _, song, artist, title = line.split("<SEP>")
        names[song] = (title, artist)
    return Written(folder, summary, playlists, lines, names)


def digests(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): hash_file(p) for p in sorted(folder.rglob("*")) if p.is_file()}
