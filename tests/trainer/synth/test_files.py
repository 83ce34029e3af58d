"""The files of a synthetic data set: names, fields and ids of real ones, clean and dirty, and whole after any run."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import orjson

from spotify_buddies.trainer.synth.write import MARKER, synthesise
from tests.trainer.synth.written import LISTS, SONGS, USERS, Written


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
