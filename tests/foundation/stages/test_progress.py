"""Progress: a bar on a terminal, lines elsewhere."""

import io
import json

import pytest
import typer

from spotify_buddies.foundation.arrays.seeds import derive, generator
from spotify_buddies.foundation.stages.progress import Counting, Reporter, silent
from spotify_buddies.foundation.terminal.console import explained, show


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_elsewhere_a_line_every_few_seconds_and_one_at_the_end() -> None:
    now = [0.0]
    out = io.StringIO()
    report = Reporter(out, every_s=5.0, clock=lambda: now[0])
    for second in range(11):
        now[0] = float(second)
        report("read", second * 10, 100, "files")
    lines = out.getvalue().splitlines()
    assert lines == [
        "read: 0 of 100 (0%) files",
        "read: 50 of 100 (50%) files, 10 files/s",
        "read: 100 of 100 (100%) files, 10 files/s",
    ]


def test_on_a_terminal_one_line_is_rewritten() -> None:
    now = [0.0]
    out = Terminal()
    report = Reporter(out, clock=lambda: now[0])
    for second in range(3):
        now[0] = float(second)
        report("read", second, 2)
    assert out.getvalue().count("\r") == 3
    assert out.getvalue().count("\n") == 1


def test_a_text_stands_behind_the_count_until_the_work_ends_with_a_sentence() -> None:
    out = io.StringIO()
    report = Reporter(out, every_s=0.0, clock=lambda: 0.0)
    report.describe("loss 0.5")
    report("train", 1, 4, "steps")
    report.end("train", "train stopped: good enough\x1b[2J")
    report("write", 1, 4, "files")
    assert out.getvalue().splitlines() == [
        "train: 1 of 4 (25%) steps, loss 0.5",
        r"train stopped: good enough\x1b[2J",
        "write: 1 of 4 (25%) files",
    ]


def test_a_wrapper_that_changes_counts_passes_the_texts_on() -> None:
    out = io.StringIO()
    report = Reporter(out, every_s=0.0, clock=lambda: 0.0)
    doubled = Counting(lambda what, done, total, unit: report(what, 2 * done, 2 * total, unit), report)
    doubled.describe("loss 0.5")
    doubled("train", 1, 4, "steps")
    doubled.end("train", "train stopped")
    assert out.getvalue().splitlines() == ["train: 2 of 8 (25%) steps, loss 0.5", "train stopped"]


def test_nothing_is_shown_by_a_silent_one(capsys: pytest.CaptureFixture[str]) -> None:
    silent("train", 1, 4)
    silent.describe("loss 0.5")
    silent.end("train", "train stopped")
    assert capsys.readouterr() == ("", "")


def test_a_rate_counts_what_was_done_since_the_first_report() -> None:
    """Work that is resumed half way is not as fast as its count."""
    now = [0.0]
    out = io.StringIO()
    report = Reporter(out, every_s=0.0, clock=lambda: now[0])
    report("train", 500, 1_000)
    now[0] = 10.0
    report("train", 600, 1_000)
    assert out.getvalue().splitlines()[1] == "train: 600 of 1,000 (60%) items, 10 items/s"


def test_an_unknown_total_shows_the_count_alone() -> None:
    out = io.StringIO()
    Reporter(out, clock=lambda: 0.0)("read", 7, 0, "lines")
    assert out.getvalue() == "read: 7 lines\n"


def test_a_purpose_has_random_numbers_of_its_own() -> None:
    assert derive(1, "split") == derive(1, "split")
    assert len({derive(seed, purpose) for seed in (1, 2) for purpose in ("split", "beta")}) == 4
    assert generator(1, "beta").random() == generator(1, "beta").random()


def test_an_expected_error_is_a_sentence_and_exit_1(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as caught, explained(ValueError):
        raise ValueError("file x, line 3: two fields")
    assert caught.value.exit_code == 1
    assert capsys.readouterr().err == "error: file x, line 3: two fields\n"


def test_statistics_are_indented_for_people_and_json_for_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"users": 12345, "liked": {"mean": 6.19048}, "skipped": []}
    show(value, as_json=False)
    assert capsys.readouterr().out == "users: 12,345\nliked\n  mean: 6.19\nskipped: []\n"
    show(value, as_json=True)
    assert json.loads(capsys.readouterr().out) == value
