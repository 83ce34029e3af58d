"""A stage is all or nothing, and is skipped when nothing changed."""

import json
from pathlib import Path
from typing import Any

import pytest

from pairing import stage


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
    assert stamp.fingerprint == stage.load(tmp_path, "copy").fingerprint
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
    assert stage.load(tmp_path, "copy").fingerprint == first.fingerprint
    again = run(tmp_path, "hallo", [], inputs={"raw": "new"})
    assert sorted(again.files) == ["out.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "timings.json"]


def test_seconds_and_memory_stay_out_of_the_result(tmp_path: Path) -> None:
    fingerprints = {run(tmp_path / name, "hello", []).fingerprint for name in "ab"}
    assert len(fingerprints) == 1
    timing = json.loads((tmp_path / "a" / "timings.json").read_text())["copy"]
    assert timing["seconds"] >= 0
    assert timing["peak_rss_mib"] > 1


def test_a_stage_that_never_ran_is_named(tmp_path: Path) -> None:
    with pytest.raises(stage.StageError, match="no finished stage 'copy'"):
        stage.load(tmp_path, "copy")


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_a_broken_stamp_says_what_to_do(text: str, tmp_path: Path) -> None:
    run(tmp_path, "hello", [])
    (tmp_path / "copy" / "stage.json").write_text(text)
    with pytest.raises(stage.StageError, match=r"stage\.json: not a stage stamp.*remove"):
        run(tmp_path, "hello", [])
