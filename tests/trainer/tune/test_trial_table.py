"""What people see of a search."""

from __future__ import annotations

import io

from spotify_buddies.trainer.tune.experiment import RUNNING, WAITING, Trial
from spotify_buddies.trainer.tune.trial_table import Board, as_json, columns, table
from tests.trainer.tune.conftest import epochs, trials


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_table_has_a_line_for_each_trial_with_its_point_and_score():
    lines = table(list(trials().values()), "random/mrr")
    assert lines[0] == ["trial", "status", "epochs", "seconds", "random/mrr", "dimension", "learning_rate"]
    assert lines[2] == ["1", "done", "4", "2.0", "0.6000", "16", "0.1"]
    assert lines[4] == ["3", "failed", "0", "0.0", "-", "16", "1"]
    assert len({len(line) for line in columns(lines)}) == 1
    assert table([], "random/mrr") == [["trial", "status", "epochs", "seconds", "random/mrr"]]


def test_elsewhere_than_on_a_terminal_progress_counts_epochs_and_ends_at_all_of_them():
    heard: list[tuple[int, int]] = []
    stream = io.StringIO()
    board = Board(4, 4, "random/mrr", stream, lambda what, done, total, unit="": heard.append((done, total)))
    half = [Trial("a", 0, {}, RUNNING, epochs(0.1, 0.2)), Trial("b", 1, {}, WAITING)]
    board.show(half)
    for _ in range(3):  # after the end nothing more is counted
        board.show(tuple(trials().values()))
    assert heard == [(2, 16), (16, 16)]
    board.ended(trials()["c"])
    assert stream.getvalue() == (
        "trial 2 stopped: by ASHA after 1 epochs; random/mrr 0.0500 with dimension 8, learning_rate 0.5\n"
    )


def test_on_a_terminal_the_table_is_drawn_over_the_one_before(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("LINES", "24")
    now = [0.0]
    stream = Terminal()
    board = Board(4, 4, "random/mrr", stream, clock=lambda: now[0])
    board.show(tuple(trials().values()))
    first = stream.getvalue()
    assert first.count("\n") == 6
    assert "\x1b" not in first
    assert max(map(len, first.splitlines())) < 60
    board.show(tuple(trials().values()))  # too soon to draw again
    assert stream.getvalue() == first
    now[0] = 1.0
    board.show(tuple(trials().values()))
    assert stream.getvalue() == first + "\x1b[6A\x1b[J" + first


def test_a_trial_for_scripts():
    body = as_json(trials()["b"])
    assert body["settings"] == {"dimension": 16, "learning_rate": 0.1}
    assert (body["score"], body["epochs"], body["seconds"], body["status"]) == (0.6, 4, 2.0, "done")
