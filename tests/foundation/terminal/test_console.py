"""Errors of commands in words."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import typer

from spotify_buddies.foundation.terminal.console import explained


def said_of(error: BaseException, capsys: pytest.CaptureFixture[str], *expected: type[Exception]) -> tuple[int, str]:
    """The exit code and what was printed, with an outer block around the inner one as commands have."""
    with pytest.raises(typer.Exit) as left, explained(*expected), explained(*expected):
        raise error
    return left.value.exit_code, capsys.readouterr().err


def test_an_interrupted_command_says_how_to_resume_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert said_of(KeyboardInterrupt(), capsys) == (130, "interrupted; rerun the same command to resume\n")


def test_a_files_error_names_the_file_once_and_no_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(tmp_path / "x"))
    expected = (1, f"error: {tmp_path / 'x'}: No such file or directory\n")
    assert said_of(missing, capsys) == said_of(missing, capsys, FileNotFoundError) == expected
    named = OSError(errno.EIO, f"cannot read {tmp_path / 'x'}", str(tmp_path / "x"))
    assert said_of(named, capsys) == (1, f"error: cannot read {tmp_path / 'x'}\n")


def test_an_error_without_a_file_has_no_empty_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert said_of(OSError(errno.EMFILE, "Too many open files"), capsys) == (1, "error: Too many open files\n")


def test_a_refused_connection_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    import psycopg

    with pytest.raises(psycopg.OperationalError) as refused:
        psycopg.connect("postgresql://me:secret@127.0.0.1:1/x", connect_timeout=5)
    code, said = said_of(refused.value, capsys, psycopg.Error)
    assert (code, said.count("failed"), said.count("error: ")) == (1, 1, 1)
    assert "127.0.0.1" in said
    assert "secret" not in said


def test_an_error_without_words_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert said_of(LookupError(), capsys, LookupError) == (1, "error: LookupError\n")
