"""Which files of a folder are exports, and whose."""

from __future__ import annotations

import pytest

from spotify_buddies.foundation.text.ids import is_id
from spotify_buddies.trainer.dataset.errors import DataError
from spotify_buddies.trainer.dataset.reading.sources import find_sources, scan
from tests.trainer.dataset.mixed_exports import play, write
from tests.trainer.dataset.reading.exports.reading import shown

M3U = "Ann - One.mp3\n"
HISTORY = "StreamingHistory_music_0.json"


def users(root, user=None):
    return {export.name: export.user for export in find_sources(root, user).exports}


def test_the_first_folder_is_the_user(tmp_path):
    write(tmp_path / "ana" / "deep" / "er" / "a.m3u", M3U)
    write(tmp_path / "Zoë" / HISTORY, [play("One", "A")])
    write(tmp_path / "1984" / "b.m3u", M3U + M3U)
    assert users(tmp_path) == {"ana/deep/er/a.m3u": "ana", f"Zoë/{HISTORY}": "Zoë", "1984/b.m3u": "1984"}


def test_a_name_given_is_that_of_all(tmp_path):
    write(tmp_path / "Rock" / "a.m3u", M3U)
    write(tmp_path / "b.m3u", "")
    assert users(tmp_path, "me") == {"Rock/a.m3u": "me", "b.m3u": "me"}


@pytest.mark.parametrize(
    "name", ["a.m3u", "Spotify Account Data/StreamingHistory0.json", "listens/2024/3.jsonl", "2024/3.jsonl"]
)
def test_a_folder_that_a_service_made_names_nobody(tmp_path, name):
    write(tmp_path / name, "[]")
    with pytest.raises(DataError, match=r"but of whom\?; put it into a folder that is called as the user, or .*--user"):
        find_sources(tmp_path)


def test_a_folder_whose_name_is_no_id_is_refused(tmp_path):
    write(tmp_path / ("a" * 129) / "a.m3u", M3U)
    with pytest.raises(DataError, match=r"the user's id 'a+' is 129 bytes"):
        find_sources(tmp_path)


def test_other_files_are_named_with_the_reason(tmp_path):
    write(tmp_path / "ana" / "a.m3u", M3U)
    write(tmp_path / "ana" / "a (1).m3u", M3U)
    write(tmp_path / "ben" / "a.m3u", M3U)
    for name in (
        "listens2.csv",
        "notes.txt",
        "my_data.zip",
        "ana/Userdata.json",
        "ana/x.json",
        ".hidden",
        "__MACOSX/y",
    ):
        write(tmp_path / name, "" if name == "ana/x.json" else "text")
    sources, problems = scan(tmp_path)
    assert not problems
    assert [export.name for export in sources.exports] == ["ana/a.m3u", "ben/a.m3u"]
    assert {one.name: one.why for one in sources.unread} == {
        "ana/a (1).m3u": "the same content as ana/a.m3u",
        "ana/Userdata.json": "a part of an export that holds no listens and no playlists",
        "ana/x.json": "empty",
        "listens2.csv": "no known format; is it meant as listens? known names are in docs/your-own-data.md",
        "my_data.zip": "packed; unpack it first",
        "notes.txt": "no known format",
    }


def test_no_link_leads_to_an_export_out_of_the_folder(tmp_path):
    inside = tmp_path / "data" / "ana"
    write(inside / "real.m3u", M3U)
    write(tmp_path / "outside" / "b.m3u", M3U)
    (inside / "file.m3u").symlink_to(tmp_path / "outside" / "b.m3u")
    (inside / "folder").symlink_to(tmp_path / "outside")
    (inside / "again.m3u").symlink_to(inside / "real.m3u")
    sources, _ = scan(tmp_path / "data")
    assert [export.name for export in sources.exports] == ["ana/real.m3u"]
    assert {one.name: one.why.split(";")[0] for one in sources.unread} == {
        "ana/file.m3u": "a link that leads out of the folder",
        "ana/folder/b.m3u": "a link that leads out of the folder",
        "ana/again.m3u": "the same content as ana/real.m3u",
    }


def test_private_parts_of_an_export_are_not_opened(tmp_path):
    write(tmp_path / "ana" / "a.m3u", M3U)
    write(tmp_path / "ana" / "Payments.json", '{"playlist": 1, "track": 2}').chmod(0)
    assert [one.name for one in find_sources(tmp_path).unread] == ["ana/Payments.json"]


def test_a_directory_of_parts_is_one_source(tmp_path):
    (tmp_path / "playlists.parquet").mkdir()
    write(tmp_path / "playlists.parquet" / "part-0.parquet", b"x")
    write(tmp_path / "playlists.parquet" / "_SUCCESS", b"")
    sources, _ = scan(tmp_path)
    assert sources.playlists == tmp_path / "playlists.parquet"
    assert not sources.unread


def test_ids_of_playlists_are_ids_whatever_the_names_and_stay_the_same(tmp_path):
    titles = ["x" * 200, "a\nb", "", "é", "e\u0301"]
    content = {"playlists": [{"name": title, "items": []} for title in titles]}
    first = shown(tmp_path / "Playlist1.json", content).ids
    assert all(map(is_id, first))
    assert len(set(first)) == len(titles)
    assert shown(tmp_path / "Playlist1.json").ids == first
    assert shown(tmp_path / f"{'ü' * 80}.m3u", M3U).ids[0].startswith("playlist-")
