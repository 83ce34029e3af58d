"""M3U, XSPF, JSPF and the libraries of iTunes and Apple Music."""

from __future__ import annotations

import pytest

from spotify_buddies.trainer.dataset.errors import DataError
from spotify_buddies.trainer.dataset.reading.exports.content import song_of_file
from tests.trainer.dataset.mixed_exports import ITUNES, itunes_playlist, itunes_track
from tests.trainer.dataset.reading.exports.reading import shown

NAMELESS = "without a title or an artist"


def test_m3u_takes_the_song_from_extinf_and_else_from_the_file_name(tmp_path):
    lines = [
        "#EXTM3U",
        "#PLAYLIST:Sunday – slow",
        "#EXTINF:187,Ann - One - Live",
        "/home/ann/Music/a.mp3",
        '#EXTINF:-1 tvg-id="a,b" group="c",Bob - Two',
        "C:\\Music\\x.mp3",
        "03 Cleo - Three.flac",
        "#EXTART:Dee",
        "#EXTINF:12,Four",
        "file:///mnt/d.mp3",
        "#EXTINF:12,Nobody knows",
        "file:///music/Eva%20-%20Five.ogg",
        "# a comment",
        "../somewhere/track.mp3",
    ]
    found = shown(tmp_path / "x.m3u8", "\n".join(lines))
    songs = [("One - Live", "Ann"), ("Two", "Bob"), ("Three", "Cleo"), ("Four", "Dee"), ("Five", "Eva")]
    assert found.playlists == [("Sunday – slow", songs)]
    assert found.dropped == {NAMELESS: 1}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_m3u_is_read_in_the_encodings_that_players_write(tmp_path, encoding):
    content = "#EXTM3U\r\n#EXTINF:1,Björk - Jóga\r\nC:\\a.mp3\r\n".encode(encoding)
    assert shown(tmp_path / "mix.m3u", content).playlists == [("mix", [("Jóga", "Björk")])]


def test_m3u8_that_is_not_utf_8_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"byte 12: not UTF-8"):
        shown(tmp_path / "mix.m3u8", "#EXTINF:1,Bjö - J\nC:\\a.mp3\n".encode("cp1252"))


def test_a_list_of_pieces_of_a_stream_is_no_playlist(tmp_path):
    with pytest.raises(DataError, match="HLS"):
        shown(tmp_path / "live.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:9,\npiece1.ts\n")


def test_files_that_m3u_names_are_never_opened(tmp_path):
    secret = tmp_path / "Ann - Secret.mp3"
    secret.write_bytes(b"")
    secret.chmod(0)
    assert shown(tmp_path / "a.m3u", f"{secret}\n/dev/zero\n").playlists == [("a", [("Secret", "Ann")])]


@pytest.mark.parametrize(
    ("location", "song"),
    [
        ("/music/01 - Ann - One.mp3", ("One", "Ann")),
        ("D:\\Music\\Ann - 02 - One.mp3", ("One", "Ann")),
        ("1-03 Ann - One.m4a", ("One", "Ann")),
        ("http://host.test/a/Ann%20-%20One%3F.mp3", ("One?", "Ann")),
        ("Ann - 99 Balloons.mp3", ("99 Balloons", "Ann")),
        ("Ann – One.mp3", ("One", "Ann")),
        ("02_Ann_Lee_-_One_Two.mp3", ("One Two", "Ann Lee")),
        ("12.Ann - One.mp3", ("One", "Ann")),
        ("07 Ann - One.mp3", ("One", "Ann")),
        ("50 Pence - One.mp3", ("One", "50 Pence")),
        ("311 - One.mp3", ("One", "311")),
        ("track.mp3", ("track", "")),
        ("", ("", "")),
    ],
)
def test_a_file_name_says_artist_and_title(location, song):
    assert song_of_file(location) == song


XSPF = '<?xml version="1.0" encoding="{encoding}"?>\n{doctype}<playlist version="1" xmlns="http://xspf.org/ns/0/">{body}</playlist>'


def xspf(body: str, doctype: str = "", encoding: str = "UTF-8") -> bytes:
    return XSPF.format(body=body, doctype=doctype, encoding=encoding).encode(encoding)


def test_xspf_takes_title_and_creator_and_else_the_file_name(tmp_path):
    tracks = (
        "<track><location>file:///a.mp3</location><title>One &amp; <![CDATA[<Two>]]></title><creator>Ann</creator>"
        "<extension application='x'><title>no</title></extension></track>\n"
        "<track><location>file:///Bob%20-%20Three.mp3</location><location>file:///x.mp3</location></track>\n"
        "<track><title>Only a title</title></track>"
    )
    body = f"<title>Späti</title><creator>me</creator><trackList>{tracks}</trackList>"
    found = shown(tmp_path / "a.xspf", xspf(body))
    assert found.playlists == [("Späti", [("One & <Two>", "Ann"), ("Three", "Bob")])]
    assert found.dropped == {NAMELESS: 1}
    assert shown(tmp_path / "b.xspf", xspf(body, encoding="ISO-8859-1")).playlists == found.playlists


def test_an_empty_xspf_playlist_is_one(tmp_path):
    assert shown(tmp_path / "mix.xspf", xspf("<trackList/>")).playlists == [("mix", [])]


BOMB = '<!DOCTYPE playlist [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>\n'
FILE = '<!DOCTYPE playlist [<!ENTITY a SYSTEM "file:///etc/passwd">]>\n'


@pytest.mark.parametrize("doctype", [BOMB, FILE])
@pytest.mark.parametrize(("name", "root"), [("a.xspf", "playlist"), ("a.xml", "plist")])
def test_xml_with_entities_is_refused(tmp_path, doctype, name, root):
    content = f"{doctype}<{root}><title>&a;</title></{root}>".encode()
    if root == "plist":
        content = content.replace(b"DOCTYPE playlist", b"DOCTYPE plist")
    with pytest.raises(DataError, match="entities are declared"):
        shown(tmp_path / name, content)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "broken XML"),
        (xspf("<trackList>").replace(b"</playlist>", b""), "broken XML"),
        (b"<html></html>", "not XSPF: it begins with <html>"),
        (xspf("<a>" * 100), "nested too deeply"),
        (xspf("").replace(b"UTF-8", b"UTF-c"), "unknown encoding"),
        (xspf("").replace(b"UTF-8", b"big5"), "multi-byte encodings are not supported"),
        (xspf("<title>" + "a" * (1 << 21) + "</title>"), "more than 1 MiB"),
    ],
)
def test_broken_xml_names_the_line(tmp_path, content, problem):
    with pytest.raises(DataError) as caught:
        shown(tmp_path / "a.xspf", content)
    assert problem in str(caught.value)
    assert "a.xspf: line " in str(caught.value)


def test_xml_that_breaks_off_keeps_what_came_before_where_that_is_allowed(tmp_path):
    body = "<trackList><track><title>One</title><creator>Ann</creator></track><track>"
    content = xspf(body).replace(b"</playlist>", b"")
    found = shown(tmp_path / "a.xspf", content, skip=True)
    assert found.playlists == [("a", [("One", "Ann")])]
    assert len(found.bad) == 1


@pytest.mark.parametrize("name", ["a.jspf", "someone.json"])
def test_jspf_is_xspf_in_json(tmp_path, name):
    track = [{"title": "One", "creator": "Ann"}, {"location": ["file:///Bob%20-%20Two.mp3"]}, {"title": "x"}]
    found = shown(tmp_path / name, {"playlist": {"title": "Mix", "track": track}})
    assert (found.format, found.playlists) == ("JSPF", [("Mix", [("One", "Ann"), ("Two", "Bob")])])
    assert found.dropped == {NAMELESS: 1}


def test_jspf_without_a_playlist_is_refused(tmp_path):
    with pytest.raises(DataError, match="no playlist with a list of tracks"):
        shown(tmp_path / "a.jspf", {"playlist": {"track": 3}})


def test_itunes_gives_what_was_played_and_the_playlists_that_people_made(tmp_path):
    tracks = [
        itunes_track(1, "One &amp; Two", "Ann", plays=3),
        itunes_track(2, "Never", "Ann", plays=0),
        itunes_track(3, "Talk", "Host", plays=9, more="<key>Podcast</key><true/>"),
        "<key>4</key><dict><key>Track ID</key><integer>4</integer><key>Name</key><string>No artist</string>"
        "<key>Play Count</key><integer>1</integer></dict>",
    ]
    playlists = [
        itunes_playlist("Run", [1, 2, 3, 77]),
        itunes_playlist("Run", [], more="<key>Smart Info</key><data>AQEAAw==</data>"),
        itunes_playlist("Music", [1], more="<key>Distinguished Kind</key><integer>4</integer>"),
        itunes_playlist("Folder", [1], more="<key>Folder</key><true/>"),
    ]
    content = ITUNES.format(tracks="\n".join(tracks), playlists="\n".join(playlists))
    found = shown(tmp_path / "iTunes Music Library.xml", content)
    assert found.heard == [("One & Two", "Ann")]
    assert found.playlists == [("Run", [("One & Two", "Ann"), ("Never", "Ann")]), ("Run", [])]
    assert found.dropped == {
        "never played": 1,
        "podcasts, audiobooks and films": 2,
        NAMELESS: 1,
        "tracks that the library does not hold": 1,
    }


def test_a_property_list_without_a_library_holds_nothing(tmp_path):
    found = shown(tmp_path / "a.xml", "<plist><array><string>x</string></array><key>y</key></plist>")
    assert (found.heard, found.playlists) == ([], [])
