"""What a bundle's writer computes of the other arrays, and bundles that lack it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.trainer.bundle import BundleError, open_bundle, write_bundle
from spotify_buddies.trainer.bundle.derived import SONGS, TAGS, genre_of, message_sizes, messages_of, novelty_of
from spotify_buddies.trainer.bundle.manifest import describe_files, read_manifest

# Titles whose length is a varint of one, two and three bytes; none; and letters of several bytes.
TITLES = ["Rain", "x" * 127, "y" * 128, "é" * 9_000, ""]


@pytest.fixture
def named(bundle_parts):
    count = len(TITLES)
    return replace(
        bundle_parts,
        playlist_titles=TITLES,
        playlist_ids=[f"p{row}" for row in range(count)],
        owner=np.array([0, -1, 1, 2, -1], np.int32),
        playlist_factors=np.ones((count, 2), np.float32),
        sketches=np.zeros((count, 64), np.uint8),
        candidates=Csr.from_rows([[0, 1], [1], []], count),
        owned=Csr.from_rows([[0], [2], [3]], count),
        genre_popular=replace(bundle_parts.genre_popular, columns=count),
        playlist_songs=Csr.from_rows([[0, 2], [], [1], [0, 1, 2, 3], [3]], 4),
    )


def test_messages_are_what_protobuf_writes(named, tmp_path):
    bundle = write_bundle(tmp_path / "bundle", named)
    assert bundle.playlist_messages is not None
    for row, owner in enumerate(bundle.owner.tolist()):
        wanted = pb.RecommendedPlaylist(
            playlist_id=f"p{row}", title=TITLES[row], owner_id=bundle.user_ids.table[owner] if owner >= 0 else ""
        )
        assert bundle.playlist_messages.raw(row) == wanted.SerializeToString()
    assert message_sizes(bundle).tolist() == np.diff(messages_of(bundle).offsets).tolist()


def test_tags_are_the_protos():
    fields = pb.RecommendedPlaylist.DESCRIPTOR.fields_by_name
    assert tuple(fields[name].number << 3 | 2 for name in ("playlist_id", "title", "owner_id")) == TAGS


def test_a_playlist_of_songs_that_nobody_knows_is_the_newest():
    """Of four users: songs with 3, 1 and 0 listeners hold 0, 1 and 2 bits more than the best known."""
    songs = Csr.from_rows([[0], [1], [0, 2], []], 3)
    assert novelty_of(songs, np.array([3, 1, 0], np.int32), 3).tolist() == [0, 1, 1, 0]


def test_the_genre_is_that_of_most_songs_and_the_lower_of_two():
    songs = Csr.from_rows([[0, 1, 2], [0, 1], [3], []], 4)
    assert genre_of(songs, np.array([1, 0, 1, -1], np.int16), 2).tolist() == [1, 0, -1, -1]
    assert genre_of(songs, np.full(4, -1, np.int16), 0).tolist() == [-1, -1, -1, -1]


def test_of_a_long_playlist_songs_are_looked_at_evenly_spread():
    """Twice as many songs as are looked at: every second one counts, and those between are of another genre."""
    count = 2 * SONGS
    genres = np.arange(count, dtype=np.int16) % 2
    assert genre_of(Csr.from_rows([np.arange(count)], count), genres, 2).tolist() == [0]


def test_nothing_is_derived_from_nothing(bundle_parts, tmp_path):
    bundle = write_bundle(tmp_path / "bundle", bundle_parts)
    assert bundle.playlist_novelty is None
    assert bundle.playlist_genre is None
    assert bundle.playlist_messages is not None


@pytest.mark.parametrize(
    ("file", "value", "said"),
    [
        ("playlist_novelty", np.array([0, 0, 2, 0, 0], np.float32), r"entry 2 is 2.0, outside 0\.\.1"),
        ("playlist_genre", np.array([0, 0, 0, 0, 2], np.int16), r"entry 4 is 2, outside -1\.\.1"),
        ("playlist_messages.bytes", np.zeros(3, np.uint8), r"uint8 \(3,\), not uint8"),
        ("playlist_messages.offsets", np.zeros(6, np.int64), "entry 1 is 0, which does not fit the texts"),
        ("playlist_messages.offsets", np.zeros(2, np.int64), r"int64 \(2,\), not int64 \(6,\)"),
    ],
)
def test_what_does_not_follow_is_refused_by_its_file(named, tmp_path, file, value, said):
    directory = write_bundle(tmp_path / "bundle", named).directory
    np.save(directory / f"{file}.npy", value)
    replace(read_manifest(directory), files=describe_files(directory)).write(directory)
    with pytest.raises(BundleError, match=rf"{file}\.npy: .*{said}"):
        open_bundle(directory)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.zeros((5, 8), np.int64), "playlist_song_bits are int64, not uint64"),
        (np.zeros((5, 4), np.uint64), r"playlist_song_bits has shape \(5, 4\), the manifest says \(5, 8\)"),
    ],
)
def test_bits_of_songs_of_another_form_are_refused(named, tmp_path, value, said):
    directory = write_bundle(tmp_path / "bundle", named).directory
    np.save(directory / "playlist_song_bits.npy", value)
    replace(read_manifest(directory), files=describe_files(directory)).write(directory)
    with pytest.raises(BundleError, match=said):
        open_bundle(directory)
