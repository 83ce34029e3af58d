"""Ray Serve's configuration of HAProxy, rewritten with the front's rules.

Ray rewrites the file at each change of replicas, and has no setting for any of this. The wrapper runs `main` before
HAProxy reads the file, so this imports nothing but the standard library.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

from spotify_buddies.serve_app.runtime.front.rules import (
    BUFFER_BYTES,
    MOST_HEADERS,
    Front,
    Rules,
    backend_rules,
    grpc_rules,
    http_rules,
    refuse,
    server,
    tables,
    token_rules,
)
from spotify_buddies.serve_app.runtime.front.unary import routed, unary_backend

# Without a replica too.
_EXPECTED = {
    "global",
    "defaults",
    "frontend prometheus",
    "frontend http_frontend",
    "frontend grpc_frontend",
    "listen stats",
}
_HEADER = re.compile(r"(global|defaults|frontend|backend|listen)\b")


@dataclass(frozen=True)
class _Section:
    """One section of the file: its first line, and those that follow."""

    first: str
    lines: list[str]

    @property
    def name(self) -> str:
        return self.first.partition("#")[0].strip()

    @property
    def speaks_http2(self) -> bool:
        return any(re.search(r"\bproto h2\b", line) for line in self.lines)


def rewrite(text: str, front: Front) -> str:
    """The same configuration with our rules. ValueError: it is not such a configuration as Ray writes.

    A part that we do not find would stay without its limits, so that HAProxy must not start.
    """
    before, sections = _split(text)
    missing = _EXPECTED - {section.name for section in sections}
    if missing:
        raise ValueError(f"this is not the configuration that Ray is known to write: no section {min(missing)!r}")
    unary = {
        section.name.removeprefix("backend "): unary_backend(
            section.name.removeprefix("backend "), section.lines, front
        )
        for section in sections
        if section.name.startswith("backend grpc-")
    }
    beside = [name for name, lines in unary.items() if lines]
    written = [*before]
    for section in sections:
        written += [section.first, *_rewritten(section, front, beside)]
    return "\n".join([*written, *chain.from_iterable(unary.values()), *tables(), ""])


def _split(text: str) -> tuple[list[str], list[_Section]]:
    before: list[str] = []
    sections: list[_Section] = []
    for line in text.splitlines():
        if _HEADER.match(line):
            sections.append(_Section(line, []))
        else:
            (sections[-1].lines if sections else before).append(line)
    return before, sections


def _rewritten(section: _Section, front: Front, beside: list[str]) -> Rules:
    lines = [line for line in section.lines if not re.match(r"\s*log 127\.0\.0\.1:514 ", line)]
    if section.name == "global":
        yield from _global(lines)
    elif section.name in ("frontend prometheus", "listen stats"):
        yield from _status_page(lines, front)
    elif section.name == "frontend http_frontend":
        yield from _after_binds(lines, http_rules)
    elif section.name == "frontend grpc_frontend":
        yield from routed([*_after_binds(lines, lambda: grpc_rules(front))], beside)
    elif section.name == "backend default_grpc_backend":
        yield refuse(14, "no replica is ready or has room", "")
    elif section.name.startswith("backend grpc"):
        if not section.speaks_http2:
            raise ValueError(f"{section.name!r} does not speak HTTP/2")
        yield from (server(line, front) for line in lines)
        yield from backend_rules(front)
    else:
        yield from lines


def _global(lines: list[str]) -> Rules:
    """The admin socket is for this user alone, and one call's headers fit into a buffer."""
    sockets = 0
    for line in lines:
        if line.strip().startswith("stats socket "):
            closed, changed = re.subn(r"\bmode \d+\b", "mode 600", line)
            if not changed:
                raise ValueError(f"no mode in {line.strip()!r}")
            sockets += 1
            yield closed
        elif not line.strip().startswith("tune.bufsize "):
            yield line
    if not sockets:
        raise ValueError("no 'stats socket' in section 'global'")
    yield f"    tune.bufsize {BUFFER_BYTES}"
    yield f"    tune.http.maxhdr {MOST_HEADERS}"


def _status_page(lines: list[str], front: Front) -> Rules:
    local = [re.sub(r"^(\s*bind )\*?:(\d+)$", rf"\g<1>{front.host}:\2", line) for line in lines]
    for line in local:
        if line.strip().startswith("bind ") and not line.strip().startswith(f"bind {front.host}:"):
            raise ValueError(f"a status page listens elsewhere: {line.strip()!r}")
    yield from _after_binds(local, lambda: token_rules(front))


def _after_binds(lines: list[str], rules: Callable[[], Rules]) -> Rules:
    last = max((place for place, line in enumerate(lines) if line.strip().startswith("bind ")), default=-1)
    if last < 0:
        raise ValueError("a frontend without a line 'bind'")
    yield from lines[: last + 1]
    yield from rules()
    yield from lines[last + 1 :]


def save(front: Front, path: Path) -> None:
    """Write what the program reads."""
    path.write_text(json.dumps(asdict(front)))


def main(settings: str, *files: str) -> None:
    """Rewrite configuration files in place; one that was rewritten before stays as it is."""
    front = Front(**json.loads(Path(settings).read_bytes()))
    for file in map(Path, files):
        text = file.read_text()
        if "backend calls_by_caller" not in text:
            file.write_text(rewrite(text, front))
