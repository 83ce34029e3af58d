"""The examples of docs/your-own-data.md are read by the formats that they are examples of."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from spotify_buddies.trainer.dataset.reading.exports.formats import FORMATS
from spotify_buddies.trainer.dataset.validation.validate import validate

PAGE = Path(__file__).parents[2] / "docs" / "your-own-data.md"

# By section, the file name of each example and what it is recognised as.
EXAMPLES = {
    "Spotify, account data": [
        ("StreamingHistory_music_0.json", "Spotify's account data, listens"),
        ("YourLibrary.json", "Spotify's account data, saved songs"),
        ("Playlist1.json", "Spotify's account data, playlists"),
    ],
    "Spotify, extended streaming history": [
        ("Streaming_History_Audio_2023-2024_0.json", "Spotify's extended streaming history")
    ],
    "Exportify": [("long_drive.csv", "Exportify")],
    "Last.fm": [("ana.csv", "Last.fm CSV"), ("scrobbles.csv", "Last.fm CSV")],
    "ListenBrainz": [("listens/2024/3.jsonl", "ListenBrainz, listens of a month")],
    "M3U": [("morning.m3u8", "M3U")],
    "XSPF and JSPF": [("a.xspf", "XSPF"), ("a.jspf", "JSPF")],
    "iTunes and Apple Music": [("Library.xml", "iTunes or Apple Music library")],
    "Tables": [("listens.csv", "your own listens"), ("playlists.csv", "your own playlists")],
}


def examples(section: str) -> list[str]:
    text = re.split(rf"\n##+ {re.escape(section)}\n", PAGE.read_text(encoding="utf-8"))[1]
    return re.findall(r"```\w*\n(.*?)```", re.split(r"\n##+ ", text)[0], re.DOTALL)


@pytest.mark.parametrize("section", EXAMPLES)
def test_examples_are_read(section: str, tmp_path: Path) -> None:
    contents = examples(section)
    assert len(contents) == len(EXAMPLES[section])
    for (name, title), content in zip(EXAMPLES[section], contents, strict=True):
        path = tmp_path / "ana" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        (checked,) = validate(path, matching="full").files
        assert (checked.format, checked.problem, checked.left_out) == (title, "", ())
        assert checked.used


def test_every_format_has_an_example() -> None:
    shown = {title for files in EXAMPLES.values() for _, title in files}
    # The older shape of ListenBrainz holds the same listens.
    assert {kind.title for kind in FORMATS} - shown == {"ListenBrainz, listens"}
