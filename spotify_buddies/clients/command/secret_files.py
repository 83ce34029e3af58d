"""Secrets in files, as Docker and Kubernetes provide them: NAME_file beside each setting NAME."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


class SecretError(Exception):
    """A secret cannot be read; the message names the setting and the file, never what it holds."""


def filled(values: Mapping[str, Any], names: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """`values` with each secret that has a file read from it. names: a secret's key and its other spellings.

    SecretError: the secret is given twice, or its file cannot be read or is empty.
    """
    complete = dict(values)
    for name, others in names.items():
        file = complete.get(f"{name}_file")
        if file is None:
            continue
        if any(spelling in complete for spelling in (name, *others)):
            raise SecretError(f"{name} and {name}_file are both set; keep one")
        complete[name] = read_secret(Path(file), f"{name}_file")
    return complete


def read_secret(path: Path, setting: str) -> str:
    """The text of a file without the line end that editors put behind it. SecretError."""
    # Perhaps the secret itself: it is not repeated. A path collapses the slashes of ://.
    if any(sign in str(path) for sign in ":@=") and not path.is_file():
        raise SecretError(f"{setting}: no such file; it names the file that holds the secret, not the secret itself")
    try:
        text = path.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise SecretError(f"{setting}: {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise SecretError(f"{setting}: {path} is not UTF-8 text") from None
    if not text:
        raise SecretError(f"{setting}: {path} is empty")
    return text
