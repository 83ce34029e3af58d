from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.stages.stage import hash_file
from spotify_buddies.pairing.neighbours.nearest import nearest_users
from spotify_buddies.trainer.synth.catalogue import LISTENS, PLAYLISTS, Catalogue, make_catalogue, make_names
from spotify_buddies.trainer.synth.draws import LIBRARIES, TRACKLISTS, RowKind, draw_blocks
from spotify_buddies.trainer.synth.quantiles import LIBRARY, PLAYLIST
from spotify_buddies.trainer.synth.words import TITLE_COUNT, artist_names, song_title
from spotify_buddies.trainer.synth.write import MARKER, PRESETS, SynthError, SynthSummary, synthesise

USERS, LISTS, SONGS = 1_500, 1_200, 12_000


@dataclass(frozen=True)
class Written:
    folder: Path
    summary: SynthSummary
    playlists: list[dict[str, Any]]
    lines: list[tuple[str, str, int]]
    names: dict[str, tuple[str, str]]

    @property
    def libraries(self) -> dict[str, list[str]]:
        """Song ids by user id, in file order."""
        found: dict[str, list[str]] = {}
        for user, song, _ in self.lines:
            found.setdefault(user, []).append(song)
        return found


def read(folder: Path, summary: SynthSummary) -> Written:
    slices = sorted((folder / "mpd").iterdir(), key=lambda path: int(path.name.split(".")[2].split("-")[0]))
    playlists = [playlist for path in slices for playlist in orjson.loads(path.read_bytes())["playlists"]]
    triplets = (folder / "taste_profile" / "train_triplets.txt").read_text("utf-8").splitlines()
    lines = [(user, song, int(plays)) for user, song, plays in (line.split("\t") for line in triplets)]
    names = {}
    for line in (folder / "taste_profile" / "unique_tracks.txt").read_text("utf-8").split("\n")[:-1]:
        _, song, artist, title = line.split("<SEP>")
        names[song] = (title, artist)
    return Written(folder, summary, playlists, lines, names)


@pytest.fixture(scope="module")
def dirty(tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("dirty")
    return read(folder, synthesise(folder, users=USERS, playlists=LISTS, songs=SONGS, seed=7))


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("clean")
    return read(folder, synthesise(folder, users=USERS, playlists=LISTS, songs=SONGS, seed=7, dirt=False))


def digests(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): hash_file(p) for p in sorted(folder.rglob("*")) if p.is_file()}


def test_slices_have_the_names_and_the_fields_of_real_ones(dirty: Written):
    assert sorted(path.name for path in (dirty.folder / "mpd").iterdir()) == [
        "mpd.slice.0-999.json",
        "mpd.slice.1000-1999.json",
    ]
    body = orjson.loads((dirty.folder / "mpd" / "mpd.slice.1000-1999.json").read_bytes())
    assert body["info"] == {"generated_on": "2017-12-03 08:41:42.057563", "slice": "1000-1999", "version": "v1"}
    for playlist in dirty.playlists:
        assert playlist["collaborative"] in ("true", "false")
        assert playlist["num_tracks"] == len(playlist["tracks"])
        assert playlist["num_followers"] >= 1
        assert playlist["modified_at"] % 86_400 == 0
        assert [track["pos"] for track in playlist["tracks"]] == list(range(len(playlist["tracks"])))
    track = dirty.playlists[0]["tracks"][0]
    assert set(track) == {
        *("pos", "artist_name", "track_uri", "artist_uri", "track_name", "album_uri", "duration_ms", "album_name")
    }
    assert re.fullmatch(r"spotify:track:[0-9A-Za-z]{22}", track["track_uri"])


def test_playlists_are_numbered_and_as_many_as_asked_for(dirty: Written):
    assert [playlist["pid"] for playlist in dirty.playlists] == list(range(LISTS))
    assert dirty.summary.tracks == sum(len(playlist["tracks"]) for playlist in dirty.playlists)


def test_triplets_have_the_ids_of_real_ones(dirty: Written):
    assert len(dirty.libraries) == USERS
    assert dirty.summary.lines == len(dirty.lines)
    assert all(re.fullmatch(r"[0-9a-f]{40}", user) for user in dirty.libraries)
    assert all(re.fullmatch(r"SO[A-Z]{5}12[0-9A-F]{9}", song) for _, song, _ in dirty.lines[:2_000])
    assert min(plays for _, _, plays in dirty.lines) == 1


def test_summary_counts_the_bytes_on_disk(dirty: Written):
    paths = [path for path in dirty.folder.rglob("*") if path.is_file() and path.name != MARKER]
    assert dirty.summary.bytes == sum(path.stat().st_size for path in paths)


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


def test_clean_data_has_no_duplicates_and_no_empty_names(clean: Written):
    assert len(set(clean.lines)) == len({(user, song) for user, song, _ in clean.lines}) == len(clean.lines)
    for playlist in clean.playlists:
        assert playlist["name"] == playlist["name"].strip() != ""
        uris = [track["track_uri"] for track in playlist["tracks"]]
        assert len(set(uris)) == len(uris)
    assert {song for _, song, _ in clean.lines} <= set(clean.names)
    assert all(title == title.strip() != "" for title, _ in clean.names.values())


def test_dirt_has_every_kind_of_dirt(dirty: Written):
    pairs = [(user, song) for user, song, _ in dirty.lines]
    assert len(set(pairs)) < len(pairs), "a line twice"
    titles = [playlist["name"] for playlist in dirty.playlists]
    assert any(title == "" for title in titles)
    assert any(title != title.strip() for title in titles)
    assert any(not title.isascii() for title in titles)
    assert any(len({t["track_uri"] for t in p["tracks"]}) < p["num_tracks"] for p in dirty.playlists), "a track twice"
    tracks = [track["track_name"] for playlist in dirty.playlists for track in playlist["tracks"]]
    assert any(name == "" for name in tracks)
    assert any(name.isupper() for name in tracks)
    assert any(name != name.strip() for name in tracks)
    heard = {song for _, song, _ in dirty.lines}
    assert 0 < len(heard - set(dirty.names)) < len(heard) / 20, "songs without a name"
    assert any(title == "" for title, _ in dirty.names.values())


def test_songs_are_known_on_one_side_or_on_both(clean: Written):
    heard = {(title, artist) for title, artist in clean.names.values()}
    listed = {(t["track_name"], t["artist_name"]) for p in clean.playlists for t in p["tracks"]}
    assert len(heard & listed) > 0.3 * len(listed)
    assert len(heard - listed) > 0.05 * len(heard)
    assert len(listed - heard) > 0.05 * len(listed)
    world = make_catalogue(SONGS, 7)
    assert clean.summary.shared == int((world.sides == LISTENS | PLAYLISTS).sum())


def test_mismatches_name_songs_of_the_listening_data(dirty: Written):
    lines = (dirty.folder / "taste_profile" / "sid_mismatches.txt").read_text("utf-8").splitlines()
    assert 1 <= len(lines) < 20
    for line in lines:
        assert re.fullmatch(r"ERROR: <SO[A-Z]{5}\w{11} TR\w{16}> .+ - .+  !=  .+ - .+", line)


def test_csv_names_hold_the_songs_of_unique_tracks(clean: Written, tmp_path: Path):
    synthesise(tmp_path, users=USERS, playlists=0, songs=SONGS, seed=7, dirt=False, names="csv")
    with (tmp_path / "taste_profile" / "song_data.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["song_id", "title", "release", "artist_name", "year"]
    assert {row["song_id"]: (row["title"], row["artist_name"]) for row in rows} == clean.names
    triplets = "taste_profile/train_triplets.txt"
    assert (tmp_path / triplets).read_bytes() == (clean.folder / triplets).read_bytes()


def test_the_same_seed_writes_the_same_bytes(dirty: Written, tmp_path: Path):
    synthesise(tmp_path, users=USERS, playlists=LISTS, songs=SONGS, seed=7)
    assert digests(tmp_path) == digests(dirty.folder)


def test_another_seed_writes_other_songs_for_every_user(dirty: Written, tmp_path: Path):
    synthesise(tmp_path, users=USERS, playlists=LISTS, songs=SONGS, seed=8)
    other, first = digests(tmp_path), digests(dirty.folder)
    assert all(other[name] != first[name] for name in first)


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


def test_more_users_begin_with_the_same_users(tmp_path: Path):
    few, many = tmp_path / "few", tmp_path / "many"
    synthesise(few, users=5_000, playlists=0, songs=3_000, dirt=False)
    synthesise(many, users=9_000, playlists=0, songs=3_000, dirt=False)
    a, b = ((folder / "taste_profile" / "train_triplets.txt").read_bytes() for folder in (few, many))
    first_block = a[: a.index(b"\n", len(a) // 2)]
    assert b.startswith(first_block)


@pytest.mark.parametrize(("users", "playlists"), [(0, 0), (1, 0), (0, 1), (3, 1_001)])
def test_any_number_of_users_and_playlists_can_be_written(users: int, playlists: int, tmp_path: Path):
    summary = synthesise(tmp_path, users=users, playlists=playlists, songs=100)
    written = read(tmp_path, summary)
    assert len(written.libraries) == users
    assert len(written.playlists) == playlists


def test_the_tiny_preset_is_small_and_songs_default_to_the_real_ratio(tmp_path: Path):
    tiny = PRESETS["tiny"]
    summary = synthesise(tmp_path / "tiny", users=tiny.users, playlists=tiny.playlists, songs=tiny.songs)
    assert (summary.users, summary.playlists, summary.songs) == (200, 300, 1_500)
    assert summary.bytes < 10_000_000
    assert synthesise(tmp_path / "default", users=10, playlists=2_000).songs == pytest.approx(31_000, rel=0.02)


def test_a_finished_folder_is_left_as_it_is(tmp_path: Path):
    first = synthesise(tmp_path, users=20, playlists=20, songs=500)
    triplets = tmp_path / "taste_profile" / "train_triplets.txt"
    before = triplets.stat().st_mtime_ns
    assert synthesise(tmp_path, users=20, playlists=20, songs=500) == first
    assert triplets.stat().st_mtime_ns == before


def test_a_finished_folder_that_lost_a_file_is_written_again(tmp_path: Path):
    synthesise(tmp_path, users=20, playlists=20, songs=500)
    whole = digests(tmp_path)
    (tmp_path / "taste_profile" / "unique_tracks.txt").unlink()
    synthesise(tmp_path, users=20, playlists=20, songs=500)
    assert digests(tmp_path) == whole


def test_a_smaller_set_leaves_no_slice_of_a_larger_one(tmp_path: Path):
    synthesise(tmp_path, users=20, playlists=1_500, songs=500)
    synthesise(tmp_path, users=20, playlists=10, songs=500)
    assert [path.name for path in (tmp_path / "mpd").iterdir()] == ["mpd.slice.0-999.json"]


def test_an_interrupted_run_ends_with_the_same_files(tmp_path: Path):
    def interrupt(what: str, done: int, total: int, unit: str = "items") -> None:
        if what == "write triplets":
            raise KeyboardInterrupt

    arguments = {"users": 50, "playlists": 50, "songs": 500}
    with pytest.raises(KeyboardInterrupt):
        synthesise(tmp_path / "broken", **arguments, progress=interrupt)
    synthesise(tmp_path / "broken", **arguments)
    synthesise(tmp_path / "whole", **arguments)
    assert digests(tmp_path / "broken") == digests(tmp_path / "whole")


def test_a_folder_with_other_files_is_refused_and_untouched(tmp_path: Path):
    (tmp_path / "mpd").mkdir()
    mine = tmp_path / "mpd" / "mpd.slice.0-999.json"
    mine.write_text("real")
    with pytest.raises(SynthError, match="not a synthetic data set"):
        synthesise(tmp_path, users=1, playlists=1, songs=100)
    assert mine.read_text() == "real"


@pytest.mark.parametrize("sizes", [{"users": -1}, {"playlists": -1}, {"songs": 99}])
def test_sizes_that_make_no_world_are_refused(sizes: dict[str, int], tmp_path: Path):
    with pytest.raises(SynthError, match="at least"):
        synthesise(tmp_path, **{"users": 1, "playlists": 1, "songs": 100, **sizes})
    assert not list(tmp_path.iterdir())


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
