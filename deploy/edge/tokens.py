"""The edge's callers and their tokens: a file with one SHA-256 and one caller's name a line, never a token.

    python deploy/edge/tokens.py add partner > partner.token    # shown once; hand it over, then reload the edge
    python deploy/edge/tokens.py add partner > newer.token      # rotation: both tokens are good ...
    python deploy/edge/tokens.py retire partner                 # ... until all but the caller's newest are taken out
    python deploy/edge/tokens.py remove partner
    python deploy/edge/tokens.py list

The file is --file, else $EDGE_TOKENS, else tokens.map beside this script. Exit codes: 0 done, 1 no such caller,
2 wrong usage.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import secrets
import sys
from collections import Counter
from pathlib import Path

# The beginning marks a token as one of ours for scanners that look for lost ones; 256 bits are random.
PREFIX = "buddies_"
CALLER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

Entry = tuple[str, str]


def make_token() -> str:
    """A new token: the prefix and 43 characters of a URL."""
    return PREFIX + secrets.token_urlsafe(32)


def digest(token: str) -> str:
    """What the file keeps. No salt and no slow hash: nobody guesses 256 random bits."""
    return hashlib.sha256(token.encode()).hexdigest()


def read(path: Path) -> list[Entry]:
    """The file's (digest, caller) in its order, oldest first; none when there is no file. Comments are lost."""
    if not path.exists():
        return []
    lines = [line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
    entries = []
    for line in lines:
        hashed, _, caller = line.partition(" ")
        if not re.fullmatch(r"[0-9a-f]{64}", hashed) or not CALLER.fullmatch(caller):
            raise SystemExit(f"error: {path}: a line is not '<sha256 in lower case hex> <caller>'")
        entries.append((hashed, caller))
    return entries


def write(path: Path, entries: list[Entry]) -> None:
    """Replace the file at once; its owner alone may read it."""
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.writelines(f"{hashed} {caller}\n" for hashed, caller in entries)
    partial.replace(path)


def retired(entries: list[Entry], caller: str) -> list[Entry]:
    """The entries without the caller's, except the newest of them."""
    newest = next(entry for entry in reversed(entries) if entry[1] == caller)
    return [entry for entry in entries if entry[1] != caller or entry == newest]


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says."""
    options = _parse(arguments)
    path: Path = options.file
    entries = read(path)
    if options.verb == "list":
        for caller, count in sorted(Counter(caller for _, caller in entries).items()):
            sys.stdout.write(f"{caller}  {count} token{'s' if count > 1 else ''}\n")
        return 0
    if options.verb == "add":
        token = make_token()
        write(path, [*entries, (digest(token), options.caller)])
        sys.stdout.write(f"{token}\n")
        return 0
    if options.caller not in (caller for _, caller in entries):
        sys.stderr.write(f"error: {path}: no caller {options.caller}\n")
        return 1
    gone = options.verb == "remove"
    write(
        path, [entry for entry in entries if entry[1] != options.caller] if gone else retired(entries, options.caller)
    )
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("EDGE_TOKENS") or Path(__file__).with_name("tokens.map"))
    parser.add_argument("--file", type=Path, default=default)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list", help="callers and how many tokens each has")
    for verb, says in {
        "add": "make a token for a caller and print it",
        "retire": "take out all of a caller's tokens but the newest",
        "remove": "take out a caller",
    }.items():
        verbs.add_parser(verb, help=says).add_argument("caller", type=_caller)
    return parser.parse_args(arguments)


def _caller(text: str) -> str:
    if not CALLER.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not 1 to 64 letters, digits, dots, dashes and underscores")
    return text


if __name__ == "__main__":
    sys.exit(main())
