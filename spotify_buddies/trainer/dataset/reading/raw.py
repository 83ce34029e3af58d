"""Part 1: raw files read into codes. The result holds every listen and track that was read, under raw song codes.

Songs that have an id (Taste Profile) come first, one code per id, then the distinct (title, artist) pairs of playlists
and of your own listens. A listening song without a name stays under its id, with empty names: it matches no playlist,
but two users may share it. A playlist track without a title or an artist is left out and counted. Playlists whose
songs are numbers (AttList) hold songs with an id. What users follow and dislike is in interactions.parquet; who is
known by that alone comes after the listeners.
"""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages.progress import Progress
from spotify_buddies.trainer.dataset.errors import DataError, Skipped
from spotify_buddies.trainer.dataset.kernels import group
from spotify_buddies.trainer.dataset.reading.attlist import AttList, read_attlist
from spotify_buddies.trainer.dataset.reading.exports.read import ReadExports, read_exports
from spotify_buddies.trainer.dataset.reading.gathered import Listens, Playlists, SongCodes, joined, without
from spotify_buddies.trainer.dataset.reading.interactions import (
    Interactions,
    add_attlist,
    read_interactions,
    write_interactions,
)
from spotify_buddies.trainer.dataset.reading.intern import Ids, SongNames
from spotify_buddies.trainer.dataset.reading.mpd import OpenedSlice, Slice, SliceReader, open_slices
from spotify_buddies.trainer.dataset.reading.own import OwnPlaylists, read_own_listens, read_own_playlists
from spotify_buddies.trainer.dataset.reading.song_names import NamedSongs, read_mismatches, read_song_names
from spotify_buddies.trainer.dataset.reading.sources import Sources
from spotify_buddies.trainer.dataset.reading.triplets_file import read_triplets

Array = npt.NDArray[Any]
Statistics = dict[str, Any]


def read_raw(
    directory: Path, sources: Sources, skipped: Skipped, progress: Progress, erased: Container[str] | None = None
) -> Statistics:
    """Read all raw files; write songs, users and playlists (.parquet) and CSR listens and tracks, as the file has them.

    erased: ids of listeners of whom nothing is written; None: nobody's.
    DataError: a malformed file that may not be skipped, or nothing left to work with.
    """
    counts: Statistics = {}
    listens, playlists = Listens(), Playlists()
    if sources.triplets is not None:
        _read_triplets(sources.triplets, listens, skipped, progress)
    given = _read_attlist(sources, listens.ids, playlists)
    named = _read_names(sources, listens.ids, counts, skipped, progress)
    # Ids first, then names, in one range of codes: no code has to be moved later.
    names = SongNames(first=len(listens.ids))
    reader = SliceReader(names)
    for opened in open_slices(sources.mpd, progress):
        _read_slice(opened, reader, playlists, counts, skipped)
    _read_own(sources, names, listens, playlists, counts, skipped, progress)
    listeners = len(listens.users)
    found = _read_interactions(sources, given, listens.users, playlists, skipped, progress, erased or ())
    removed = without(erased, listens, playlists, found) if erased is not None else None
    if removed is not None:
        listeners -= int(removed.users[:listeners].sum())
        counts |= removed.counts
    # Before anything is written: with bad files skipped there may be nothing left.
    _check(sources, listens, playlists)
    songs = SongCodes.of(len(listens.ids), len(names), removed)
    _write_songs(directory, listens.ids, named, names, songs)
    if found is not None:
        counts |= write_interactions(directory, found)
    written = _write(directory, listens, playlists, songs)
    return counts | written | {"listeners": listeners} | _describe(skipped)


def _read_triplets(path: Path, listens: Listens, skipped: Skipped, progress: Progress) -> None:
    # Of a packed file the bytes read say nothing about how far it is; 0 shows no share.
    size = path.stat().st_size if path.suffix == ".txt" else 0
    done = 0
    progress("listens", 0, size, "bytes")
    for users, songs, size_bytes in read_triplets(path, listens.users, listens.ids, skipped):
        listens.rows.append(users)
        listens.songs.append(songs)
        done += size_bytes
        progress("listens", done, size, "bytes")


def _read_attlist(sources: Sources, ids: Ids, into: Playlists) -> AttList | None:
    """Its playlists and their songs, both under their numbers; the pairs are added when all users are known."""
    if not sources.attlist:
        return None
    read = read_attlist(sources.attlist[0].parent)
    used, places = np.unique(read.songs.indices, return_inverse=True)
    codes = np.array([ids.code(str(song)) for song in used.tolist()], np.int32)
    for number in range(read.playlists):
        into.ids.code(str(number))
    into.titles += [""] * read.playlists
    into.followers += [None] * read.playlists
    into.owners += [None] * read.playlists
    into.lengths.append(read.songs.counts)
    into.songs.append(codes[places])
    return read


def _read_interactions(
    sources: Sources,
    given: AttList | None,
    users: Ids,
    playlists: Playlists,
    skipped: Skipped,
    progress: Progress,
    erased: Container[str],
) -> Interactions | None:
    """What users say of playlists; None where no file does."""
    if not sources.interactions and given is None:
        return None
    owners = [owner for owner in playlists.owners if owner]
    found = read_interactions(
        sources.interactions,
        users,
        owners,
        playlists.ids,
        skipped,
        lambda rows: progress("follows", rows, 0, "rows"),
        erased,
    )
    if given is not None:
        parts = [part for part in (given.train, given.validation, given.test) if part is not None]
        codes = np.full(given.users, -1, np.int32)
        for user in np.unique(np.concatenate([part.users for part in parts])).tolist():
            codes[user] = users.code(str(user))
        add_attlist(found, given, codes, first_playlist=0)
    return found


def _read_names(sources: Sources, ids: Ids, counts: Statistics, skipped: Skipped, progress: Progress) -> NamedSongs:
    if sources.song_names is None:
        return NamedSongs()
    progress("song names", 0, 1, "files")
    mismatches = read_mismatches(sources.mismatches, skipped) if sources.mismatches else set()
    named = read_song_names(sources.song_names, set(ids.names()), mismatches, skipped)
    progress("song names", 1, 1, "files")
    counts["song_name_lines"] = named.lines
    counts["song_names_of_a_song_that_has_one_already"] = named.again
    counts["song_names_left_out_as_known_mismatches"] = named.mismatched
    return named


def _read_slice(
    opened: OpenedSlice | DataError, reader: SliceReader, into: Playlists, counts: Statistics, skipped: Skipped
) -> None:
    if isinstance(opened, DataError):
        skipped.file(opened)
        return
    broken = skipped.files
    try:
        part = reader.read(opened, skipped)
    except DataError as error:
        skipped.file(error)
        return
    # Of a broken one there may be playlists before the place where it breaks.
    if part.ids or skipped.files == broken:
        counts["slices"] = counts.get("slices", 0) + 1
    _count(counts, "playlist_tracks_without_a_name", part.nameless_tracks)
    _count(counts, "playlists_that_came_twice", _add_slice(part, into))


def _add_slice(part: Slice, into: Playlists) -> int:
    """Add the playlists whose id is new; the number of the others."""
    # A playlist may be in two slices, where files of two downloads lie together; the first one counts.
    new = []
    for row, playlist_id in enumerate(part.ids):
        if playlist_id not in into.ids:
            into.ids.code(playlist_id)
            new.append(row)
    kept = part.only(new)
    into.titles += kept.titles
    into.followers += kept.followers
    into.owners += [None] * len(new)
    into.lengths.append(np.array(kept.lengths, np.int64))
    into.songs.append(kept.songs)
    return len(part.ids) - len(new)


def _read_own(
    sources: Sources,
    names: SongNames,
    listens: Listens,
    playlists: Playlists,
    counts: Statistics,
    skipped: Skipped,
    progress: Progress,
) -> None:
    if sources.listens is not None:
        own = read_own_listens(
            sources.listens, listens.users, names, skipped, lambda rows: progress("own listens", rows, 0, "rows")
        )
        listens.rows.append(np.array(own.users, np.int32))
        listens.songs.append(np.array(own.songs, np.int32))
        counts["own_listens_without_a_song_name"] = own.nameless
    if sources.playlists is not None:
        mine = read_own_playlists(
            sources.playlists, playlists.ids, names, skipped, lambda rows: progress("own playlists", rows, 0, "rows")
        )
        _add_own(mine, playlists)
        _count(counts, "playlist_tracks_without_a_name", mine.nameless)
        counts["own_rows_of_a_playlist_that_came_before"] = mine.rows_of_known
        counts["own_rows_that_name_another_owner"] = mine.other_owners
    if sources.exports:
        read = read_exports(sources.exports, listens.users, playlists.ids, names, skipped)
        listens.rows.append(np.array(read.users, np.int32))
        listens.songs.append(np.array(read.heard, np.int32))
        _add_own(read, playlists)
        _count(counts, "playlists_that_came_twice", read.twice)
        counts["rows_of_exports_left_out"] = dict(read.left_out)


def _add_own(own: OwnPlaylists | ReadExports, into: Playlists) -> None:
    indptr, songs = group(np.array(own.playlists, np.int32), np.array(own.songs, np.int32), len(own.ids))
    for playlist_id in own.ids:
        into.ids.code(playlist_id)
    into.titles += own.titles
    into.followers += [None] * len(own.ids)
    into.owners += [owner or None for owner in own.owners]
    into.lengths.append(np.diff(indptr))
    into.songs.append(songs)


def _check(sources: Sources, listens: Listens, playlists: Playlists) -> None:
    files = ", ".join(path.name for path in sources.named().values())
    if not len(playlists.ids):
        raise DataError(files, "", "no playlist could be read", "at least one is needed")
    if not len(listens.users) and not any(playlists.owners):
        raise DataError(files, "", "no listens, and no playlist names an owner", "add listens or owner_id")


def _write_songs(directory: Path, ids: Ids, named: NamedSongs, names: SongNames, songs: SongCodes) -> None:
    id_names = ids.names()
    names_of_ids = [named.names.get(song_id, ("", "")) for song_id in id_names]
    titles, artists = names.table()
    table = {
        "title": [name[0] for name in names_of_ids] + titles,
        "artist": [name[1] for name in names_of_ids] + artists,
        "song_id": id_names + [None] * len(titles),
    }
    schema = {"title": pl.String, "artist": pl.String, "song_id": pl.String}
    whole = pl.DataFrame(table, schema=schema)
    (whole if songs.kept is None else whole.filter(songs.kept)).write_parquet(directory / "songs.parquet")


def _write(directory: Path, listens: Listens, playlists: Playlists, songs: SongCodes) -> Statistics:
    pl.DataFrame({"user_id": listens.users.names()}, schema={"user_id": pl.String}).write_parquet(
        directory / "users.parquet"
    )
    pl.DataFrame(
        {
            "playlist_id": playlists.ids.names(),
            "title": playlists.titles,
            "followers": playlists.followers,
            "owner_id": playlists.owners,
        },
        schema={"playlist_id": pl.String, "title": pl.String, "followers": pl.Int32, "owner_id": pl.String},
    ).write_parquet(directory / "playlists.parquet")
    rows, heard = joined(listens.rows), songs.of_kept(joined(listens.songs))
    # The parts are as large as their concatenation, and grouping needs room of its own.
    listens.rows.clear()
    listens.songs.clear()
    indptr, indices = group(rows, heard, len(listens.users))
    Csr(indptr, indices, songs.count).save(directory, "listens")
    lengths = joined(playlists.lengths, np.int64)
    held = songs.of_kept(joined(playlists.songs))
    tracks = Csr(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), held, songs.count)
    tracks.save(directory, "tracks")
    return {
        "listeners": len(listens.users),
        "listens": int(rows.size),
        "songs_with_an_id": songs.with_id,
        "distinct_names_beside_them": songs.count - songs.with_id,
        "playlists": len(playlists.ids),
        "playlists_that_name_an_owner": sum(owner is not None for owner in playlists.owners),
        "playlists_without_a_track": int((lengths == 0).sum()),
        "playlist_tracks": tracks.nnz,
    }


def _describe(skipped: Skipped) -> Statistics:
    counts = {"skipped_files": skipped.files, "skipped_playlists": skipped.playlists, "skipped_lines": skipped.lines}
    return {**counts, "skipped": skipped.listed, "unread_columns": skipped.unread}


def _count(counts: Statistics, what: str, number: int) -> None:
    counts[what] = counts.get(what, 0) + number
