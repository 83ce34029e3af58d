"""What a wheel holds: every file that the product reads, not its Python modules alone."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "spotify_buddies"
# For those who change the protocol; nothing reads them at run time.
DEVELOPMENT = {PACKAGE / "protos" / "released.binpb", PACKAGE / "protos" / "api.head.md"}


def test_every_file_of_the_product_is_package_data() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["spotify_buddies"]
    packed = {path for pattern in patterns for path in PACKAGE.glob(pattern)}
    files = {path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    data = {path for path in files if path.suffix != ".py"} - DEVELOPMENT
    assert {".html", ".sql", ".json", ".proto", ".pyi"} <= {path.suffix for path in data}
    assert sorted(str(path.relative_to(ROOT)) for path in data - packed) == []


def test_every_pattern_of_package_data_matches_a_file() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["spotify_buddies"]
    assert [pattern for pattern in patterns if not any(PACKAGE.glob(pattern))] == []
