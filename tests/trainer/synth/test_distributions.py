"""Sizes, popularity and taste of synthetic data beside the published figures of the real data."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.pairing.neighbours.nearest import nearest_users
from spotify_buddies.trainer.synth.catalogue import LISTENS, PLAYLISTS, Catalogue, make_catalogue, make_names
from spotify_buddies.trainer.synth.draws import LIBRARIES, TRACKLISTS, RowKind, draw_blocks
from spotify_buddies.trainer.synth.quantiles import LIBRARY, PLAYLIST
from spotify_buddies.trainer.synth.words import TITLE_COUNT, artist_names, song_title
from spotify_buddies.trainer.synth.write import PRESETS
from tests.trainer.synth.written import SONGS, Written


def test_library_sizes_meet_the_published_quantiles(clean: Written):
    sizes = [len(songs) for songs in clean.libraries.values()]
    assert min(sizes) >= 7
    points = np.percentile(sizes, (25, 50, 75))
    assert points == pytest.approx((16, 27, 56), rel=0.12)
    assert np.mean(sizes) == pytest.approx(47.57, rel=0.12)
    assert 200 < np.percentile(sizes, 99) < 380


def test_playlist_lengths_meet_the_published_quantiles(clean: Written):
    sizes = [playlist["num_tracks"] for playlist in clean.playlists]
    assert min(sizes) >= 5
    assert max(sizes) <= 376
    assert np.percentile(sizes, (25, 50, 75)) == pytest.approx((26, 49, 92), rel=0.12)
    assert np.mean(sizes) == pytest.approx(66.35, rel=0.1)


def test_quantile_functions_have_the_published_mean_and_ends():
    even = (np.arange(1_000_000) + 0.5) / 1e6
    assert LIBRARY.at(even).mean() == pytest.approx(47.57, rel=0.01)
    assert PLAYLIST.at(even).mean() == pytest.approx(66.35, rel=0.01)
    assert LIBRARY.at(np.array([0.0, 0.5, 0.99, 1.0])).tolist() == [7, 27, 285, 4_399]


def test_a_few_songs_have_most_of_the_listens(clean: Written):
    counts = np.sort(list(Counter(song for _, song, _ in clean.lines).values()))[::-1]
    share = counts[: SONGS // 100].sum() / counts.sum()
    assert 0.05 < share < 0.4, "the top 1 % of songs"
    # Zipf: frequency falls with rank like a power near -1 over the middle of the range.
    ranks = np.arange(1, counts.size + 1)[20:2_000]
    slope = np.polyfit(np.log(ranks), np.log(counts[20:2_000]), 1)[0]
    assert -1.2 < slope < -0.3


def test_songs_are_known_on_one_side_or_on_both(clean: Written):
    heard = {(title, artist) for title, artist in clean.names.values()}
    listed = {(t["track_name"], t["artist_name"]) for p in clean.playlists for t in p["tracks"]}
    assert len(heard & listed) > 0.3 * len(listed)
    assert len(heard - listed) > 0.05 * len(heard)
    assert len(listed - heard) > 0.05 * len(listed)
    world = make_catalogue(SONGS, 7)
    assert clean.summary.shared == int((world.sides == LISTENS | PLAYLISTS).sum())


def test_neighbours_share_a_genre_three_times_as_often_as_random_pairs():
    world = make_catalogue(SONGS, 3)
    genre_of = world.genre_of()
    blocks = list(draw_blocks(world, LIBRARIES, 800, 3))
    rows = [np.sort(b.songs[b.indptr[r] : b.indptr[r + 1]]) for b in blocks for r in range(b.rows)]
    main = np.array([np.bincount(genre_of[songs]).argmax() for songs in rows])
    near = nearest_users(Csr.from_rows(rows, world.size), 5, block_users=1_000)
    asker = np.repeat(np.arange(near.rows), near.counts)
    neighbours = (main[asker] == main[near.indices]).mean()
    shares = np.bincount(main) / main.size
    random_pairs = (shares**2).sum()
    assert neighbours > 0.6
    assert neighbours > 2.5 * random_pairs


def test_a_playlist_keeps_closer_to_a_genre_than_a_library():
    world = make_catalogue(SONGS, 3)
    genre_of = world.genre_of()

    def purity(kind: Any) -> float:
        block = next(draw_blocks(world, kind, 500, 3))
        rows = [block.songs[block.indptr[r] : block.indptr[r + 1]] for r in range(block.rows)]
        return float(np.mean([np.bincount(genre_of[songs]).max() / songs.size for songs in rows]))

    assert purity(TRACKLISTS) > purity(LIBRARIES) + 0.05


def test_names_never_meet():
    assert len(set(artist_names(50_000))) == 50_000
    assert len({song_title(number).lower() for number in range(TITLE_COUNT)}) == TITLE_COUNT
    world = make_catalogue(20_000, 1)
    names = make_names(world, 1)
    pairs = {(title.lower(), int(artist)) for title, artist in zip(names.titles, world.artist_of, strict=True)}
    assert len(pairs) == len(set(names.song_ids)) == len(set(names.track_ids)) == len(set(names.uris)) == 20_000


def drawn(world: Catalogue, kind: RowKind, count: int) -> Csr:
    blocks = list(draw_blocks(world, kind, count, 42))
    lengths = np.concatenate([np.diff(block.indptr) for block in blocks])
    indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    return Csr(indptr, np.concatenate([block.songs for block in blocks]), world.size)


def test_the_full_world_has_the_counts_of_the_real_data():
    """120 k shared songs; a listener shares a song with 22.4 k of 946,000 playlists, 13 k at the median."""
    full = PRESETS["million"]
    world = make_catalogue(full.songs, 42)
    heard, listed = (int((world.sides & side > 0).sum()) for side in (LISTENS, PLAYLISTS))
    assert heard == pytest.approx(384_000, rel=0.02)
    assert listed == pytest.approx(2_130_000, rel=0.02)
    assert heard + listed - full.songs == pytest.approx(120_000, rel=0.03)  # no song is unknown to both
    libraries, lists = (drawn(world, kind, count) for kind, count in ((LIBRARIES, 2_000), (TRACKLISTS, 9_460)))
    scored = np.diff((libraries.to_scipy() @ lists.transpose().to_scipy()).tocsr().indptr) * (full.playlists / 9_460)
    assert scored.mean() == pytest.approx(22_400, rel=0.15)
    assert np.median(scored) == pytest.approx(13_300, rel=0.15)


@pytest.mark.parametrize("name", ["tenth", "hundredth"])
def test_smaller_presets_are_parts_of_the_full_one_with_fewer_songs(name: str):
    part, full = PRESETS[name], PRESETS["million"]
    scale = {"tenth": 10, "hundredth": 100}[name]
    assert part.users == pytest.approx(full.users / scale, rel=0.001)
    assert part.playlists == full.playlists / scale
    assert full.songs / scale < part.songs < full.songs / scale**0.7
