"""The nine stages from raw files to a labelled data set; each is skipped when nothing before it changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spotify_buddies.foundation.stages import stage
from spotify_buddies.foundation.stages.blocks import THREADS, Blocks
from spotify_buddies.foundation.stages.progress import Progress, silent
from spotify_buddies.trainer.dataset import table
from spotify_buddies.trainer.dataset.erased import Erased
from spotify_buddies.trainer.dataset.errors import Skipped
from spotify_buddies.trainer.dataset.labels.follows import real_labels
from spotify_buddies.trainer.dataset.labels.ownership import assign_owners
from spotify_buddies.trainer.dataset.labels.split import split_users
from spotify_buddies.trainer.dataset.matching import MATCHING_RULES, match_songs
from spotify_buddies.trainer.dataset.matrix import build_matrices
from spotify_buddies.trainer.dataset.negatives.triplets import write_triplets
from spotify_buddies.trainer.dataset.negatives.validation import write_batches
from spotify_buddies.trainer.dataset.reading.raw import read_raw
from spotify_buddies.trainer.dataset.reading.sources import Sources
from spotify_buddies.trainer.dataset.reading.tables.parts import fingerprint
from spotify_buddies.trainer.dataset.report import write_report
from spotify_buddies.trainer.dataset.scoring import score_users, take_liked
from spotify_buddies.trainer.settings import DataSettings

Build = Callable[[Path], dict[str, Any]]


@dataclass(frozen=True)
class DatasetSummary:
    """A finished data set: the statistics of each stage by its name, the stages that ran, report.html."""

    directory: Path
    fingerprint: str
    statistics: dict[str, dict[str, Any]]
    ran: tuple[str, ...]
    report: Path


@dataclass(frozen=True)
class _Part:
    """One stage: the settings and the earlier stages that its result depends on, and what builds it."""

    settings: dict[str, Any]
    after: tuple[str, ...]
    build: Build


def build_dataset(
    sources: Sources,
    directory: Path,
    settings: DataSettings,
    *,
    skip_bad_files: bool = False,
    erased: Erased | None = None,
    blocks: Blocks = THREADS,
    progress: Progress = silent,
) -> DatasetSummary:
    """Run what is missing of the nine stages into `directory`, then write report.html.

    The same raw files (by content) and settings give the same files byte for byte, whatever block_users is, whoever
    works on the blocks, and whether or not the work was interrupted: a stage is either finished or starts over.
    DataError names a malformed raw file and the place in it; with skip_bad_files such files and lines are left out,
    counted and listed in part 1's statistics. erased: listeners of whom the data set holds nothing, from read_erased;
    part 1's statistics count them.
    """
    files = _fingerprints(erased.without_exports(sources) if erased else sources, progress)
    parts = _parts(sources, directory, settings, skip_bad_files, erased, blocks, progress)
    stamps: dict[str, stage.Stamp] = {}
    for name, part in parts.items():
        stamps[name] = stage.run(
            directory,
            name,
            # Only the first part has none before it: it depends on the raw files.
            inputs={earlier: stamps[earlier].fingerprint for earlier in part.after} or files,
            settings=part.settings,
            build=part.build,
        )
        progress("parts", len(stamps), len(parts), "parts")
    return DatasetSummary(
        directory=directory,
        fingerprint=stamps[table.VALIDATION].fingerprint,
        statistics={name: dict(stamp.statistics) for name, stamp in stamps.items()},
        ran=tuple(name for name, stamp in stamps.items() if not stamp.reused),
        report=write_report(directory),
    )


def _parts(
    sources: Sources,
    directory: Path,
    settings: DataSettings,
    skip_bad_files: bool,
    erased: Erased | None,
    blocks: Blocks,
    progress: Progress,
) -> dict[str, _Part]:
    folders = {name: directory / name for name in table.STAGES}
    # Only then does part 3 split anything: without follows its key is what it always was.
    real = bool(sources.interactions or sources.attlist)
    raw, songs, matrix, score = folders[table.RAW], folders[table.SONGS], folders[table.MATRIX], folders[table.SCORE]
    return {
        table.RAW: _Part(
            # Without erased listeners the key is what it always was.
            {"skip_bad_files": skip_bad_files} | ({"erased": erased.digest} if erased else {}),
            (),
            lambda to: _read(to, sources, Skipped(skip_bad_files), progress, erased),
        ),
        table.SONGS: _Part(
            _chosen(settings, "matching", "joined_artists", "near_names") | {"rules": MATCHING_RULES},
            (table.RAW,),
            lambda to: match_songs(
                to,
                raw,
                settings.matching,
                progress,
                joined_artists=settings.joined_artists,
                near_names=settings.near_names,
            ),
        ),
        table.MATRIX: _Part(
            _chosen(settings, "seed", "min_liked_to_split", "follow_split") if real else {},
            (table.RAW, table.SONGS),
            lambda to: build_matrices(to, raw, songs, settings),
        ),
        table.SCORE: _Part(
            _chosen(settings, "seed", "beta_a", "beta_b", "liked_share"),
            (table.SONGS, table.MATRIX),
            lambda to: score_users(to, matrix, songs, settings, progress, blocks),
        ),
        table.LIKED: _Part(
            {},
            (table.SCORE,),
            lambda to: take_liked(to, score, labels=table.FOLLOWS if real_labels(matrix) else table.SIMULATED),
        ),
        **_labelled(folders, settings, blocks, progress, real=real, follows=sources.follows),
    }


def _read(to: Path, sources: Sources, skipped: Skipped, progress: Progress, erased: Erased | None) -> dict[str, Any]:
    if not erased:
        return read_raw(to, sources, skipped, progress)
    left = erased.without_exports(sources)
    counts = read_raw(to, left, skipped, progress, erased)
    return counts | {"exports_of_erased_listeners": len(sources.exports) - len(left.exports)}


def _labelled(
    folders: Mapping[str, Path],
    settings: DataSettings,
    blocks: Blocks,
    progress: Progress,
    *,
    real: bool,
    follows: bool,
) -> dict[str, _Part]:
    before = table.STAGES[1:7]
    # Only then does it change anything: the key of other data sets is what it always was.
    feedback_alone = {"feedback_alone": True} if real and not follows else {}
    matrix = (table.MATRIX,) if real else ()
    return {
        table.SPLIT: _Part(
            _chosen(settings, "seed", "sample_users", "cold_users", "min_liked_to_split"),
            (table.SONGS, table.LIKED, *matrix),
            lambda to: split_users(to, folders[table.LIKED], folders[table.SONGS], settings, folders[table.MATRIX]),
        ),
        table.OWN: _Part(
            _chosen(settings, "owned_max", "ownership") | feedback_alone,
            (table.SONGS, table.MATRIX, table.LIKED, table.SPLIT),
            lambda to: assign_owners(to, folders, settings, progress, named_alone=follows),
        ),
        table.TRIPLETS: _Part(
            _chosen(settings, "seed", "hard_pool", "negatives", "hard_share", "toy_users", "triplets", "pool_sample"),
            before,
            lambda to: write_triplets(to, folders, settings, progress, blocks),
        ),
        table.VALIDATION: _Part(
            _chosen(settings, "seed", "hard_pool", "validation_negatives", "validation_rows"),
            # The triplets are no input of the batches; they are named so that the last fingerprint covers every part.
            (*before, table.TRIPLETS),
            lambda to: write_batches(to, folders, settings, progress, blocks),
        ),
    }


def _chosen(settings: DataSettings, *names: str) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in names}


def _fingerprints(sources: Sources, progress: Progress) -> dict[str, str]:
    files = sources.named()
    prints = {}
    for number, (name, path) in enumerate(files.items()):
        progress("fingerprints", number, len(files), "files")
        prints[name] = fingerprint(path)
    progress("fingerprints", len(files), len(files), "files")
    return prints
