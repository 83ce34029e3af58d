"""A folder of exports of made-up people, each file in the shape that its service writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MINUTE_MS = 60_000


def write(path: Path, content: str | bytes | list[Any] | dict[str, Any]) -> Path:
    """Write a file and the folders above it; lists and dictionaries as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content, indent=2), encoding="utf-8")
    return path


def play(title: str | None, artist: str | None, ms: int = MINUTE_MS) -> dict[str, Any]:
    """An entry of Spotify's account data."""
    return {"endTime": "2024-03-01 18:05", "artistName": artist, "trackName": title, "msPlayed": ms}


def stream(title: str | None, artist: str | None, ms: int = MINUTE_MS, episode: str | None = None) -> dict[str, Any]:
    """An entry of Spotify's extended streaming history."""
    return {
        "ts": "2024-03-01T18:05:11Z",
        "platform": "android",
        "ms_played": ms,
        "conn_country": "DE",
        "ip_addr": "203.0.113.7",
        "master_metadata_track_name": title,
        "master_metadata_album_artist_name": artist,
        "master_metadata_album_album_name": "An Album" if title else None,
        "spotify_track_uri": "spotify:track:0000000000000000000001" if title else None,
        "episode_name": episode,
        "episode_show_name": "A Show" if episode else None,
        "spotify_episode_uri": "spotify:episode:0000000000000000000002" if episode else None,
        "reason_start": "trackdone",
        "reason_end": "trackdone",
        "shuffle": False,
        "skipped": False,
        "offline": False,
        "offline_timestamp": None,
        "incognito_mode": False,
    }


def spotify_track(title: str, artist: str) -> dict[str, Any]:
    """An item of one of Spotify's playlists."""
    track = {"trackName": title, "artistName": artist, "albumName": "An Album", "trackUri": "spotify:track:1"}
    return {"track": track, "episode": None, "audiobook": None, "localTrack": None, "addedDate": "2024-01-02"}


def listenbrainz(title: Any, artist: Any) -> dict[str, Any]:
    """A listen of ListenBrainz."""
    metadata = {"track_name": title, "artist_name": artist, "release_name": "An Album", "additional_info": {}}
    return {"listened_at": 1_709_312_711, "track_metadata": metadata, "inserted_at": 1_709_312_799}


def song(number: int) -> tuple[str, str]:
    """A made-up song."""
    return f"Tune {number}", f"Singer {number % 7}"


ITUNES = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple Computer//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
	<key>Major Version</key><integer>1</integer>
	<key>Application Version</key><string>12.9.5.5</string>
	<key>Tracks</key>
	<dict>
{tracks}
	</dict>
	<key>Playlists</key>
	<array>
		<dict>
			<key>Name</key><string>Library</string>
			<key>Master</key><true/>
			<key>Playlist Items</key>
			<array><dict><key>Track ID</key><integer>1</integer></dict></array>
		</dict>
{playlists}
	</array>
	<key>Music Folder</key><string>file:///Users/someone/Music/</string>
</dict>
</plist>
"""


def itunes_track(number: int, title: str, artist: str, plays: int, more: str = "") -> str:
    """A track of an iTunes library."""
    count = f"<key>Play Count</key><integer>{plays}</integer>" if plays else ""
    return (
        f"<key>{number}</key>\n<dict><key>Track ID</key><integer>{number}</integer>\n"
        f"<key>Name</key><string>{title}</string><key>Artist</key><string>{artist}</string>{count}{more}</dict>"
    )


def itunes_playlist(title: str, numbers: list[int], more: str = "") -> str:
    """A playlist of an iTunes library."""
    items = "".join(f"<dict><key>Track ID</key><integer>{number}</integer></dict>\n" for number in numbers)
    return f"<dict><key>Name</key><string>{title}</string>{more}<key>Playlist Items</key><array>{items}</array></dict>"


def mixed_exports(root: Path) -> Path:
    """Five people, each with exports of another service, about songs that all of them share."""
    _spotify_users(root)
    _open_users(root)
    _player_users(root)
    write(root / "listens2.csv", "user_id,title,artist\nx,Tune 1,Singer 1\n")
    write(root / "notes.txt", "to do")
    return root


def _spotify_users(root: Path) -> None:
    ana = root / "ana" / "Spotify Account Data"
    plays = [play(*song(n)) for n in range(20)]
    write(ana / "StreamingHistory_music_0.json", [*plays, play("Tune 3", "Singer 3", ms=4_000), play("", "Singer 3")])
    spoken = {"endTime": "2024-03-01 18:05", "podcastName": "A Show", "episodeName": "One", "msPlayed": 10 * MINUTE_MS}
    write(ana / "StreamingHistory_podcast_0.json", [spoken])
    write(ana / "Userdata.json", {"username": "ana"})
    saved = [{"artist": song(n)[1], "album": "A", "track": song(n)[0], "uri": "u"} for n in range(18, 24)]
    write(ana / "YourLibrary.json", {"tracks": saved, "albums": [], "shows": [{"name": "A Show"}], "episodes": []})
    items = [spotify_track(*song(n)) for n in range(5, 15)]
    items.append({"track": None, "episode": {"episodeName": "One"}, "localTrack": None, "addedDate": "2024-01-02"})
    lists = [{"name": "Morning", "items": items}, {"name": "Morning", "items": items[:4]}]
    write(ana / "Playlist1.json", {"playlists": lists})
    ben = root / "ben" / "Spotify Extended Streaming History"
    streams = [stream(*song(n)) for n in range(8, 30)]
    spoken = [stream(None, None, episode="One"), stream(*song(8), ms=29_999)]
    write(ben / "Streaming_History_Audio_2023-2024_0.json", [*streams, *spoken])
    write(ben / "Streaming_History_Video_2023.json", [])
    header = "Track URI,Track Name,Artist URI(s),Artist Name(s),Album Name,Added At\n"
    tracks = [f'spotify:track:{n},"{song(n)[0]}",a,"{song(n)[1]}",An Album,2024-01-02' for n in range(10, 22)]
    write(root / "ben" / "long_drive.csv", header + "\n".join(tracks) + "\n")


def _open_users(root: Path) -> None:
    scrobbles = [f'"{song(n)[1]}","An Album","{song(n)[0]}","01 Mar 2024 18:05"' for n in range(12, 30)]
    write(root / "cem" / "cem.csv", "\n".join(scrobbles) + "\n")
    tracks = [{"title": song(n)[0], "creator": song(n)[1], "identifier": ["https://x.test/1"]} for n in range(3, 12)]
    write(root / "cem" / "weekly.jspf", {"playlist": {"title": "Weekly", "creator": "cem", "track": tracks}})
    lines = [json.dumps(listenbrainz(*song(n))) for n in range(1, 17)]
    write(root / "dora" / "listens" / "2024" / "3.jsonl", "\n".join(lines) + "\n")
    write(root / "dora" / "feedback.jsonl", '{"score": 1}\n')
    write(root / "dora" / "user.json", {"user_id": 1, "username": "dora"})
    tracks = "".join(
        f"<track><title>{song(n)[0]}</title><creator>{song(n)[1]}</creator></track>\n" for n in range(20, 28)
    )
    write(
        root / "dora" / "späti.xspf",
        '<?xml version="1.0" encoding="UTF-8"?>\n<playlist version="1" xmlns="http://xspf.org/ns/0/">\n'
        f"<title>Späti &amp; more</title>\n<trackList>\n{tracks}</trackList></playlist>\n",
    )


def _player_users(root: Path) -> None:
    eve = [itunes_track(n + 1, *song(n), plays=n % 5) for n in range(25)]
    lists = itunes_playlist("Running", list(range(3, 12)))
    write(root / "eve" / "Library.xml", ITUNES.format(tracks="\n".join(eve), playlists=lists))
    m3u = "#EXTM3U\n" + "".join(
        f"#EXTINF:123,{song(n)[1]} - {song(n)[0]}\nC:\\Music\\{song(n)[1]} - {song(n)[0]}.mp3\n" for n in range(14, 26)
    )
    write(root / "eve" / "party.m3u8", m3u)
    write(root / "eve" / "party copy.m3u8", m3u)
