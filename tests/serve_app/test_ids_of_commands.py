"""Ids given to commands that work on the stores go by the rule for ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from spotify_buddies.serve_app.daily import cli as daily
from spotify_buddies.serve_app.queue import cli as queue
from spotify_buddies.serve_app.queue.session import read_user_ids
from spotify_buddies.serve_app.runtime import cli as serve

BAD = [
    ("x" * 129, "is 129 bytes, must be 1 to 128"),
    ("a\x1bb", "holds the control character U+001B"),
    ("\udcff", "holds half of a surrogate pair (U+DCFF), which UTF-8 cannot"),
    ("a\u2028b", "holds the control character U+2028"),
    ("a\x85b", "holds the control character U+0085"),
]


@pytest.mark.parametrize(("bad", "problem"), [one for one in BAD if "half" not in one[1]])
def test_the_queue_refuses_a_file_with_something_that_is_no_id_and_names_its_line(
    tmp_path: Path, bad: str, problem: str
) -> None:
    ids = tmp_path / "users.txt"
    ids.write_text(f"user-1\n\n {bad} \nuser-2\n", newline="")
    result = CliRunner().invoke(queue.app, ["submit", "--ids", str(ids)])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"error: {ids}: line 3: the user id {problem}; nothing is queued\n"


def test_the_queue_reads_ids_between_spaces_and_blank_lines(tmp_path: Path) -> None:
    ids = tmp_path / "users.txt"
    ids.write_text(" user 1\r\n\r\n\tZoë\n\na\u00a0b", newline="")
    assert read_user_ids(ids) == ["user 1", "Zoë", "a\u00a0b"]


@pytest.mark.parametrize(("bad", "problem"), BAD)
@pytest.mark.parametrize(("app", "arguments"), [(daily.app, ["show"]), (serve.app, ["reactions", "--recommendation"])])
def test_asking_the_stores_for_something_that_is_no_id_is_wrong_usage(
    app: Any, arguments: list[str], bad: str, problem: str
) -> None:
    result = CliRunner().invoke(app, [*arguments, bad], env={"COLUMNS": "400"})
    assert result.exit_code == 2
    assert problem in result.stderr
