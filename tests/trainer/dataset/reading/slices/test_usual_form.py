"""Slices of the usual form: read as bytes, with the result of a parser, and never where a parser would refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spotify_buddies.trainer.dataset.errors import Skipped
from spotify_buddies.trainer.dataset.reading import mpd
from spotify_buddies.trainer.dataset.reading.intern import SongNames
from spotify_buddies.trainer.dataset.reading.mpd import OpenedSlice, Slice, SliceReader
from spotify_buddies.trainer.dataset.reading.slices.spellings import cut_playlists

# Few names, so that they come again, in several spellings; 7 to 9 and 16 bytes: around whole words.
NAMES = st.sampled_from(
    [
        "",
        " ",
        "a",
        "A ",
        "é",
        "e\u0301",
        'q"',
        "b\\",
        "\n",
        "\x1f",
        "\0x",
        "\u2028",
        "😀",
        "abcdefg",
        "abcdefgh",
        "abcdefghi",
    ]
) | st.text(max_size=20)
FIELDS = {"track_name": NAMES | st.none(), "artist_name": NAMES | st.none(), "pos": st.integers(0, 9)}
TRACKS = st.fixed_dictionaries(
    {}, optional={**FIELDS, "album": st.lists(NAMES | st.booleans() | st.none(), max_size=2)}
)
PLAYLISTS = st.fixed_dictionaries(
    {"pid": st.integers(-9, 999) | st.sampled_from(["7", "own", "8.0", 9.5]), "tracks": st.lists(TRACKS, max_size=4)},
    optional={
        "name": NAMES | st.none() | st.integers(0, 2**40),
        "num_followers": st.integers(-1, 2**33) | NAMES,
        "x": FIELDS["pos"],
    },
)
SLICES = st.fixed_dictionaries({"playlists": st.lists(PLAYLISTS, max_size=4)}, optional={"info": TRACKS})
# As the slices are published, as synthetic data write them, and as other programs may.
FORMS: list[dict[str, Any]] = [
    {"indent": 4, "separators": (", ", ": ")},
    {"separators": (",", ":"), "ensure_ascii": False},
    {"indent": "\t", "ensure_ascii": False},
    {},
]


def read(
    contents: list[bytes], monkeypatch: pytest.MonkeyPatch | None = None
) -> tuple[list[Slice], SongNames, Skipped]:
    """The slices one after the other; with a monkeypatch by the parser alone."""
    names, skipped = SongNames(first=3), Skipped(allowed=True)
    reader = SliceReader(names)
    slices = [
        reader.read(
            OpenedSlice(Path("x.json"), content, None, None if monkeypatch else cut_playlists(content)), skipped
        )
        for content in contents
    ]
    return slices, names, skipped


def shown(found: tuple[list[Slice], SongNames, Skipped]) -> list[object]:
    slices, names, skipped = found
    parts = [(s.ids, s.titles, s.followers, s.lengths, s.songs.tolist(), s.nameless_tracks) for s in slices]
    return [*parts, names.table(), (skipped.playlists, skipped.listed)]


@settings(max_examples=300, deadline=None)
@given(slices=st.lists(SLICES, max_size=3), form=st.sampled_from(FORMS))
def test_slices_have_the_codes_that_the_parser_gives_them(slices, form):
    contents = [json.dumps(item, **form).encode() for item in slices]
    with pytest.MonkeyPatch.context() as patch:
        assert shown(read(contents)) == shown(read(contents, patch))
    for content in (content for content, item in zip(contents, slices, strict=True) if _is_named(item)):
        assert cut_playlists(content) is not None


def _is_named(item: dict[str, Any]) -> bool:
    """Whether every track has its two names, as in the usual form: there is room for no shorter ones."""
    tracks = [track for playlist in item["playlists"] for track in playlist["tracks"]]
    return all({"track_name", "artist_name"} <= track.keys() for track in tracks)


@settings(max_examples=500, deadline=None)
@given(
    item=SLICES,
    form=st.sampled_from(FORMS),
    at=st.floats(0, 1),
    gone=st.integers(0, 3),
    put=st.sampled_from(
        [*(bytes([value]) for value in b'"\\{}[],:0-.eu \n\x00\x1f\x7f\x80\xc3\xed\xf4\xff'), b"", b"\\ud800"]
    ),
)
def test_what_the_parser_refuses_is_not_taken(item, form, at, gone, put):
    content = json.dumps(item, **form).encode()
    place = int(at * len(content))
    content = content[:place] + put + content[place + gone :]
    if cut_playlists(content) is None:
        return
    orjson.loads(content)
    with pytest.MonkeyPatch.context() as patch:
        assert shown(read([content])) == shown(read([content], patch))


def usual(title: bytes = b'"a"', more: bytes = b"", pid: bytes = b"1") -> bytes:
    return b'{"playlists":[{"pid":%s,"tracks":[{"track_name":%s,"artist_name":"b"%s}]}]}' % (pid, title, more)


@pytest.mark.parametrize(
    "value",
    [
        b'"\\ud83d\\ude00"',
        b'"\\u0041\\/\\b"',
        b'"\xf4\x8f\xbf\xbf"',
        b'"\xed\x9f\xbf"',
        b'"' + b"x" * 4_095 + b'"',
        b"null",
    ],
)
def test_odd_names_of_the_usual_form_are_taken(value):
    assert cut_playlists(usual(value)) is not None


@pytest.mark.parametrize(
    "value",
    [
        b'"\\ud83d"',
        b'"\\ud83d\\u0041"',
        b'"\\ude00"',
        b'"\\u004g"',
        b'"\\x"',
        b'"\x1f"',
        b'"\xc0\x80"',
        b'"\xed\xa0\x80"',
        b'"\xf4\x90\x80\x80"',
        b'"\xe0\x80\x80"',
        b'"\xc3"',
        b'"' + b"x" * 4_096 + b'"',
        b"7",
        b"[]",
        b"nul",
        b'"',
    ],
)
def test_names_that_only_the_parser_may_judge_are_not(value):
    assert cut_playlists(usual(value)) is None


@pytest.mark.parametrize(
    "value", [b"0", b"-0", b"-12.50", b"1" * 17, b"true", b"[[],{}]", b'{"a":[{"b":[]},1]}', b"[" * 60 + b"]" * 60]
)
def test_other_values_of_json_are_passed_over(value):
    assert cut_playlists(usual(more=b',"x": ' + value)) is not None


@pytest.mark.parametrize(
    "value",
    [
        b"01",
        b"-",
        b"1.",
        b".5",
        b"+1",
        b"1e5",
        b"1" * 18,
        b"NaN",
        b"True",
        b"[1,]",
        b"[1 2]",
        b'{"a"}',
        b'{"a":1,}',
        b"{1:2}",
        b"[}",
        b"{]",
        b"",
        b"[" * 61 + b"]" * 61,
    ],
)
def test_what_is_no_value_or_an_odd_one_is_not(value):
    assert cut_playlists(usual(more=b',"x": ' + value)) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"playlists":{}}',
        b'{"playlists":[7]}',
        b'{"playlists":[{"pid":1}]}',
        b'{"playlists":[{"tracks":[]}]}',
        b'{"playlists":[],"playlists":[]}',
        b'{"playlists":[{"pid":1,"tracks":[],"tracks":[]}]}',
        b'{"playlists":[],}',
        b'{"playlists":[]} {}',
        b'{"playlists":[]',
        b'{"playlist\\u0073":[]}',
        b'{"playlists":[{"pid":1,"tracks":[5]}]}',
        b'{"playlists":[{"pid":1,"tracks":[' + b",".join([b"{}"] * 999) + b"]}]}",
    ],
)
def test_other_forms_are_left_to_the_parser(content):
    assert cut_playlists(content) is None


def test_the_last_of_two_values_counts(monkeypatch):
    content = usual(more=b',"track_name":"c","artist_name":null,"artist_name":"d"')
    assert cut_playlists(content) is not None
    assert read([content])[1].table() == (["c"], ["d"])
    assert shown(read([content])) == shown(read([content], monkeypatch))


def test_names_found_after_the_table_has_grown_are_those_found_before():
    names = [f"title {i % 5_000}" for i in range(20_000)]
    contents = [
        json.dumps(
            {"playlists": [{"pid": 1, "tracks": [{"track_name": n, "artist_name": "a"} for n in part]}]}
        ).encode()
        for part in (names[:3], names[:6_000], names)
    ]
    slices, table, _ = read(contents)
    assert [part.songs.tolist() for part in slices] == [
        [3 + i % 5_000 for i in range(size)] for size in (3, 6_000, 20_000)
    ]
    assert table.table()[0] == names[:5_000]


def test_a_playlist_without_an_id_leaves_the_slice_to_the_parser(tmp_path):
    path = tmp_path / "mpd.slice.0-1.json"
    path.write_bytes(usual(pid=b"null"))
    opened = mpd.open_slice(path)
    assert opened.cut is not None
    skipped = Skipped(allowed=True)
    assert SliceReader(SongNames()).read(opened, skipped).ids == []
    assert skipped.playlists == 1
