"""The pictures of docs/architecture.md show the rooms that there are and their imports; sizes are within limits."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from itertools import permutations
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "architecture.md"
PACKAGE = "spotify_buddies"
# Of a module's lines, and of the modules beside each other in a package, without __init__.
MOST_LINES, MOST_MODULES = 300, 14
# Written by protoc.
GENERATED = ("_pb2.py", "_pb2_grpc.py")

Arrows = set[tuple[str, str]]


@cache
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(PACKAGE, cache_dir=None)


def drawn(title: str, arrow: str = "-->") -> tuple[set[str], Arrows]:
    """Nodes and arrows of one kind of the Mermaid picture under a heading."""
    section = PAGE.read_text(encoding="utf-8").partition(f"\n## {title}\n")[2]
    picture = re.search(r"```mermaid\n(.*?)```", section, re.DOTALL)
    assert picture is not None, f"no picture under {title!r}"
    nodes = set(re.findall(r"^ *(\w+)\[", picture[1], re.MULTILINE))
    arrows: Arrows = set()
    for line in picture[1].splitlines():
        if f" {arrow} " in line:
            source, targets = line.split(arrow)
            arrows |= {(source.strip(), target.strip()) for target in targets.split("&")}
    return nodes, arrows


def rooms(parent: str) -> set[str]:
    """The packages and modules directly inside a package, by their last names."""
    return {name.rpartition(".")[2] for name in graph().find_children(parent)}


def imports(parent: str, leaving_out: str | None = None) -> Arrows:
    """Which room imports which, directly."""
    found: Arrows = set()
    for importer, imported in permutations(graph().find_children(parent), 2):
        inside = {importer, *graph().find_descendants(importer)} - {leaving_out}
        if any(
            target == imported or target.startswith(f"{imported}.")
            for module in inside
            for target in graph().find_modules_directly_imported_by(module)
        ):
            found.add((importer.rpartition(".")[2], imported.rpartition(".")[2]))
    return found


def reduced(arrows: Arrows) -> Arrows:
    """Without the arrows that a longer way says already (transitive reduction; there are no circles)."""
    after: dict[str, set[str]] = {}
    for source, target in arrows:
        after.setdefault(source, set()).add(target)

    def reach(start: str) -> set[str]:
        direct = after.get(start, set())
        return direct.union(*(reach(node) for node in direct))

    return {
        (source, target)
        for source, target in arrows
        if not any(target in reach(other) for other in after[source] - {target})
    }


@pytest.mark.parametrize(
    ("title", "parent"),
    [
        ("Rooms of trainer", f"{PACKAGE}.trainer"),
        ("Rooms of serve_app", f"{PACKAGE}.serve_app"),
        ("Rooms of clients", f"{PACKAGE}.clients"),
    ],
)
def test_a_picture_shows_the_rooms_and_their_imports(title: str, parent: str) -> None:
    nodes, arrows = drawn(title)
    there, wanted = rooms(parent), reduced(imports(parent))
    assert (sorted(there - nodes), sorted(nodes - there)) == ([], []), "rooms missing, and rooms that do not exist"
    assert (sorted(wanted - arrows), sorted(arrows - wanted)) == ([], []), "arrows missing, and arrows too many"


def test_the_packages_and_their_imports_and_what_the_root_command_adds() -> None:
    nodes, arrows = drawn("The packages")
    root = f"{PACKAGE}.clients.main"
    of_others = {name.split(".")[1] for name in graph().find_modules_directly_imported_by(root)} - {"clients"}
    assert nodes == rooms(PACKAGE)
    assert arrows == imports(PACKAGE, leaving_out=root)
    assert drawn("The packages", "-.->")[1] == {("clients", package) for package in of_others - {"foundation"}}


def test_every_module_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`((?:\w+/)+\w+\.py)`", PAGE.read_text(encoding="utf-8")))
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).exists() and not (ROOT / PACKAGE / name).exists()] == []


def modules() -> list[Path]:
    return [path for path in (ROOT / PACKAGE).rglob("*.py") if not path.name.endswith(GENERATED)]


def test_no_module_is_longer_than_the_limit() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in modules()}
    assert {str(path.relative_to(ROOT)): n for path, n in lengths.items() if n > MOST_LINES} == {}


def test_no_package_has_more_modules_than_the_limit() -> None:
    counts = Counter(path.parent for path in modules() if path.name != "__init__.py")
    assert {str(room.relative_to(ROOT)): n for room, n in counts.items() if n > MOST_MODULES} == {}
