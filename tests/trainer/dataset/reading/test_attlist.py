"""AttList's text files: what is read, and what an error names."""

from __future__ import annotations

from pathlib import Path

import pytest

from spotify_buddies.trainer.dataset.errors import DataError
from spotify_buddies.trainer.dataset.reading.attlist import read_attlist, read_pairs, read_songs

REAL = Path(__file__).parents[5] / "shared" / "data" / "attlist"


def write(directory: Path, **files: str) -> Path:
    """A split of two users and three playlists; files: other content, by the name before .txt."""
    content = {
        "train": "1\t0\t1.0\n0\t2\t1.0\n0\t0\t1.0\n",
        "validation": "1\t2\t1.0\n",
        "listItem_spotify": "1\t[7]\n0\t[5, 3, 5]\n",
        **files,
    }
    for name, text in content.items():
        (directory / f"{name}.txt").write_text(text, newline="")
    return directory


def fault(directory: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_attlist(directory)
    return str(caught.value)


def test_pairs_become_rows_and_songs_keep_their_order(tmp_path: Path) -> None:
    found = read_attlist(write(tmp_path))
    assert (found.users, found.playlists, found.test) == (2, 3, None)
    rows = found.train.matrix(found.users, found.playlists)
    assert [rows.row(user).tolist() for user in range(2)] == [[0, 2], [0]]
    assert [found.songs.row(playlist).tolist() for playlist in range(3)] == [[5, 3], [7], []]
    assert found.songs.columns == 8


def test_a_test_part_is_read_where_it_is_there(tmp_path: Path) -> None:
    found = read_attlist(write(tmp_path, test="4\t1\t1.0\n\n"))
    assert found.test is not None
    assert (found.test.users.tolist(), found.test.playlists.tolist(), found.users) == ([4], [1], 5)


def test_line_ends_of_windows_and_a_missing_last_one_are_harmless(tmp_path: Path) -> None:
    found = read_attlist(write(tmp_path, train="0\t1\t1.0\r\n1\t1\t1", listItem_spotify="0\t[]\r\n1\t[2]"))
    assert found.train.users.tolist() == [0, 1]
    assert found.songs.counts.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"train": "0\t1\t1.0\n0 2 1.0\n"}, "train.txt: line 2: 1 field(s)"),
        ({"train": "0\t1\t1.0\n\nx\t2\t1.0\n"}, "train.txt: line 3: the user 'x'"),
        ({"train": "0\t-1\t1.0\n"}, "train.txt: line 1: the playlist '-1'"),
        ({"train": "0\t50000001\t1.0\n"}, "up to 50,000,000"),
        ({"train": "0\t1\t0.5\n"}, "train.txt: line 1: the third field is '0.5', not 1.0"),
        ({"train": "0\t1\t1.0\n0\t1\t1.0\n"}, "train.txt: line 2: user 0 and playlist 1 stand in line 1"),
        ({"train": "\n"}, "train.txt: no pair"),
        ({"validation": ""}, "validation.txt: "),
        ({"validation": "0\t2\t1.0\n"}, "validation.txt: 1 pair(s) of train.txt stand in it too"),
        ({"test": "1\t2\t1.0\n"}, "test.txt: 1 pair(s) of validation.txt"),
        ({"listItem_spotify": "0\t5, 3\n"}, "listItem_spotify.txt: line 1: not a playlist"),
        ({"listItem_spotify": "0\t[5, y]\n"}, "listItem_spotify.txt: line 1: the song 'y'"),
        ({"listItem_spotify": "0\t[5]\n0\t[6]\n"}, "listItem_spotify.txt: line 2: playlist 0 comes a second time"),
    ],
)
def test_an_error_names_file_and_line(tmp_path: Path, files: dict[str, str], words: str) -> None:
    assert words in fault(write(tmp_path, **files))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (write(tmp_path) / "listItem_spotify.txt").unlink()
    assert "listItem_spotify.txt: no such file" in fault(tmp_path)


def test_songs_may_be_read_alone(tmp_path: Path) -> None:
    assert read_songs(write(tmp_path) / "listItem_spotify.txt").rows == 2


def test_a_pair_beyond_the_rows_asked_for_is_an_error(tmp_path: Path) -> None:
    pairs = read_pairs(write(tmp_path) / "train.txt")
    with pytest.raises(ValueError, match="user 1 is beyond 1 rows"):
        pairs.matrix(1, 3)


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no AttList files in {REAL}")
def test_the_public_split_has_the_published_size() -> None:
    found = read_attlist(REAL)
    assert (found.users, found.playlists) == (10_183, 7_787)
    assert (found.train.users.size, found.validation.users.size, found.songs.nnz) == (72_978, 9_202, 555_851)
