"""What people see of a search."""

from __future__ import annotations

import io
import re

import pytest

from spotify_buddies.trainer.tune.experiment import RUNNING, WAITING, Trial
from spotify_buddies.trainer.tune.trial_table import TrialTable, as_json, rows_of
from tests.trainer.tune.conftest import epochs, trials


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    for name, value in {"TERM": "xterm", "COLUMNS": "70", "LINES": "24"}.items():
        monkeypatch.setenv(name, value)
    return Terminal()


def drawn(stream: io.StringIO) -> list[list[str]]:
    """The tables that were drawn, as lines of text without the empty ones."""
    frames = re.split(r"(?:\x1b\[1A\x1b\[2K)+|\x1b\[\?25[lh]", stream.getvalue())
    frames = [re.sub(r"\x1b\[[0-9;]*m|\x1b\[2K|\r", "", frame) for frame in frames]
    return [[line.rstrip() for line in frame.splitlines() if line.strip()] for frame in frames if frame.strip()]


def test_every_trial_has_a_row_with_its_point_and_score():
    headers, rows = rows_of(list(trials().values()), "random/mrr")
    assert headers == ["trial", "status", "epochs", "seconds", "random/mrr", "dimension", "learning_rate"]
    assert rows[1] == ["1", "done", "4", "2.0", "0.6000", "16", "0.1"]
    assert rows[3] == ["3", "failed", "0", "0.0", "-", "16", "1"]
    assert rows_of([], "random/mrr") == (["trial", "status", "epochs", "seconds", "random/mrr"], [])


def test_elsewhere_than_on_a_terminal_progress_counts_epochs_and_ends_at_all_of_them():
    heard: list[tuple[int, int]] = []
    stream = io.StringIO()
    table = TrialTable(4, 4, "random/mrr", stream, lambda what, done, total, unit="": heard.append((done, total)))
    half = [Trial("a", 0, {}, RUNNING, epochs(0.1, 0.2)), Trial("b", 1, {}, WAITING)]
    table.show(half)
    for _ in range(3):  # after the end nothing more is counted
        table.show(tuple(trials().values()))
    assert heard == [(2, 16), (16, 16)]
    table.ended(trials()["c"])
    assert stream.getvalue() == (
        "trial 2 stopped: by ASHA after 1 epochs; random/mrr 0.0500 with dimension 8, learning_rate 0.5\n"
    )


def test_on_a_terminal_the_table_is_drawn_over_the_one_before(terminal):
    now = [0.0]
    table = TrialTable(4, 4, "random/mrr", terminal, clock=lambda: now[0])
    table.show([Trial("a", 0, {}, RUNNING, epochs(0.1, 0.2)), Trial("b", 1, {}, WAITING)])
    table.show(tuple(trials().values()))  # too soon to draw again
    now[0] = 1.0
    table.show(tuple(trials().values()))
    first, second = drawn(terminal)
    assert [line.split()[:2] for line in first[-3:]] == [["0", "running"], ["1", "waiting"], ["0", "of"]]
    assert [line.split()[0] for line in second[-5:]] == ["1", "0", "2", "3", "4"]
    assert second[-1].startswith("4 of 4 trials ended")
    assert max(map(len, second)) <= 70
    table.close(tuple(trials().values()))


def test_the_last_table_stays_whole_and_the_cursor_comes_back(terminal):
    table = TrialTable(60, 4, "random/mrr", terminal, clock=lambda: 0.0)
    many = [Trial(str(number), number, {"dimension": 8}, WAITING) for number in range(60)]
    table.show(many)
    table.close(many)
    first, *_, last = drawn(terminal)
    assert len(first) <= 24
    assert sum("waiting" in line for line in last) == 60
    assert terminal.getvalue().rindex("\x1b[?25h") > terminal.getvalue().rindex("\x1b[?25l")
    table.say("after the table")
    assert terminal.getvalue().endswith("after the table\n")


def test_a_cell_is_no_markup_and_cannot_steer_the_terminal(terminal):
    point = {"backend": "[red]\x1b[2J"}
    table = TrialTable(1, 4, "random/mrr", terminal, clock=lambda: 0.0)
    table.show([Trial("a", 0, point, WAITING)])
    table.say("[bold]why[/bold]")
    table.close([Trial("a", 0, point, WAITING)])
    text = terminal.getvalue()
    assert "[red]\\x1b[2J" in text
    assert "\x1b[2J" not in text
    assert "[bold]why[/bold]" in text


def test_a_trial_for_scripts():
    body = as_json(trials()["b"])
    assert body["settings"] == {"dimension": 16, "learning_rate": 0.1}
    assert (body["score"], body["epochs"], body["seconds"], body["status"]) == (0.6, 4, 2.0, "done")
