"""Exports of Spotify, Exportify, Last.fm and ListenBrainz."""

from __future__ import annotations

import json

import pytest

from spotify_buddies.trainer.dataset.errors import DataError
from tests.trainer.dataset.mixed_exports import MINUTE_MS, listenbrainz, play, spotify_track, stream
from tests.trainer.dataset.reading.exports.reading import shown

NAMELESS, SHORT, SPOKEN = "without a title or an artist", "played for less than 30 s", "podcasts and audiobooks"


@pytest.mark.parametrize("name", ["StreamingHistory_music_0.json", "StreamingHistory0.json"])
def test_a_play_of_30_s_is_a_listen_and_a_shorter_one_is_counted(tmp_path, name):
    content = [play("Ünë", "Björk 東京", 30_000), play("Two", "B", 29_999), play("Three", None)]
    found = shown(tmp_path / name, content)
    assert found.heard == [("Ünë", "Björk 東京")]
    assert found.dropped == {SHORT: 1, NAMELESS: 1}
    assert not found.playlists


def test_podcasts_of_account_data_are_counted(tmp_path):
    content = [{"endTime": "2024-03-01 18:05", "podcastName": "A Show", "episodeName": "One", "msPlayed": MINUTE_MS}]
    assert shown(tmp_path / "StreamingHistory_podcast_0.json", content).dropped == {SPOKEN: 1}


@pytest.mark.parametrize("name", ["Streaming_History_Audio_2023-2024_3.json", "endsong_0.json"])
def test_extended_history_gives_songs_and_counts_podcasts_and_short_plays(tmp_path, name):
    content = [stream("One", "A"), stream(None, None, episode="Talk"), stream("Two", "A", 1), stream(None, None)]
    found = shown(tmp_path / name, content)
    assert found.heard == [("One", "A")]
    assert found.dropped == {SPOKEN: 1, SHORT: 1, NAMELESS: 1}


def test_saved_songs_are_heard_and_saved_shows_are_not(tmp_path):
    content = {"tracks": [{"artist": "A", "album": "L", "track": "One", "uri": "u"}], "shows": [{"name": "S"}]}
    found = shown(tmp_path / "YourLibrary.json", content)
    assert (found.heard, found.dropped, found.playlists) == ([("One", "A")], {SPOKEN: 1}, [])


def test_playlists_of_one_name_stay_apart_and_keep_their_order(tmp_path):
    local = {"track": None, "episode": None, "localTrack": {"uri": "spotify:local:A+B:Album:My%20Song:187"}}
    episode = {"track": None, "episode": {"episodeName": "Talk"}, "localTrack": None}
    items = [spotify_track("One", "A"), local, episode, {"track": None}]
    content = {"playlists": [{"name": "Mix", "items": items}, {"name": "Mix", "items": []}, {"name": "Mix (2)"}]}
    found = shown(tmp_path / "Playlist1.json", content)
    assert found.playlists == [("Mix", [("One", "A"), ("My Song", "A B")]), ("Mix", []), ("Mix (2)", [])]
    assert found.ids == ["Playlist1.json/Mix", "Playlist1.json/Mix (2)", "Playlist1.json/Mix (2) (2)"]
    assert found.dropped == {SPOKEN: 1, NAMELESS: 1}


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("StreamingHistory_music_0.json", "", "byte 0: the file is empty"),
        ("StreamingHistory_music_0.json", '[{"trackName": "One",', "line 1, column 22: broken JSON"),
        ("StreamingHistory_music_0.json", {"trackName": "One"}, "no JSON list"),
        ("StreamingHistory_music_0.json", b"[\xff]", "byte 1: not UTF-8 text"),
        ("StreamingHistory_music_0.json", ["text"], "item 1: no JSON object"),
        ("StreamingHistory_music_0.json", [play(5, "A")], "item 1: the title is no text"),
        ("StreamingHistory_music_0.json", "[" * 100_000, "broken JSON"),
        ("YourLibrary.json", {"songs": []}, "no list of tracks"),
        ("Playlist1.json", {"playlists": "none"}, "no list of playlists"),
    ],
)
def test_a_broken_export_names_the_file_and_the_place(tmp_path, name, content, problem):
    with pytest.raises(DataError) as caught:
        shown(tmp_path / name, content)
    assert problem in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)


def test_malformed_rows_may_be_skipped(tmp_path):
    found = shown(tmp_path / "StreamingHistory_music_0.json", [play("One", "A"), 3, play("Two", ["A"])], skip=True)
    assert found.heard == [("One", "A")]
    assert found.bad == [
        "StreamingHistory_music_0.json: item 2: no JSON object where a row should stand",
        "StreamingHistory_music_0.json: item 3: the artist is no text",
    ]


@pytest.mark.parametrize(
    "header",
    [
        "Track URI,Track Name,Artist URI(s),Artist Name(s),Album URI,Added At",
        "Spotify ID,Track Name,Artist IDs,Artist Name(s),Album Name,Added At",
        "Spotify URI,Track Name,Disc Number,Artist Name,Album Name,Added At",
        '"Track URI","Track Name","Album Name","Artist Name(s)","Release Date","Duration (ms)"',
    ],
)
def test_exportify_is_known_by_its_columns_old_and_new(tmp_path, header):
    found = shown(tmp_path / "road_trip.csv", f'\ufeff{header}\r\nspotify:track:1,"One, Two",x,Äin,z,2024\r\n')
    assert found.format == "Exportify"
    assert found.playlists == [("road trip", [("One, Two", "Äin")])]
    assert found.ids == ["road_trip.csv"]


@pytest.mark.parametrize(
    ("artists", "ids", "album_artists", "first"),
    [
        ("Ann;Bob", "", "", "Ann"),
        ("Ann,Bob", "1,2", "", "Ann"),
        ("Ann, Bob", "1, 2", "", "Ann"),
        ("Wind, Rain & Snow", "1", "", "Wind, Rain & Snow"),
        ("Wind, Rain & Snow", "", "", "Wind, Rain & Snow"),
        ("Kim, The Maker", "", "", "Kim, The Maker"),
        ("Kim, The Maker, Bob", "1,2", "Kim, The Maker", "Kim, The Maker"),
        ("Kim, The Maker,Bob", "1,2", "", "Kim, The Maker"),
        ("", "", "", None),
    ],
)
def test_of_several_artists_the_first_counts_and_a_comma_may_belong_to_a_name(
    tmp_path, artists, ids, album_artists, first
):
    header = "Track URI,Track Name,Artist URI(s),Artist Name(s),Album Artist Name(s)"
    found = shown(tmp_path / "a.csv", f'{header}\nspotify:track:1,One,"{ids}","{artists}","{album_artists}"\n')
    assert found.playlists == [("a", [("One", first)] if first else [])]


def test_an_exportify_row_of_another_width_is_malformed_and_an_episode_is_counted(tmp_path):
    rows = (
        "Track URI,Track Name,Artist Name(s)\nspotify:episode:1,Talk,Show\nspotify:track:2,One\nspotify:track:3,Two,A\n"
    )
    found = shown(tmp_path / "a.csv", rows, skip=True)
    assert found.playlists == [("a", [("Two", "A")])]
    assert (found.dropped, found.bad) == ({SPOKEN: 1}, ["a.csv: line 3: 2 fields where the header has 3"])


def test_an_exportify_file_with_a_broken_quote_keeps_what_came_before_it(tmp_path):
    rows = 'Track URI,Track Name,Artist Name(s)\nt,One,A\nt,"Two,A\n'
    with pytest.raises(DataError, match=r"line 3: broken CSV"):
        shown(tmp_path / "a.csv", rows)
    assert shown(tmp_path / "a.csv", rows, skip=True).playlists == [("a", [("One", "A")])]


@pytest.mark.parametrize(
    "content",
    [
        'Björk,"An, Album",One,01 Mar 2024 18:05\nA,,Two,\n',
        '"uts","utc_time","artist","artist_mbid","album","album_mbid","track","track_mbid"\n'
        '"1709312711","01 Mar 2024, 17:05","Björk","","An, Album","","One",""\n"1","","A","","","","Two",""\n',
        "Artist,Album,Title,Date\nBjörk,L,One,2024-03-01\nA,L,Two,\n",
    ],
)
def test_lastfm_is_known_without_a_header_and_with_one(tmp_path, content):
    found = shown(tmp_path / "someone.csv", content)
    assert found.format == "Last.fm CSV"
    assert found.heard == [("One", "Björk"), ("Two", "A")]


def test_a_lastfm_row_of_another_width_is_malformed(tmp_path):
    content = "A,L,One,01 Mar 2024 18:05\nA,L,One\nA,L,,01 Mar 2024 18:05\n"
    found = shown(tmp_path / "someone.csv", content, skip=True)
    assert (found.heard, found.dropped) == ([("One", "A")], {NAMELESS: 1})
    assert found.bad == ["someone.csv: line 2: 3 fields where 4 should stand"]


def test_listenbrainz_is_read_as_a_list_and_as_lines(tmp_path):
    listens = [listenbrainz("One", "A"), listenbrainz("Two", None)]
    as_list = shown(tmp_path / "someone_lb-2024-03-01.json", listens)
    as_lines = shown(tmp_path / "3.jsonl", "\n".join(map(json.dumps, listens)) + "\n\n")
    assert as_list.heard == as_lines.heard == [("One", "A")]
    assert as_list.dropped == as_lines.dropped == {NAMELESS: 1}


def test_an_empty_month_is_no_mistake_and_a_broken_line_is_one(tmp_path):
    assert shown(tmp_path / "1.jsonl", "").heard == []
    content = json.dumps(listenbrainz("One", "A")) + '\n{"track_metadata"\n{"listened_at": 1}\n[]\n'
    found = shown(tmp_path / "2.jsonl", content, skip=True)
    assert found.heard == [("One", "A")]
    assert [bad.split(" (")[0] for bad in found.bad] == [
        "2.jsonl: line 2: broken JSON",
        "2.jsonl: line 3: no track_metadata",
        "2.jsonl: line 4: no JSON object where a row should stand",
    ]
