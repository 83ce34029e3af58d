"""Part 2: one song id space. Songs with the same normalised title and artist become one row, whatever their source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages.progress import Progress
from spotify_buddies.foundation.text.song_keys import Matching, SongKeys, other_keys
from spotify_buddies.trainer.dataset.near.meet import near_names as find_near_names
from spotify_buddies.trainer.dataset.reading.intern import Ids

Array = npt.NDArray[Any]

# Counts the changes of the rules of full matching: data sets that were built by other rules are built again.
MATCHING_RULES = 3

_TICK = 200_000


def match_songs(
    directory: Path,
    raw: Path,
    matching: Matching,
    progress: Progress,
    *,
    joined_artists: bool = True,
    near_names: bool = True,
) -> dict[str, Any]:
    """Give every raw song its row; write users, playlists, songs, song_ids, song_aliases (.parquet).

    Beside them: song_rows.npy int32 (raw songs,) and named_owner.npy int32 (P), the user row of the owner that a
    playlist names, -1 where it names none.

    Rows are in the order of first appearance, songs of the listens first. A song without a name keeps a row of its own.
    joined_artists: whether names are also tried under their artists' other names, near_names: whether names that are
    near each other are compared (both: `song_rows`). The name that is shown for a row is the first one that is not
    matched in those ways. song_aliases: the keys of full matching that near names brought to a row, by which it is not
    found otherwise.
    Users are those of the listens, then the owners that playlists name and who have none, in the order of playlists.
    """
    songs = pl.read_parquet(raw / "songs.parquet")
    heard, listed = _used(raw, songs.height)
    # Both kinds of matching are measured, so that the gain of the better one is seen before it is chosen.
    kinds: tuple[Matching, Matching] = ("plain", "full")
    sides = (heard, listed) if joined_artists else None
    lists = [Csr.load(raw, "listens"), Csr.load(raw, "tracks")] if near_names else None
    matched = {kind: song_rows(songs, kind, progress, sides=sides, lists=lists) for kind in kinds}
    rows = {kind: matched[kind].rows for kind in kinds}
    gain = {
        f"{what}_{kind}_matching": n for kind in kinds for what, n in _shared(raw, rows[kind], heard, listed).items()
    }
    chosen = rows[matching]
    count = int(chosen.max()) + 1 if chosen.size else 0
    songs.select("title", "artist")[matched[matching].shown].write_parquet(directory / "songs.parquet")
    ids = songs.select("song_id").with_columns(song_row=pl.Series(chosen, dtype=pl.Int32)).drop_nulls("song_id")
    ids.write_parquet(directory / "song_ids.parquet")
    aliases = matched[matching].aliases
    aliased = {
        "key": pl.Series(list(aliases), dtype=pl.String),
        "song_row": pl.Series(aliases.values(), dtype=pl.Int32),
    }
    pl.DataFrame(aliased).write_parquet(directory / "song_aliases.parquet")
    np.save(directory / "song_rows.npy", chosen)
    users, owners = _people(directory, raw)
    return {
        "matching": matching,
        "users": users,
        "owners_added_as_users": owners,
        "songs": count,
        "songs_heard": _count(chosen, heard),
        "songs_in_playlists": _count(chosen, listed),
        "shared_songs": gain[f"shared_songs_{matching}_matching"],
        "songs_met_by_near_names": len(aliases),
        "songs_heard_without_a_name": int((songs["title"] == "").sum()),
        **gain,
    }


@dataclass(frozen=True)
class SongRows:
    """rows: the row of every raw song, int32 (raw songs,). shown: the raw song that names each row, int64 (rows,).

    aliases: keys that near names brought to a row, and that row.
    """

    rows: Array
    shown: Array
    aliases: Mapping[str, int]


def song_rows(
    songs: pl.DataFrame,
    matching: Matching,
    progress: Progress,
    *,
    sides: tuple[Array, Array] | None = None,
    lists: Sequence[Csr] | None = None,
) -> SongRows:
    """Give every raw song its row, in the order of first appearance. songs: title, artist.

    sides: which raw songs are heard, and which are in a playlist, bool (raw songs,) each. With them, full matching
    gives a song the row of the same song under another name of its artist: always where that name is of the same people
    ("Last, First", "B & A", A alone for "A & The Bs"). A joined artist ("A & B", "A, B", "A x B") meets the lead artist
    only where neither of the two songs meets another one otherwise, that is where neither is both heard and in a
    playlist, and where no other joined name has the same lead.
    lists: who has which raw songs, as `near.meet.near_names` takes them. With them, full matching gives misspelled
    names and titles without their subtitle the row of the right and the whole name. Without both, keys alone decide.
    """
    keys, of = Ids(), SongKeys(matching)
    codes = np.empty(songs.height, np.int32)
    what = f"song names, {matching} matching"
    names = list(zip(songs["title"].to_list(), songs["artist"].to_list(), strict=True))
    for i, (title, artist) in enumerate(names):
        if i % _TICK == 0:
            progress(what, i, songs.height, "songs")
        # No name holds \0, so that a song without one meets nobody.
        codes[i] = keys.code(of.key(title, artist) if title else f"\0{i}")
    roots = np.arange(len(keys), dtype=np.int32)
    if sides is not None and matching == "full":
        _meet_otherwise(names, keys, codes, sides, roots)
    before = roots.copy()
    if lists is not None and matching == "full":
        _meet_near(keys.names(), codes, names, lists, roots)
    progress(what, songs.height, songs.height, "songs")
    return _numbered(keys.names(), codes, roots, before != roots)


def _numbered(keys: Sequence[str], codes: Array, roots: Array, moved: Array) -> SongRows:
    # The first raw song whose own key is the row's: by its name the row is found again.
    first = np.full(roots.size, codes.size, np.int64)
    np.minimum.at(first, codes, np.arange(codes.size))
    distinct, appeared, place = np.unique(roots[codes], return_index=True, return_inverse=True)
    order = np.argsort(appeared, kind="stable")
    rank = np.empty(order.size, np.int32)
    rank[order] = np.arange(order.size, dtype=np.int32)
    row = rank[np.searchsorted(distinct, roots[moved])]
    aliases = dict(zip((keys[code] for code in np.flatnonzero(moved).tolist()), row.tolist(), strict=True))
    return SongRows(rank[place], first[distinct[order]], aliases)


def _meet_near(keys: list[str], codes: Array, names: list[tuple[str, str]], lists: Sequence[Csr], roots: Array) -> None:
    """Point keys to the key of the song that they are the name of, misspelled or without its subtitle; in place."""
    for code, target in find_near_names(keys, codes, names, lists):
        roots[_root(roots, code)] = _root(roots, target)
    for code in range(len(keys)):
        roots[code] = _root(roots, code)


def _meet_otherwise(
    names: list[tuple[str, str]], keys: Ids, codes: Array, sides: tuple[Array, Array], roots: Array
) -> None:
    """Point keys to the key that their song has under another name of its artist, where some song has it; in place."""
    alone = ~(_on(codes, sides[0], len(keys)) & _on(codes, sides[1], len(keys)))
    met: dict[int, tuple[int, bool]] = {}
    for code, (title, artist) in zip(codes.tolist(), names, strict=True):
        if code in met or not title:
            continue
        for key, sure in other_keys(title, artist):
            target = keys.code(key) if key in keys else code
            if target != code and (sure or (alone[code] and alone[target])):
                met[code] = target, sure
                break
    # Two names with one lead artist ("A & B", "A & C") are two recordings of A with somebody: neither is A's alone.
    rivals = Counter(target for target, sure in met.values() if not sure)
    for code, (target, sure) in met.items():
        root = _root(roots, target)
        if root != code and (sure or rivals[target] == 1):
            roots[code] = root
    for code in met:
        roots[code] = _root(roots, code)


def _on(codes: Array, side: Array, count: int) -> Array:
    """Which codes are on a side, bool (count,)."""
    out = np.zeros(count, bool)
    out[codes[side]] = True
    return out


def _root(roots: Array, code: int) -> int:
    while roots[code] != code:
        code = int(roots[code])
    return code


def _used(raw: Path, songs: int) -> tuple[Array, Array]:
    heard, listed = np.zeros(songs, bool), np.zeros(songs, bool)
    heard[Csr.load(raw, "listens").indices] = True
    listed[Csr.load(raw, "tracks").indices] = True
    return heard, listed


def _shared(raw: Path, rows: Array, heard: Array, listed: Array) -> dict[str, int]:
    """How much the listens and the playlists have in common.

    Better matching also merges songs: the number of shared songs may fall while the listens and tracks that meet a
    song of the other side rise.
    """
    count = int(rows.max(initial=-1)) + 1
    is_heard, is_listed = np.zeros(count, bool), np.zeros(count, bool)
    is_heard[rows[heard]] = True
    is_listed[rows[listed]] = True
    return {
        "songs": count,
        "shared_songs": int((is_heard & is_listed).sum()),
        "listens_with_a_playlist": int(is_listed[rows[Csr.load(raw, "listens").indices]].sum()),
        "tracks_with_a_listener": int(is_heard[rows[Csr.load(raw, "tracks").indices]].sum()),
    }


def _count(rows: Array, used: Array) -> int:
    return int(np.unique(rows[used]).size)


def _people(directory: Path, raw: Path) -> tuple[int, int]:
    users = pl.read_parquet(raw / "users.parquet")
    playlists = pl.read_parquet(raw / "playlists.parquet")
    named = playlists["owner_id"].drop_nulls().unique(maintain_order=True)
    added = named.filter(~named.is_in(users["user_id"].implode()))
    everyone = pl.concat([users["user_id"], added.rename("user_id")])
    pl.DataFrame({"user_id": everyone}).write_parquet(directory / "users.parquet")
    playlists.write_parquet(directory / "playlists.parquet")
    named_rows = pl.DataFrame({"owner_id": everyone, "row": pl.Series(range(everyone.len()), dtype=pl.Int32)})
    owner = playlists.select("owner_id").join(named_rows, on="owner_id", how="left", maintain_order="left")["row"]
    np.save(directory / "named_owner.npy", owner.fill_null(-1).to_numpy())
    return everyone.len(), added.len()
