"""AttList's files: which they are, where they are from, and whether these are they."""

from __future__ import annotations

import hashlib
from pathlib import Path

from spotify_buddies.trainer.dataset.errors import DataError
from spotify_buddies.trainer.dataset.reading.attlist import SONGS, TEST, TRAIN, VALIDATION, AttList, read_attlist

FETCH = (
    f"fetch {TRAIN}, {VALIDATION}, {SONGS} and {TEST} (folder AttList_cikm2019/data/spotify of the GitHub repository "
    "heyunh2015/AttList; He, Wang, Niu and Caverlee, CIKM 2019), which are not ours to hand on"
)
# The published files. The hash of test.txt is unknown here: whoever chose these models never opened it.
SHA256 = {
    TRAIN: "cc75bf54fa2ba82291d338732ef9ba5a4299d67ee9460f3533e524b2695dc845",
    VALIDATION: "3ef7f8df817bcd858fd8347b23790b41bfdc5e05a01b51c4ce25c0b076418d9c",
    SONGS: "94fbc6737730d2012c8b2d40b56c45f5a487f6d8978fcbf56936f5b8073a4fcf",
}


def open_split(directory: Path, *, any_files: bool = False) -> tuple[AttList, list[str]]:
    """The split, and sentences about its files for people.

    any_files: other files of the same form are taken too, and a sentence says which are others. Of test.txt, where it
    is there, form and disjointness are checked, since its hash is unknown. DataError: a file is missing, differs from
    the published one, or cannot be read; the advice says where the files are from.
    """
    missing = [name for name in SHA256 if not (directory / name).is_file()]
    if missing:
        raise DataError(str(directory), ", ".join(missing), "no such file", FETCH)
    others = [name for name, known in SHA256.items() if _sha256(directory / name) != known]
    if others and not any_files:
        raise DataError(
            str(directory / others[0]),
            "",
            "is not the published file (its sha256 differs)",
            f"{FETCH}; or take any files of that form with --any-files",
        )
    notes = [f"{name} is not the published file" for name in others]
    if (directory / TEST).is_file():
        notes.append(f"{TEST}: form and disjointness checked; its hash is not known here")
    return read_attlist(directory), notes


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
