"""A synthetic data set in the formats of the real data."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from spotify_buddies.foundation.stages.progress import Progress, silent
from spotify_buddies.trainer.synth.catalogue import LISTENS, PLAYLISTS, Catalogue, Names, make_catalogue, make_names
from spotify_buddies.trainer.synth.listens import write_mismatches, write_song_data, write_triplets, write_unique_tracks
from spotify_buddies.trainer.synth.slices import write_slices

MARKER = ".synth.json"
NameFile = Literal["unique_tracks", "csv"]


class SynthError(Exception):
    """The synthetic data cannot be written; the message names the folder and what to do."""


@dataclass(frozen=True)
class Preset:
    """The size of a synthetic data set."""

    users: int
    playlists: int
    songs: int


PRESETS: dict[str, Preset] = {
    "tiny": Preset(200, 300, 1_500),
    "demo": Preset(2_000, 2_000, 20_000),
    "hundredth": Preset(10_200, 9_460, 60_000),
    "tenth": Preset(102_000, 94_600, 400_000),
    "million": Preset(1_019_318, 946_000, 2_397_197),
}


@dataclass(frozen=True)
class SynthSummary:
    """What was written. songs counts the invented ones, shared those known on both sides; lines are triplet lines."""

    users: int
    playlists: int
    songs: int
    shared: int
    lines: int
    tracks: int
    bytes: int


def synthesise(
    directory: Path,
    *,
    users: int,
    playlists: int,
    songs: int | None = None,
    seed: int = 42,
    dirt: bool = True,
    names: NameFile = "unique_tracks",
    progress: Progress = silent,
) -> SynthSummary:
    """Write directory/mpd and directory/taste_profile, streaming; the same arguments give the same bytes.

    songs None: as many as the real data would have at this size. dirt: duplicates, second spellings, missing and empty
    names. A finished folder of the same arguments is left as it is; one of other arguments is replaced; a folder that
    holds anything else is refused with SynthError, and so are sizes below 0 or fewer than 100 songs.
    """
    if songs is None:
        songs = max(1_000, round(2_400_000 * (max(users, playlists) / 1e6) ** 0.7))
    if users < 0 or playlists < 0 or songs < 100:
        raise SynthError(f"users {users}, playlists {playlists}, songs {songs}: need 0, 0 and 100 at least")
    asked = {"users": users, "playlists": playlists, "songs": songs, "seed": seed, "dirt": dirt, "names": names}
    if (finished := _prepare(directory, asked)) is not None:
        return finished
    world = make_catalogue(songs, seed)
    called = make_names(world, seed)
    tracks, size = _write_playlists(directory / "mpd", world, called, playlists, seed, dirt, progress)
    lines, more = _write_listens(directory / "taste_profile", world, called, users, seed, dirt, names, progress)
    shared = int((world.sides == LISTENS | PLAYLISTS).sum())
    summary = SynthSummary(users, playlists, songs, shared, lines, tracks, size + more)
    _mark(directory, asked, asdict(summary))
    return summary


def _prepare(directory: Path, asked: dict[str, object]) -> SynthSummary | None:
    """Make the folder empty and ours; the summary when it already holds what is asked for."""
    marker = directory / MARKER
    if marker.exists():
        body = json.loads(marker.read_bytes())
        present = [*directory.glob("mpd/mpd.slice.*.json"), *directory.glob("taste_profile/*")]
        size = sum(path.stat().st_size for path in present)
        if body["asked"] == asked and body["summary"] is not None and body["summary"]["bytes"] == size:
            return SynthSummary(**body["summary"])
        for path in present:
            path.unlink()
    elif directory.exists() and any(directory.iterdir()):
        raise SynthError(f"{directory}: not empty and not a synthetic data set; choose another folder")
    for folder in (directory / "mpd", directory / "taste_profile"):
        folder.mkdir(parents=True, exist_ok=True)
    _mark(directory, asked, None)
    return None


def _mark(directory: Path, asked: dict[str, object], summary: dict[str, int] | None) -> None:
    (directory / MARKER).write_text(json.dumps({"asked": asked, "summary": summary}, indent=1) + "\n", encoding="utf-8")


def _write_playlists(
    folder: Path, world: Catalogue, called: Names, count: int, seed: int, dirt: bool, progress: Progress
) -> tuple[int, int]:
    tracks = size = done = 0
    for part in write_slices(world, called, count, seed, dirt=dirt):
        (folder / part.name).write_bytes(part.body)
        tracks, size, done = tracks + part.tracks, size + len(part.body), done + part.playlists
        progress("write playlists", done, count, "playlists")
    return tracks, size


def _write_listens(
    folder: Path,
    world: Catalogue,
    called: Names,
    count: int,
    seed: int,
    dirt: bool,
    names: NameFile,
    progress: Progress,
) -> tuple[int, int]:
    lines = 0

    def blocks() -> Iterator[bytes]:
        nonlocal lines
        for block, number in write_triplets(world, called, count, seed, dirt=dirt):
            lines += number
            progress("write triplets", lines, 0, "lines")
            yield block

    size = _stream(folder / "train_triplets.txt", blocks())
    if names == "csv":
        size += _stream(folder / "song_data.csv", write_song_data(world, called, seed, dirt=dirt))
    else:
        size += _stream(folder / "unique_tracks.txt", write_unique_tracks(world, called, seed, dirt=dirt))
    return lines, size + _stream(folder / "sid_mismatches.txt", [write_mismatches(world, called, seed)])


def _stream(path: Path, blocks: Iterable[bytes]) -> int:
    with path.open("wb") as file:
        return sum(file.write(block) for block in blocks)
