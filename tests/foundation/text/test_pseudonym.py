"""Keyed hashes of ids, and where their key comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from spotify_buddies.foundation.process.errors import LaunchError
from spotify_buddies.foundation.text.pseudonym import KEY_FILE, key_name, pseudonym, read_key


def test_a_pseudonym_is_an_hmac_sha256() -> None:
    # Test case 2 of RFC 4231.
    expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert pseudonym(b"Jefe", "what do ya want for nothing?").hex() == expected


def test_keys_are_told_apart_by_names_that_are_no_pseudonym() -> None:
    assert key_name(b"one") != key_name(b"two")
    assert len(key_name(b"one")) == 8


def test_the_key_of_a_state_directory_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    key = read_key(tmp_path)
    assert len(key) == 64
    assert read_key(tmp_path) == key
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600


def test_a_named_file_is_the_key_unless_it_is_too_short(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"0123456789abcdef\n")
    assert read_key(tmp_path, file) == b"0123456789abcdef"
    file.write_bytes(b"short")
    with pytest.raises(LaunchError, match="holds 5 bytes"):
        read_key(tmp_path, file)
