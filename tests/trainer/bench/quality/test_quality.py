"""`buddies bench quality` on a made-up split in AttList's format."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.bench.quality import lines
from spotify_buddies.trainer.bench.quality.files import open_split
from spotify_buddies.trainer.bench.quality.run import ON_INNER, ON_VALIDATION, QualityReport, compare
from spotify_buddies.trainer.bench.quality.split import Split, inner, top
from spotify_buddies.trainer.dataset.errors import DataError
from spotify_buddies.trainer.dataset.reading.attlist import Pairs, read_attlist

USERS, GROUPS, GROUP = 120, 4, 12


def write(directory: Path, *, test: bool = False) -> Path:
    """Groups of playlists that share songs; a user follows eight of one group, one or two of which are held out."""
    chance = np.random.default_rng(3)
    parts: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
    for user in range(USERS):
        followed = chance.choice(GROUP, 8, replace=False) + GROUP * (user % GROUPS)
        uses = ["train"] * 6 + ["validation", "test" if test else "train"]
        for playlist, use in zip(followed, uses, strict=True):
            parts[use].append(f"{user}\t{playlist}\t1.0\n")
    for use, rows in parts.items():
        if rows:
            (directory / f"{use}.txt").write_text("".join(rows))
    songs = (f"{p}\t{(chance.choice(30, 5, replace=False) + 30 * (p // GROUP)).tolist()}\n" for p in range(48))
    (directory / "listItem_spotify.txt").write_text("".join(songs))
    return directory


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> QualityReport:
    data = read_attlist(write(tmp_path_factory.mktemp("attlist")))
    ticks = count(0, 1_000_000)
    return compare(data, [1, 2], lambda: next(ticks), low_rank=False)


def values(report: QualityReport, name: str) -> tuple[float, ...]:
    return next(figure.with_rows for figure in report.figures if figure.name == name)


def test_contenders_that_see_who_follows_what_rank_better_than_popularity(report: QualityReport) -> None:
    popular = values(report, "popularity")[0]
    for name in ("ItemKNN", "EASE", "ease", "walks", "als", "als_songs", "bpr", "bpr_songs", ON_INNER):
        assert min(values(report, name)) > popular + 0.1, name


def test_only_models_with_randomness_have_a_value_a_seed(report: QualityReport) -> None:
    assert len(values(report, "EASE")) == 1
    assert len(values(report, "als")) == len(values(report, ON_INNER)) == 2
    assert len(report.bpr_epochs) == 1


def test_without_test_rows_nothing_is_tuned_on_validation(report: QualityReport) -> None:
    assert report.part == "validation"
    assert ON_VALIDATION not in {figure.name for figure in report.figures}
    assert any("nothing is tuned on validation" in line for line in lines.sentences(report))


def test_every_part_of_the_blend_has_a_weight_and_a_cost(report: QualityReport) -> None:
    with_songs = {"ease", "balanced", "als_songs", "bpr_songs", "songs"}
    assert set(report.weights) == set(report.costs) == with_songs | {"walks", "als", "bpr", "popularity"}
    assert sum(report.weights.values()) == pytest.approx(1)
    assert report.microseconds == 1_000_000 / 1_000 / USERS


def test_with_test_rows_both_ways_of_tuning_are_measured_on_them(tmp_path: Path) -> None:
    found = compare(read_attlist(write(tmp_path, test=True)), [1], lambda: 0, low_rank=False)
    assert found.part == "test"
    assert {ON_INNER, ON_VALIDATION} < {figure.name for figure in found.figures}


def test_ndcg_by_hand_hides_what_is_known() -> None:
    split = Split(Csr.from_rows([[0], []], 4), Csr.from_rows([[2, 3], []], 4), Csr.from_rows([[]] * 4, 0))
    scores = np.array([[9, 3, 1, 2]], np.float32)
    # 0 is known: 1, 3, 2 are ranked, and 3 and 2 are held out.
    expected = (1 / np.log2(3) + 1 / np.log2(4)) / (1 + 1 / np.log2(3))
    np.testing.assert_allclose(split.ndcg(lambda users: scores[: users.size]), [expected])


def test_of_equal_scores_the_lower_playlist_comes_first() -> None:
    assert top(np.zeros((1, 50), np.float32), 3).tolist() == [[0, 1, 2]]
    assert top(np.array([[1, 2, 2]], np.float32), 9).tolist() == [[1, 2, 0]]


def test_an_inner_split_shares_no_pair_and_loses_none() -> None:
    pairs = Pairs(np.arange(200, dtype=np.int32) % 20, np.arange(200, dtype=np.int32) // 20)
    split = inner(pairs, 20, Csr.from_rows([[]] * 10, 0), seed=1)
    together = (split.known.to_scipy() + split.held_out.to_scipy()).toarray()
    assert (together == 1).all()
    assert 5 < split.held_out.nnz < 60


def test_missing_files_are_named_with_where_to_fetch_them(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train.txt, validation.txt, listItem_spotify.txt: .*heyunh2015/AttList"):
        open_split(tmp_path)


def test_other_files_are_refused_unless_they_are_wanted(tmp_path: Path) -> None:
    write(tmp_path, test=True)
    with pytest.raises(DataError, match=r"train.txt: is not the published file"):
        open_split(tmp_path)
    data, notes = open_split(tmp_path, any_files=True)
    assert data.test is not None
    assert [note.split(":")[0] for note in notes[-1:]] == ["test.txt"]
    assert "hash is not known" in notes[-1]


def test_the_command_prints_a_table_or_json(tmp_path: Path) -> None:
    from spotify_buddies.trainer.bench.cli import app

    options = ["quality", "--attlist", str(write(tmp_path)), "--any-files", "--seeds", "1", "--no-low-rank"]
    shown = CliRunner().invoke(app, options)
    assert shown.exit_code == 0, shown.output
    assert "EASE with songs" in shown.stdout
    told = json.loads(CliRunner().invoke(app, [*options, "--json"]).stdout)
    assert told["users"] == USERS


def test_the_command_says_which_files_it_lacks(tmp_path: Path) -> None:
    from spotify_buddies.trainer.bench.cli import app

    failed = CliRunner().invoke(app, ["quality", "--attlist", str(tmp_path)])
    assert failed.exit_code != 0
    assert "heyunh2015/AttList" in failed.output
