"""Spotify's account data: StreamingHistory_music_*.json, YourLibrary.json and Playlist*.json; and its extended history.

The latter is Streaming_History_Audio_*.json, or endsong_*.json in older exports.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

from spotify_buddies.trainer.dataset.errors import SKIP, DataError
from spotify_buddies.trainer.dataset.reading.exports.collect import Collector
from spotify_buddies.trainer.dataset.reading.exports.content import json_list, json_of

_SHORT_MS = 30_000  # Spotify itself counts a stream from 30 s on
_SHORT = "played for less than 30 s"
_PODCAST = "podcasts and audiobooks"
_LOCAL = "spotify:local:"
_SPOKEN_KEYS = ("podcastName", "episodeName", "audiobookName", "chapterName")
_TITLE, _ARTIST = "master_metadata_track_name", "master_metadata_album_artist_name"
_SPOKEN = ("episode_name", "spotify_episode_uri", "audiobook_title", "audiobook_uri")


def read_history(path: Path, rows: Collector) -> None:
    """A list of {"endTime", "artistName", "trackName", "msPlayed"}, one entry per play.

    Podcasts have files of the same kind, with other keys. In exports of before 2023 they look like songs.
    """
    for number, value in enumerate(json_list(path), 1):
        where = f"item {number:,}"
        entry = rows.item(where, value)
        if entry is None:
            continue
        if "trackName" not in entry and any(key in entry for key in _SPOKEN_KEYS):
            rows.drop(where, _PODCAST)
        elif _is_short(entry.get("msPlayed")):
            rows.drop(where, _SHORT)
        else:
            rows.listen(where, entry.get("trackName"), entry.get("artistName"))


def read_extended(path: Path, rows: Collector) -> None:
    """A list of {"ts", "ms_played", "master_metadata_track_name", "master_metadata_album_artist_name", ..}."""
    for number, value in enumerate(json_list(path), 1):
        where = f"item {number:,}"
        entry = rows.item(where, value)
        if entry is None:
            continue
        if not entry.get(_TITLE) and any(entry.get(key) for key in _SPOKEN):
            rows.drop(where, _PODCAST)
        elif _is_short(entry.get("ms_played")):
            rows.drop(where, _SHORT)
        else:
            rows.listen(where, entry.get(_TITLE), entry.get(_ARTIST))


def _is_short(played_ms: object) -> bool:
    """Whether a play was too short to be a listen; one of unknown length was not."""
    return isinstance(played_ms, int | float) and played_ms < _SHORT_MS


def read_library(path: Path, rows: Collector) -> None:
    """{"tracks": [{"artist", "album", "track", "uri"}], "shows": [...], ...}: a song that was saved was heard."""
    content = json_of(path)
    tracks = content.get("tracks") if isinstance(content, dict) else None
    if not isinstance(tracks, list):
        raise DataError(str(path), "field 'tracks'", "not a Spotify library: no list of tracks", SKIP)
    for number, value in enumerate(tracks, 1):
        where = f"tracks, item {number:,}"
        track = rows.item(where, value)
        if track is not None:
            rows.listen(where, track.get("track"), track.get("artist"))
    for kind in ("shows", "episodes"):
        shows = content.get(kind)
        for number, _ in enumerate(shows if isinstance(shows, list) else [], 1):
            rows.drop(f"{kind}, item {number:,}", _PODCAST)


def read_playlists(path: Path, rows: Collector) -> None:
    """{"playlists": [{"name", "items": [{"track": {"trackName", "artistName", ..}, "episode", "localTrack"}]}]}."""
    content = json_of(path)
    playlists = content.get("playlists") if isinstance(content, dict) else None
    if not isinstance(playlists, list):
        raise DataError(str(path), "field 'playlists'", "not Spotify playlists: no list of playlists", SKIP)
    for number, value in enumerate(playlists, 1):
        where = f"playlist {number:,}"
        playlist = rows.item(where, value)
        if playlist is None:
            continue
        name, items = playlist.get("name"), playlist.get("items")
        rows.playlist(name if isinstance(name, str) else "")
        if not isinstance(items, list | None):
            rows.malformed(where, "its items are no list")
            continue
        for place, item in enumerate(items or [], 1):
            _read_item(f"{where}, item {place:,}", item, rows)


def _read_item(where: str, value: object, rows: Collector) -> None:
    item = rows.item(where, value)
    if item is None:
        return
    track: Any = item.get("track")
    if isinstance(track, dict):
        rows.track(where, track.get("trackName"), track.get("artistName"))
    elif item.get("episode") or item.get("audiobook"):
        rows.drop(where, _PODCAST)
    else:
        rows.track(where, *_local_song(item.get("localTrack")))


def _local_song(local: object) -> tuple[str | None, str | None]:
    """Title and artist of a file of the user's own: spotify:local:Artist:Album:Title:seconds, in URL encoding."""
    uri = local.get("uri") if isinstance(local, dict) else local
    if not isinstance(uri, str) or not uri.startswith(_LOCAL):
        return None, None
    parts = [unquote_plus(part) for part in uri.removeprefix(_LOCAL).split(":")]
    return (parts[2], parts[0]) if len(parts) >= 3 else (None, None)
