"""Versions for game days, made from another one: as good, bad on purpose, or broken where only serving finds it.

Each is a whole bundle, hashed and with golden users of its own, so that it passes what is checked before a version
takes traffic. Its fault lies in its data alone, and only measurements on that traffic can find it.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.trainer.bundle import Bundle, open_bundle
from spotify_buddies.trainer.bundle.golden import GOLDEN, save_golden
from spotify_buddies.trainer.bundle.golden_lists import find_golden
from spotify_buddies.trainer.bundle.manifest import Manifest, describe_files
from spotify_buddies.trainer.bundle.nearest_index import PLAYLIST_INDEX
from spotify_buddies.trainer.bundle.reasons import find_reasons
from spotify_buddies.trainer.bundle.scores import best_first
from spotify_buddies.trainer.registry.derived_kinds import DerivedKind
from spotify_buddies.trainer.registry.registry import Registry, RegistryError
from spotify_buddies.trainer.registry.transfer import finished_run

Array = npt.NDArray[Any]

# Tags of a derived version; the data set's fingerprint, the bundle's hash and the metrics are those of every version.
VERSION, KIND, RUN = "derived_from_version", "derived_kind", "derived_from_run"


@dataclass(frozen=True)
class Derived:
    """version: its number in the registry. new: False where the same one was there already."""

    version: str
    source_version: str
    kind: str
    bundle_sha256: str
    new: bool


def derive_version(
    registry: Registry, version: str, kind: DerivedKind, experiment: str, *, seed: int = 1, aliases: Sequence[str] = ()
) -> Derived:
    """Register a version derived from another one and point aliases at it; the same request gives the same version.

    It keeps the data set, the ids and the metrics of its source, so that what is looked at before a rollout finds
    nothing against it. Another seed makes another version of the same kind. experiment: its run's, made if it is not
    there. RegistryError: no such version, or one without a bundle. BundleError: the bundle is broken.
    RegistryUnavailable: MLflow does not answer.
    """
    info = registry.get(version)
    if not info.bundle_sha256:
        raise RegistryError(f"version {version} was registered without a bundle's hash: nothing can be derived from it")
    with tempfile.TemporaryDirectory(prefix="buddies-derive-") as scratch:
        source = open_bundle(registry.fetch(version, Path(scratch) / "source"), check_hashes=False)
        bundle = derive_bundle(source, Path(scratch) / "derived", kind, version, seed)
        there = next((v.number for v in registry.list_versions() if v.bundle_sha256 == bundle.sha256), None)
        if there is None:
            tags = {VERSION: version, KIND: kind.value, RUN: info.run_id}
            run_id = finished_run(registry, experiment, f"{kind.value}-of-{version}", tags)
            number = registry.register(bundle.directory, run_id, aliases=aliases, tags=tags)
        else:
            number = there
            for alias in aliases:
                registry.set_alias(alias, number)
    return Derived(number, version, kind.value, bundle.sha256, new=there is None)


def derive_bundle(source: Bundle, directory: Path, kind: DerivedKind, version: str, seed: int = 1) -> Bundle:
    """Write the derived bundle into a directory that is not there yet, and open it with its hashes checked.

    version: what the source is called, for the manifest. The same source, kind, version and seed give the same bytes.
    """
    shutil.copytree(source.directory, directory)
    if kind is DerivedKind.SHUFFLED:
        _shuffle(source, directory, seed)
    elif kind is DerivedKind.ERRING:
        _spoil(source, directory)
    derived = {"version": version, "kind": kind.value, "seed": seed}
    (directory / GOLDEN).unlink(missing_ok=True)
    _write_manifest(source, directory, derived)
    if golden := find_golden(open_bundle(directory, check_hashes=False)):
        save_golden(directory, golden)
        _write_manifest(source, directory, derived)
    return open_bundle(directory)


def _shuffle(source: Bundle, directory: Path, seed: int) -> None:
    """Give every playlist the factor of another one, and put the candidates in the order that follows from it."""
    order = np.random.default_rng(seed).permutation(source.manifest.playlists)
    users, playlists = _write_factors(directory, source.user_factors, source.playlist_factors[order])
    given, offsets = source.candidate_sources, source.candidate_offsets
    scored = best_first(source.candidates, users, playlists, sources=given, offsets=offsets)
    scored.candidates.save(directory, "candidates")
    # Of the factors as they were; without it every playlist is looked at.
    (directory / PLAYLIST_INDEX).unlink(missing_ok=True)
    said = None if source.candidate_reasons is None else find_reasons(replace(source, candidates=scored.candidates))
    ordered = {"candidate_sources": scored.sources, "candidate_offsets": scored.offsets, "candidate_reasons": said}
    for name, values in ordered.items():
        if values is not None:
            np.save(directory / f"{name}.npy", values)


def _spoil(source: Bundle, directory: Path) -> None:
    """Write NaN into the factor of every second user, and into the stored scores of their candidates.

    Opening does not walk over these, golden users are chosen among the others, and the first user, whom a warm-up asks
    for, is one of them: only traffic finds it.
    """
    spoiled = np.arange(source.manifest.users) % 2 == 1
    users = np.array(source.user_factors)
    users[spoiled] = np.nan
    _write_factors(directory, users, source.playlist_factors)
    candidates = source.candidates
    scores = np.array(candidates.values)
    scores[np.repeat(spoiled, candidates.counts)] = np.nan
    replace(candidates, values=scores).save(directory, "candidates")


def _write_factors(directory: Path, user_factors: Array, playlist_factors: Array) -> tuple[Array, Array]:
    """Write the factors, and return them as they were written."""
    from safetensors.numpy import save_file

    users, playlists = (np.ascontiguousarray(factors, np.float32) for factors in (user_factors, playlist_factors))
    path = directory / "factors.safetensors"
    save_file({"user_factors": users, "playlist_factors": playlists}, path)
    path.chmod(0o644)
    return users, playlists


def _write_manifest(source: Bundle, directory: Path, derived: Mapping[str, object]) -> None:
    body = json.loads(json.dumps(asdict(source.manifest)))
    body["training"]["derived"] = derived
    body["files"] = describe_files(directory)
    Manifest(**body).write(directory)
