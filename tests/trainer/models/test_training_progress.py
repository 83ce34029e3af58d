"""What people see while a model is trained, and why it ended."""

from __future__ import annotations

import io
import itertools
import re
from pathlib import Path

import numpy as np
import pytest

from spotify_buddies.foundation.stages.progress import Reporter
from spotify_buddies.trainer.models.checkpoint import Checkpoint
from spotify_buddies.trainer.models.model import EpochReport, Validation
from spotify_buddies.trainer.models.train import train
from spotify_buddies.trainer.models.training_progress import TrainingProgress, why_ended
from spotify_buddies.trainer.settings import TrainSettings

USERS, PLAYLISTS = 40, 20
SETTINGS = TrainSettings(model="bpr", backend="numba", dimension=4, epochs=3, seed=3)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def rows(count: int, negatives: int, seed: int) -> np.ndarray:
    """A user likes a playlist of the same parity; negatives are of the other one."""
    rng = np.random.default_rng(seed)
    users = rng.integers(0, USERS, count)
    liked = 2 * rng.integers(0, PLAYLISTS // 2, count) + users % 2
    others = 2 * rng.integers(0, PLAYLISTS // 2, (count, negatives)) + 1 - users[:, None] % 2
    return np.column_stack([users, liked, others]).astype(np.int32)


def shown(stream: io.StringIO, directory: Path, settings: TrainSettings = SETTINGS, hard: int = 30) -> str:
    """What a training writes, on a clock that goes on by ten seconds at every look."""
    ticks = itertools.count(0.0, 10.0)
    validation = Validation(rows(60, 8, 1), rows(hard, 8, 2))
    progress = Reporter(stream, clock=lambda: next(ticks))
    train(rows(900, 1, 3), validation, USERS, PLAYLISTS, settings, directory, key="k" * 64, progress=progress)
    return stream.getvalue()


def test_a_training_shows_epoch_loss_mrr_best_rate_and_time_left(tmp_path):
    lines = shown(io.StringIO(), tmp_path).splitlines()
    mrr = r"[01]\.\d{4}"
    assert re.fullmatch(
        r"training: 900 of 2,700 \(33%\) triplets, epoch 1 of at most 3, loss 0\.\d{4}, at most \d+ (s|min) left",
        lines[0],
    )
    assert re.fullmatch(
        r"training: 1,800 of 2,700 \(67%\) triplets, \d+ triplets/s, epoch 2 of at most 3, loss 0\.\d{4}, "
        rf"MRR {mrr} random, {mrr} hard after epoch 1, best {mrr} in epoch 1, at most \d+ (s|min) left",
        lines[2],
    )


def test_the_last_line_says_why_it_ended_and_which_epoch_is_kept(tmp_path):
    last = shown(io.StringIO(), tmp_path).splitlines()[-1]
    assert re.fullmatch(
        r"training ended after all 3 epochs that \[train\] epochs allows; epoch \d is kept, with MRR [01]\.\d{4} "
        r"random, [01]\.\d{4} hard",
        last,
    )
    # A finished training, which is not repeated, says so again.
    assert shown(io.StringIO(), tmp_path).splitlines() == [last]


def test_on_a_terminal_one_line_is_rewritten_until_the_last(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    text = shown(Terminal(), tmp_path)
    *bars, sentence, nothing = re.split(r"\r\x1b\[J|\n", text)
    assert (text.count("\r"), nothing) == (text.count("\x1b[J"), "")
    assert all(bar.startswith("training: ") for bar in bars if bar)
    assert sentence.startswith("training ended after all 3 epochs")


def test_a_line_that_wraps_is_erased_as_a_whole(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert "\r\x1b[1A\x1b[J" in shown(Terminal(), tmp_path)


def test_lines_elsewhere_keep_their_distance_however_many_epochs_there_are(tmp_path):
    stream, now = io.StringIO(), [0.0]

    def clock() -> float:
        now[0] += 0.1
        return now[0]

    validation = Validation(rows(60, 8, 1), rows(30, 8, 2))
    settings = SETTINGS.model_copy(update={"epochs": 40, "patience": 40})
    progress = Reporter(stream, clock=clock)
    train(rows(900, 1, 3), validation, USERS, PLAYLISTS, settings, tmp_path, key="k" * 64, progress=progress)
    # The start, one after five seconds, the full count and the reason.
    assert len(stream.getvalue().splitlines()) == 4


def report(epoch: int, mrr: float, best: bool) -> EpochReport:
    return EpochReport(epoch, 0.5, best, {"random/mrr": mrr})


@pytest.mark.parametrize(
    ("reports", "epochs", "steps", "said"),
    [
        (
            [report(1, 0.4, True), report(2, 0.3, False), report(3, 0.2, False)],
            9,
            1,
            "training stopped after epoch 3: no better MRR for 2 epochs; epoch 1 is kept, with MRR 0.4000 random",
        ),
        (
            [report(1, 0.4, True), report(2, 0.3, False)],
            9,
            7,
            "training stopped after epoch 2: no better MRR for 1 epoch (7 steps); epoch 1 is kept, with MRR 0.4000 "
            "random",
        ),
        (
            [report(1, 0.4, True), report(2, 0.5, True)],
            2,
            1,
            "training ended after all 2 epochs that [train] epochs allows; epoch 2 is kept, with MRR 0.5000 random",
        ),
        (
            [EpochReport(1, 0.5, True), EpochReport(2, 0.5, True)],
            2,
            1,
            "training ended after all 2 epochs; without validation rows the last one is kept",
        ),
    ],
)
def test_the_reason_is_one_sentence(reports, epochs, steps, said):
    assert why_ended(Checkpoint("k", tuple(reports), finished=True), epochs, steps) == said


def test_the_time_left_is_that_of_the_epochs_that_may_still_run():
    now, stream = [0.0], io.StringIO()
    shown = TrainingProgress(Reporter(stream, every_s=0, clock=lambda: now[0]), 5, 100, None, lambda: now[0])
    now[0] = 30.0
    shown.block(1, 50, 0.6)
    now[0] = 60.0
    shown.epoch(Checkpoint("k", (report(1, 0.4, True),), finished=False))
    left = [line.rsplit(", ", 1)[1] for line in stream.getvalue().splitlines()]
    assert left == ["at most 4 min left", "at most 4 min left"]  # 4.5 epochs of a minute, and 4
