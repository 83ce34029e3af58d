"""A finished pairing, and the check that it belongs to a data set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from spotify_buddies.foundation.stages.stage import StageError, Stamp, load_chain

NEAREST, CANDIDATES, INDEX = "nearest", "candidates", "index"
MATRIX, SPLIT, OWN = "3-matrix", "6-split", "7-own"
NOT_SAMPLED = 0  # in 6-split's user_kind
USER_KIND = "user_kind.npy"


def load_dataset(dataset: Path) -> dict[str, Stamp]:
    """The stamps of 3-matrix, 6-split and 7-own. StageError: missing, or parts of two different builds."""
    return load_chain(dataset, (MATRIX, SPLIT, OWN), "build the data set with `buddies data build`")


def inputs_of(stamps: Mapping[str, Stamp]) -> dict[str, dict[str, str]]:
    """What each stage of the pairing is made from, beside other stages of it, from the stamps of the data set.

    Of 6-split only which users are sampled matters: another split of the likes is no reason to find neighbours anew.
    """
    users = {
        MATRIX: stamps[MATRIX].fingerprint,
        f"{SPLIT}/{USER_KIND}": str(stamps[SPLIT].files[USER_KIND]["sha256"]),
    }
    return {NEAREST: users, CANDIDATES: {**users, OWN: stamps[OWN].fingerprint}, INDEX: users}


def load_pairing(pairing: Path, dataset: Path) -> dict[str, Stamp]:
    """The stamps of nearest, candidates and index. StageError: missing, or made from another data set than this one."""
    again = "run `buddies pair build`"
    expected = inputs_of(load_dataset(dataset))
    stamps = load_chain(pairing, (NEAREST, CANDIDATES, INDEX), again)
    for name, inputs in expected.items():
        for earlier, fingerprint in inputs.items():
            if stamps[name].inputs.get(earlier) != fingerprint:
                raise StageError(f"{pairing / name}: made from another {earlier!r} than that of {dataset}; {again}")
    return stamps
