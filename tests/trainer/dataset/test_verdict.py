"""The verdict on a data set, and where `buddies data` prints it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from spotify_buddies.pairing.settings import PairingSettings
from spotify_buddies.trainer.dataset.build import build_dataset
from spotify_buddies.trainer.dataset.cli import app
from spotify_buddies.trainer.dataset.reading.sources import find_sources
from spotify_buddies.trainer.dataset.report import statistics, write_report
from spotify_buddies.trainer.dataset.verdict import judge
from spotify_buddies.trainer.settings import DataSettings, RegistrySettings, TrainSettings
from spotify_buddies.trainer.synth.write import synthesise

Statistics = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("verdict") / "raw"
    synthesise(directory, users=300, playlists=600, songs=800, seed=3)
    return directory


@pytest.fixture(scope="module")
def dataset(raw: Path) -> Path:
    return build_dataset(find_sources(raw), raw.parent / "dataset", DataSettings()).directory


@pytest.fixture
def numbers(dataset: Path) -> Statistics:
    return statistics(dataset)


def run(state_dir: Path, *arguments: str) -> Result:
    settings = SimpleNamespace(
        state_dir=state_dir,
        mlflow_tracking_uri=None,
        data=DataSettings(),
        train=TrainSettings(),
        registry=RegistrySettings(),
        pairing=PairingSettings(),
    )
    result = CliRunner().invoke(app, list(arguments), obj=settings)
    assert result.exit_code == 0, result.output
    return result


def test_a_build_prints_its_verdict_first_and_no_counters(raw: Path, tmp_path: Path):
    said = run(tmp_path, "build", str(raw)).stdout.splitlines()
    assert said[0] == "data set: looks healthy"
    names = [line.split()[0] for line in said[1:8]]
    assert names == ["users", "playlists", "songs", "matched", "likes", "split", "triplets"]
    assert "skipped" in said[8]
    assert len(said) < 16


def test_details_come_after_the_verdict_on_demand(dataset: Path, numbers: Statistics):
    said = run(dataset.parent, "stats", "--details").stdout
    assert said.startswith("data set: looks healthy\n")
    for part, values in numbers.items():
        assert f"\n{part}\n" in said
        for name in values:
            assert f"\n  {name}" in said


def test_json_holds_the_verdict_and_every_number(dataset: Path, numbers: Statistics):
    body = json.loads(run(dataset.parent, "stats", "--json").stdout)
    assert body.pop("verdict") == judge(numbers).to_json()
    assert body == json.loads(json.dumps(numbers))


def test_the_verdict_counts_what_the_parts_counted(numbers: Statistics):
    facts = judge(numbers).facts
    assert facts["users"].startswith(f"{numbers['3-matrix']['users']:,}, ")
    assert facts["likes"].startswith(f"{numbers['5-liked']['liked']:,} of {numbers['4-score']['pairs']:,} ")
    assert facts["triplets"].endswith(", 4 negatives for each positive")  # and not those of a validation batch
    share = numbers["2-songs"]["listens_with_a_playlist_full_matching"] / numbers["1-raw"]["listens"]
    assert facts["matched"].startswith(f"{share:.1%} of the listens")


def test_what_was_left_out_is_named_with_its_reason(numbers: Statistics):
    numbers["1-raw"] |= {"skipped_files": 0, "skipped_lines": 2, "skipped": ["a.txt: line 3: no tab", "b"]}
    left_out = judge(numbers).left_out
    assert "malformed lines: 2 (a.txt: line 3: no tab; b)" in left_out
    numbers["1-raw"]["skipped_playlists"] = 3
    assert "malformed playlists: 3" in judge(numbers).left_out
    nameless = numbers["1-raw"]["playlist_tracks_without_a_name"]
    assert f"playlist tracks without a title or artist: {nameless:,}" in left_out


def test_columns_that_nothing_reads_are_named_and_are_no_problem(numbers: Statistics):
    names = [f"c{i}" for i in range(12)]
    numbers["1-raw"]["unread_columns"] = {"listens.csv": names[:2], "playlists.parquet": names}
    verdict = judge(numbers)
    assert "columns that are not read: listens.csv: c0, c1" in verdict.left_out
    assert f"columns that are not read: playlists.parquet: {', '.join(names[:10])} and 2 more" in verdict.left_out
    assert verdict.healthy


@pytest.mark.parametrize(
    ("part", "changed", "problem"),
    [
        ("1-raw", {"skipped_files": 1}, "malformed"),
        ("1-raw", {"skipped_playlists": 100}, "malformed playlists: 14.3%"),
        ("1-raw", {"playlist_tracks_without_a_name": 1_000_000}, "no title or artist"),
        ("2-songs", {"matching": "plain", "listens_with_a_playlist_plain_matching": 1}, 'matching = "full"'),
        ("4-score", {"users_without_a_scored_playlist": 200}, "share no song"),
        ("5-liked", {"liked": 0}, "nothing to train on"),
        ("6-split", {"test": 0}, "cannot be judged"),
        ("8-triplets", {"triplets": 0}, "no triplets"),
    ],
)
def test_what_is_wrong_is_said_before_the_numbers(numbers: Statistics, part: str, changed: Statistics, problem: str):
    assert judge(numbers).healthy
    numbers[part] |= changed
    verdict = judge(numbers)
    assert not verdict.healthy
    assert len(verdict.problems) == 1
    assert problem in verdict.lines()[1]


def test_an_unfinished_data_set_is_judged_by_what_is_finished(numbers: Statistics):
    some = {part: numbers[part] for part in ("1-raw", "2-songs", "4-score")}  # a gap ends what can be said
    verdict = judge(some)
    assert list(verdict.facts) == ["songs", "matched"]
    assert verdict.problems[0].startswith("unfinished, without 3-matrix, 4-score, 5-liked")


def test_malformed_files_that_are_skipped_are_in_the_verdict_of_the_build(raw: Path, tmp_path: Path):
    folder = tmp_path / "raw"
    folder.mkdir()
    for path in raw.iterdir():
        (folder / path.name).symlink_to(path)
    (folder / "mpd.slice.9000-9999.json").write_text("{")
    said = run(tmp_path, "build", "--skip-bad-files").stdout
    assert said.startswith("data set: 1 problem\n  ! malformed files: 1, malformed lines: 0.0%")
    assert "skipped    malformed files: 1 (mpd.slice.9000-9999.json" in said


def test_the_report_begins_with_the_verdict(dataset: Path, numbers: Statistics):
    page = write_report(dataset).read_text(encoding="utf-8")
    first = page.index("<h2")
    assert page[first:].startswith('<h2 id="part-0">Verdict</h2>')
    assert all(fact in page for fact in judge(numbers).facts.values())
