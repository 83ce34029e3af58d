"""The token file and its command."""

import hashlib
import stat
from pathlib import Path

import pytest

from tests.deploy.conftest import script


def tokens(file: Path, *arguments: str, expect: int = 0) -> str:
    return script("tokens.py", "--file", str(file), *arguments, expect=expect)


def test_a_token_is_shown_once_and_kept_as_its_hash(tmp_path: Path) -> None:
    file = tmp_path / "tokens.map"
    token = tokens(file, "add", "partner").strip()
    assert len(token) == len("buddies_") + 43
    assert file.read_text() == f"{hashlib.sha256(token.encode()).hexdigest()} partner\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_token_is_rotated_by_adding_a_second_and_retiring_the_first(tmp_path: Path) -> None:
    file = tmp_path / "tokens.map"
    for caller in ("a", "b", "a"):
        tokens(file, "add", caller)
    assert tokens(file, "list") == "a  2 tokens\nb  1 token\n"
    lines = file.read_text().splitlines()
    tokens(file, "retire", "a")
    assert file.read_text().splitlines() == lines[1:]
    tokens(file, "retire", "a")
    assert file.read_text().splitlines() == lines[1:]
    tokens(file, "remove", "a")
    assert file.read_text().splitlines() == [lines[1]]


@pytest.mark.parametrize("verb", ["retire", "remove"])
def test_a_caller_that_is_not_there_is_named(verb: str, tmp_path: Path) -> None:
    assert "no caller nobody" in tokens(tmp_path / "tokens.map", verb, "nobody", expect=1)


def test_a_name_that_would_break_the_file_is_refused(tmp_path: Path) -> None:
    for name in ("", "two words", "a\nb", "x" * 65, "-x"):
        tokens(tmp_path / "tokens.map", "add", "--", name, expect=2)
    assert not (tmp_path / "tokens.map").exists()


def test_a_file_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "tokens.map"
    file.write_text("a-token-as-it-is partner\n")
    message = tokens(file, "add", "partner", expect=1)
    assert "a-token-as-it-is" not in message
    assert file.read_text() == "a-token-as-it-is partner\n"
