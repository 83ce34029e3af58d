"""A stage is all or nothing, and is skipped when nothing changed."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spotify_buddies.foundation.stages import stage


def build(text: str, calls: list[str]) -> Any:
    def write(directory: Path) -> dict[str, Any]:
        calls.append(text)
        (directory / "out.txt").write_text(text)
        return {"letters": len(text)}

    return write


def run(parent: Path, text: str, calls: list[str], **changes: Any) -> stage.Stamp:
    options: dict[str, Any] = {"inputs": {"raw": "abc"}, "settings": {"seed": 1}, **changes}
    return stage.run(parent, "copy", build=build(text, calls), **options)


def test_the_stamp_names_files_hashes_and_statistics(tmp_path: Path) -> None:
    stamp = run(tmp_path, "hello", [])
    assert stamp.statistics == {"letters": 5}
    assert stamp.files["out.txt"]["bytes"] == 5
    assert stamp.files["out.txt"]["sha256"] == stage.hash_file(tmp_path / "copy" / "out.txt")
    assert stamp.fingerprint == stage.load(tmp_path, "copy", "make it with `buddies copy`").fingerprint
    assert not stamp.reused


def test_the_same_inputs_and_settings_are_not_built_again(tmp_path: Path) -> None:
    calls: list[str] = []
    first = run(tmp_path, "hello", calls)
    second = run(tmp_path, "hello", calls)
    assert (len(calls), second.reused, second.fingerprint) == (1, True, first.fingerprint)


@pytest.mark.parametrize("change", [{"inputs": {"raw": "abd"}}, {"settings": {"seed": 2}}])
def test_a_changed_input_or_setting_is_built_again(change: dict[str, Any], tmp_path: Path) -> None:
    calls: list[str] = []
    run(tmp_path, "hello", calls)
    run(tmp_path, "hello", calls, **change)
    assert len(calls) == 2


def test_a_missing_or_shortened_file_is_built_again(tmp_path: Path) -> None:
    calls: list[str] = []
    run(tmp_path, "hello", calls)
    (tmp_path / "copy" / "out.txt").write_text("hell")
    run(tmp_path, "hello", calls)
    (tmp_path / "copy" / "out.txt").unlink()
    run(tmp_path, "hello", calls)
    assert len(calls) == 3


def test_an_interrupted_stage_keeps_the_last_result_and_starts_over(tmp_path: Path) -> None:
    first = run(tmp_path, "hello", [])

    def interrupted(directory: Path) -> dict[str, Any]:
        (directory / "half.txt").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stage.run(tmp_path, "copy", inputs={"raw": "new"}, settings={}, build=interrupted)
    assert stage.load(tmp_path, "copy", "make it with `buddies copy`").fingerprint == first.fingerprint
    again = run(tmp_path, "hallo", [], inputs={"raw": "new"})
    assert sorted(again.files) == ["out.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "timings.json"]


def test_seconds_and_memory_stay_out_of_the_result(tmp_path: Path) -> None:
    began = time.monotonic()
    fingerprints = {run(tmp_path / name, "hello", []).fingerprint for name in "ab"}
    assert len(fingerprints) == 1
    timing = json.loads((tmp_path / "a" / "timings.json").read_text())["copy"]
    assert 0 < timing["seconds"] < time.monotonic() - began
    assert timing["peak_rss_mib"] > 1


def test_a_stage_that_never_ran_is_named(tmp_path: Path) -> None:
    with pytest.raises(stage.StageError, match="no finished stage 'copy' here; make it with `buddies copy`"):
        stage.load(tmp_path, "copy", "make it with `buddies copy`")


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_a_broken_stamp_says_what_to_do(text: str, tmp_path: Path) -> None:
    run(tmp_path, "hello", [])
    (tmp_path / "copy" / "stage.json").write_text(text)
    with pytest.raises(stage.StageError, match=r"stage\.json: not a stage stamp.*remove"):
        run(tmp_path, "hello", [])


def test_the_stamp_keeps_what_the_stage_was_made_from(tmp_path: Path) -> None:
    run(tmp_path, "hello", [])
    assert stage.load(tmp_path, "copy", "make it with `buddies copy`").inputs == {"raw": "abc"}


def test_a_failed_move_brings_the_last_result_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(tmp_path, "hello", [])
    move = Path.replace

    def fail(self: Path, target: Path) -> Path:
        if self.name == ".copy.partial":
            raise KeyboardInterrupt
        return move(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fail)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, "new", [], settings={"seed": 2})
    assert stage.load(tmp_path, "copy", "make it with `buddies copy`").fingerprint == first.fingerprint


def test_a_process_killed_between_the_two_moves_loses_nothing(tmp_path: Path) -> None:
    calls: list[str] = []
    run(tmp_path, "hello", calls)
    (tmp_path / "copy").rename(tmp_path / ".copy.old")
    assert run(tmp_path, "hello", calls).reused
    assert calls == ["hello"]


def test_a_swap_replaces_the_directory_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    for name in ("new", "target"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    stage.swap(tmp_path / "new", tmp_path / "target")
    assert [(path.name, (path / "file").read_text()) for path in tmp_path.iterdir()] == [("target", "new")]


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the system does not reset the high-water mark")
def test_peak_memory_is_that_of_the_stage_and_not_of_the_process(tmp_path: Path) -> None:
    def hungry(directory: Path) -> dict[str, Any]:
        np.ones(40_000_000)
        return {}

    stage.run(tmp_path, "hungry", inputs={}, settings={}, build=hungry)
    stage.run(tmp_path, "modest", inputs={}, settings={}, build=lambda _: {})
    timings = json.loads((tmp_path / "timings.json").read_text())
    assert timings["hungry"]["peak_rss_mib"] > timings["modest"]["peak_rss_mib"] + 200


def chain(parent: Path, name: str, text: str, **inputs: str) -> stage.Stamp:
    return stage.run(parent, name, inputs=inputs, settings={"text": text}, build=lambda _: {})


def test_a_chain_of_stages_holds_all_that_they_were_made_from(tmp_path: Path) -> None:
    one = chain(tmp_path, "one", "a", raw="file")
    two = chain(tmp_path, "two", "a", one=one.fingerprint)
    chain(tmp_path, "three", "a", two=two.fingerprint)
    assert list(stage.load_chain(tmp_path, ["three"], "again")) == ["three", "two", "one"]


def test_a_stage_made_from_an_earlier_one_that_changed_is_refused(tmp_path: Path) -> None:
    one = chain(tmp_path, "one", "a")
    two = chain(tmp_path, "two", "a", one=one.fingerprint)
    chain(tmp_path, "three", "a", two=two.fingerprint)
    chain(tmp_path, "one", "b")
    with pytest.raises(stage.StageError, match=r"two: made from another 'one' than lies beside it; build it again"):
        stage.load_chain(tmp_path, ["three"], "build it again")
    with pytest.raises(stage.StageError, match=r"no finished stage 'four' here; build it again"):
        stage.load_chain(tmp_path, ["four"], "build it again")
