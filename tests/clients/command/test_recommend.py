"""`buddies recommend` as a process."""

import json
from pathlib import Path

import pytest

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from tests.clients.buddies_process import called
from tests.clients.grpc_server import serving
from tests.clients.python.answers import ANSWER


def test_recommend_prints_titles_owners_and_reasons(tmp_path: Path) -> None:
    with serving(Recommend=lambda request, context: ANSWER) as address:
        table = called("recommend", "ada", "--address", address, cwd=tmp_path)
        script = called("recommend", "ada", "--address", address, "--json", cwd=tmp_path)
    assert table.returncode == 0
    for word in ("Rainy", "bob", "why", "cold_neighbours", "version 7", "r1"):
        assert word in table.stdout
    assert json.loads(script.stdout)[0]["playlists"][0]["title"] == "Rainy"


def test_in_a_pipe_each_playlist_is_a_line_under_the_headers(tmp_path: Path) -> None:
    with serving(Recommend=lambda request, context: ANSWER) as address:
        lines = called("recommend", "ada", "--address", address, cwd=tmp_path, COLUMNS="30").stdout.splitlines()
    (headers,) = [number for number, line in enumerate(lines) if line.split()[:2] == ["#", "title"]]
    assert headers == 1, "the title with the user comes first"
    assert lines[headers].split() == ["#", "title", "playlist", "owner", "score", "reason"]
    assert lines[headers + 1].split()[:2] == ["1", "Rainy"]
    assert "why" in lines[headers + 1]


def test_names_of_playlists_are_printed_as_they_are(tmp_path: Path) -> None:
    answer = pb.RecommendResponse()
    answer.CopyFrom(ANSWER)
    answer.recommendations[0].playlists[0].title = "[chill] :fire: [/b]"
    with serving(Recommend=lambda request, context: answer) as address:
        result = called("recommend", "ada", "--address", address, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "[chill] :fire: [/b]" in result.stdout


def test_recommend_sends_songs_as_a_taste(tmp_path: Path) -> None:
    seen: list[pb.RecommendRequest] = []

    def answer(request: pb.RecommendRequest, context: object) -> pb.RecommendResponse:
        seen.append(request)
        return ANSWER

    (tmp_path / "songs.txt").write_text("Song - With Dash - Artist\n\n")
    with serving(Recommend=answer) as address:
        result = called(
            "recommend", "--song", "Wild - Cat", "--songs-file", "songs.txt", "--address", address, cwd=tmp_path
        )
    assert result.returncode == 0
    names = [(song.name.title, song.name.artist) for song in seen[0].tastes[0].songs]
    assert names == [("Wild", "Cat"), ("Song - With Dash", "Artist")]


@pytest.mark.parametrize("arguments", [(), ("--song", "no dash")])
def test_recommend_without_a_listener_is_wrong_usage(arguments: tuple[str, ...], tmp_path: Path) -> None:
    assert called("recommend", *arguments, cwd=tmp_path).returncode == 2


@pytest.mark.parametrize(
    ("text", "songs"),
    [
        ("\ufeffTune 1 - Band 1\nTune 3 - Band 3\n", [("Tune 1", "Band 1"), ("Tune 3", "Band 3")]),
        ("\ufeffTune 1 - Band 1", [("Tune 1", "Band 1")]),
        ("Tune\u20281\x0bx\x85y - Band 1\r\n\r\nB - C\r\n", [("Tune\u20281\x0bx\x85y", "Band 1"), ("B", "C")]),
    ],
)
def test_a_file_of_songs_is_read_as_editors_write_it(text: str, songs: list[tuple[str, str]], tmp_path: Path) -> None:
    (tmp_path / "songs.txt").write_bytes(text.encode())
    asked: list[pb.RecommendRequest] = []

    def answer(request: pb.RecommendRequest, context: object) -> pb.RecommendResponse:
        asked.append(request)
        return ANSWER

    with serving(Recommend=answer) as address:
        result = called("recommend", "--songs-file", "songs.txt", "--json", "--address", address, cwd=tmp_path)
    assert result.returncode == 0
    ((taste,),) = [request.tastes for request in asked]
    assert [(song.name.title, song.name.artist) for song in taste.songs] == songs


def test_a_counterfactual_is_asked_for_and_its_songs_are_printed(tmp_path: Path) -> None:
    seen: list[pb.RecommendRequest] = []

    def answer(request: pb.RecommendRequest, context: object) -> pb.RecommendResponse:
        seen.append(request)
        songs = [pb.KnownSong(title="Roads", artist="Portishead")]
        found = pb.Counterfactual(outcome=pb.COUNTERFACTUAL_OUTCOME_FOUND, songs=songs)
        playlist = pb.RecommendedPlaylist(playlist_id="p", title="Rain", counterfactual=found)
        return pb.RecommendResponse(recommendations=[pb.Recommendation(user_id="ada", playlists=[playlist])])

    with serving(Recommend=answer) as address:
        for arguments in (("--counterfactual",), ("--counterfactual", "--max-songs", "7"), ()):
            result = called("recommend", "ada", *arguments, "--address", address, cwd=tmp_path)
            assert result.returncode == 0, result.stderr
            assert "#1 would not be in the list without Roads - Portishead" in result.stdout
    assert [r.HasField("counterfactual") for r in seen] == [True, True, False]
    assert [r.counterfactual.max_songs for r in seen] == [0, 7, 0]
    assert called("recommend", "ada", "--max-songs", "7", cwd=tmp_path).returncode == 2
