from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spotify_buddies.pairing.settings import PairingSettings
from spotify_buddies.trainer.bench import lines, page
from spotify_buddies.trainer.bench.figure import OURS, Figure, timed
from spotify_buddies.trainer.bench.offline import BenchReport, Measured, gather, offline, presets_under
from spotify_buddies.trainer.bench.plan import STAGES, Bench, BenchError, Stage
from spotify_buddies.trainer.settings import DataSettings, TrainSettings

TINY = 200  # listeners of the preset


def bench_at(home: Path, preset: str = "tiny", data: DataSettings | None = None) -> Bench:
    return Bench(home, preset, data or DataSettings(), PairingSettings(), TrainSettings(dimension=16))


def figure(work: str, by: str, amount: float, seconds: float, **facts: object) -> Figure:
    return Figure(work, by, amount, "users", seconds, None, 2048.0, facts=facts)


def run(state: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "spotify_buddies.clients.main", "bench", "offline", *arguments]
    environment = {**os.environ, "BUDDIES_STATE_DIR": str(state), "BUDDIES_TRAIN__DIMENSION": "16"}
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environment)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def measured(state: Path) -> Mapping[str, Any]:
    done = run(state, "--preset", "tiny", "--json")
    assert done.returncode == 0, done.stderr
    found: Mapping[str, Any] = json.loads(done.stdout)
    return found


def figures(measured: Mapping[str, Any], stage: str) -> dict[str, Any]:
    return {entry["work"] + "/" + entry["by"]: entry for entry in measured["stages"][stage]["figures"]}


def test_every_stage_is_measured_beside_its_peers(measured: Mapping[str, Any]):
    assert measured["skipped"] == []
    assert list(measured["stages"]) == list(STAGES)
    for stage in measured["stages"].values():
        for entry in stage["figures"]:
            assert entry["amount"] > 0
            assert entry["seconds"] > 0
            assert entry["peak_rss_mib"] > 50
        assert [type(load) for load in stage["load"]] == [float, float]  # before and after


def test_peers_give_the_answers_that_ours_gives(measured: Mapping[str, Any]):
    product = figures(measured, "nearest-sparse-dot-topn")["exact nearest 100/sparse_dot_topn"]
    assert product["facts"]["share_of_our_cosines"] == pytest.approx(1, abs=1e-4)
    scores = figures(measured, "scores-scipy")["overlap, score, best 1.5 %/scipy product"]
    assert scores["facts"]["share_of_our_scores"] == pytest.approx(1, abs=1e-4)


def test_parts_add_up_to_the_whole(measured: Mapping[str, Any]):
    found = figures(measured, "data")
    whole = found.pop(f"parts 1 to 9/{OURS}")
    assert len(found) == 9
    assert whole["seconds"] == pytest.approx(sum(entry["seconds"] for entry in found.values()), abs=0.01)
    assert whole["amount"] == TINY


def test_tastes_and_heavy_libraries_are_searched_in_three_ways(measured: Mapping[str, Any]):
    found = figures(measured, "tastes")
    works, ways = ("tastes", "tastes of most listeners"), (OURS, "exact count alone", "FAISS and re-rank alone")
    assert found.keys() == {f"{work}, nearest 50/{way}" for work in works for way in ways}
    half, heavy = (found[f"{work}, nearest 50/{OURS}"]["facts"] for work in works)
    assert half["recall_at_50"] == heavy["recall_at_50"] == 1.0  # so few are counted exactly
    assert heavy["p50_listeners"] > half["p50_listeners"]


def test_a_second_run_measures_nothing(measured: Mapping[str, Any], state: Path):
    again = run(state, "--preset", "tiny")
    assert again.returncode == 0
    assert again.stderr.splitlines() == [f"{name}: measured already" for name in STAGES]
    assert "x" in again.stdout
    assert str(state / "bench" / page.PAGE) in again.stdout


def test_only_the_named_stage_is_measured_again(measured: Mapping[str, Any], state: Path):
    path = state / "bench" / "tiny" / "figures"
    before = {file.name: file.stat().st_mtime_ns for file in path.iterdir()}
    assert run(state, "--preset", "tiny", "--only", "listens-polars").returncode == 0
    changed = {file.name for file in path.iterdir() if file.stat().st_mtime_ns != before[file.name]}
    assert changed == {"listens-polars.json"}


def test_an_unknown_stage_is_a_sentence_that_lists_them(tmp_path: Path):
    with pytest.raises(BenchError, match=r"'nonsense' is none of the stages synth, data,"):
        offline(bench_at(tmp_path), only=["nonsense"])


def test_a_stage_without_its_input_fails_and_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    with pytest.raises(BenchError, match="stage data failed with exit code 1"):
        offline(bench_at(tmp_path / "home"), only=["data"])
    assert "no such directory" in capfd.readouterr().err


def test_a_peer_that_is_not_installed_is_skipped_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    lacking = Stage("bpr-lacking", "fitting:by_lacking", "no_such_module", "no-such-package")
    monkeypatch.setattr("spotify_buddies.trainer.bench.offline.STAGES", {lacking.name: lacking})
    said: list[str] = []
    outcome = offline(bench_at(tmp_path), say=said.append)
    wanted = "bpr-lacking: no-such-package is not installed; install 'spotify-buddies[bench]'"
    assert outcome.skipped == (wanted,)
    assert outcome.measured == ()
    assert said == ["bpr-lacking: skipped, no-such-package is not installed; install 'spotify-buddies[bench]'"]


def test_figures_of_other_settings_do_not_count(measured: Mapping[str, Any], state: Path):
    home = state / "bench" / "tiny"
    assert len(gather(Bench.load(home)).measured) == len(STAGES)
    assert gather(bench_at(home, data=DataSettings(negatives=1))).measured == ()


def test_benchmarks_of_another_release_are_passed_over(tmp_path: Path):
    bench_at(tmp_path / "demo", "demo").save()
    bench_at(tmp_path / "tiny").save()
    (tmp_path / "hundredth").mkdir()
    (tmp_path / "hundredth" / "plan.json").write_text('{"preset": "hundredth", "data": {"unknown": 1}}')
    assert [bench.preset for bench in presets_under(tmp_path)] == ["tiny", "demo"]


def test_broken_figures_are_named(tmp_path: Path):
    broken = tmp_path / "figures" / "synth.json"
    broken.parent.mkdir()
    broken.write_text("{")
    with pytest.raises(BenchError, match=r"synth\.json: not the figures of a stage"):
        gather(bench_at(tmp_path))


def test_a_ratio_is_our_rate_over_the_peers():
    ours = figure("sort", OURS, 1_000, 2.0)  # 500 a second
    assert lines.ratio(figure("sort", "slow", 100, 4.0), ours) == 20  # 25 a second
    assert lines.ratio(ours, ours) is None
    assert lines.ratio(figure("sort", "idle", 0, 1.0), ours) is None


def test_a_ratio_by_processor_leaves_out_what_waited():
    ours = replace(figure("sort", OURS, 1_000, 9.0), cpu_seconds=2.0)
    assert lines.ratio_by_processor(replace(figure("sort", "slow", 100, 90.0), cpu_seconds=4.0), ours) == 20
    assert lines.ratio_by_processor(figure("sort", "unknown", 100, 4.0), ours) is None
    assert lines.ratio_by_processor(ours, ours) is None


def test_a_table_puts_peers_behind_their_work(tmp_path: Path):
    stages = (
        Measured("a", (figure("sort", OURS, 1_000, 2.0),), (0.0, 0.0)),
        Measured("b", (figure("read", OURS, 10, 1.0),), (0.0, 0.0)),
        Measured("c", (figure("sort", "slow", 100, 4.0, recall_at_50=0.5),), (0.0, 0.0)),
    )
    table = lines.table(BenchReport(bench_at(tmp_path), stages, ()))
    assert [row[:2] for row in table[1:]] == [["sort", OURS], ["sort", "slow"], ["read", OURS]]
    assert table[2][2:] == ["100 users", "4.0", "25 users/s", "", "2.00 GiB", "20x", "", "recall at 50 0.5"]
    assert lines.markdown(table).splitlines()[1] == "| --- | --- | --: | --: | --: | --: | --: | --: | --: | --- |"


def test_short_work_is_repeated_and_the_median_counts():
    calls: list[int] = []
    assert timed("w", OURS, 1, "calls", lambda: calls.append(0)).repeats == 3
    assert timed("w", OURS, 1, "calls", lambda: calls.append(0), once=True).repeats == 1
    assert len(calls) == 4


def test_cost_is_drawn_over_the_size_of_every_preset(tmp_path: Path):
    outcomes = [
        BenchReport(
            bench_at(tmp_path, preset), (Measured("data", (figure("parts 1 to 9", OURS, 1, cost),), (0.0, 0.0)),), ()
        )
        for preset, cost in (("tiny", 1.0), ("demo", 12.0))
    ]
    plot = page.cost_plot(outcomes, "seconds")
    assert "parts 1 to 9" in plot
    assert "linear" in plot
    assert page.cost_plot([], "seconds") == ""


def test_the_page_holds_every_table(measured: Mapping[str, Any], state: Path):
    text = (state / "bench" / page.PAGE).read_text(encoding="utf-8")
    assert "sparse_dot_topn" in text
    assert (state / "bench" / page.PLOT).read_text(encoding="utf-8").startswith("<svg")
