"""Which files of a folder are exports, and whose; every other file is named with the reason."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from spotify_buddies.foundation.text.ids import fault
from spotify_buddies.trainer.dataset.errors import DataError
from spotify_buddies.trainer.dataset.reading.exports.formats import WITHOUT_SONGS, recognise
from spotify_buddies.trainer.dataset.reading.exports.read import Export, user_of
from spotify_buddies.trainer.dataset.reading.files import fingerprint

# Names that mean one of these files, and are not read: `listens2.csv`, `my-playlists.csv`.
_NEARLY = re.compile(
    r".*(listens|playlists|train_triplets|unique_tracks|song_data|sid_mismatches|mpd.?slice).*", re.IGNORECASE
)


@dataclass(frozen=True)
class Unread:
    """A file that is not read, by its path below the data folder, and why. expected: no file of ours, for certain."""

    name: str
    why: str
    expected: bool = False


def find_exports(
    root: Path, files: list[Path], user: str | None, problems: list[DataError], unread: list[Unread]
) -> tuple[Export, ...]:
    """The exports among files, without copies; the rest goes to `unread`, and those of nobody to `problems`."""
    found: list[Export] = []
    inside = root.resolve()
    for path in files:
        name = below(root, path)
        if not path.resolve().is_relative_to(inside):
            unread.append(Unread(name, "a link that leads out of the folder; copy the file if it is an export"))
            continue
        kind = recognise(path)
        if isinstance(kind, str):
            near = _NEARLY.fullmatch(path.name)
            hint = (
                f"{kind}; is it meant as {near[1].lower()}? known names are in docs/your-own-data.md" if near else kind
            )
            unread.append(Unread(name, hint, expected=kind == WITHOUT_SONGS))
            continue
        whose = user or user_of(name)
        if problem := fault(whose):
            said = f"the user's id {whose!r} {problem}" if whose else f"{kind.title}, but of whom?"
            advice = "put it into a folder that is called as the user, or name the user with --user"
            problems.append(DataError(str(path), "", said, advice))
            continue
        found.append(Export(path, name, whose, kind))
    kept = _without_copies(found, unread)
    return tuple(sorted(kept, key=lambda export: export.name))


def _without_copies(exports: list[Export], unread: list[Unread]) -> Iterator[Export]:
    """Each content of a user's once: an export that was unpacked twice would double the playlists."""
    # The shortest name first: copies are called "x (1).json" and "x copy.json".
    exports = sorted(exports, key=lambda export: (len(export.name), export.name))
    sizes = [(export.user, export.path.stat().st_size) for export in exports]
    alike = Counter(sizes)
    first: dict[tuple[str, str], str] = {}
    for export, size in zip(exports, sizes, strict=True):
        # Files of different sizes differ; only of others the content is looked at.
        if alike[size] > 1 and size[1]:
            same = first.setdefault((export.user, fingerprint(export.path)), export.name)
            if same != export.name:
                unread.append(Unread(export.name, f"the same content as {same}"))
                continue
        yield export


def below(root: Path, path: Path) -> str:
    """A file's path below the data folder, with slashes."""
    return path.relative_to(root).as_posix()
