"""Regenerate the Python stubs beside the protos, and docs/api.md (`make protos`).

`python -m spotify_buddies.protos.generate`; needs the dev extra.
"""

from __future__ import annotations

import sys
from pathlib import Path

from spotify_buddies.protos.document import API, document

ROOT = Path(__file__).parent
PROTO = "buddies/v1/recommender.proto"


def generate(target: Path) -> list[Path]:
    """Write the stubs and their .pyi under `target` and return the files. RuntimeError when protoc fails."""
    from grpc_tools import protoc

    scripts = Path(sys.executable).parent
    arguments = [
        "protoc",
        f"-I{ROOT}",
        f"-I{Path(protoc.__file__).parent / '_proto'}",
        f"--plugin=protoc-gen-mypy={scripts / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={scripts / 'protoc-gen-mypy_grpc'}",
        f"--python_out={target}",
        f"--grpc_python_out={target}",
        f"--mypy_out=quiet:{target}",
        f"--mypy_grpc_out=quiet:{target}",
        PROTO,
    ]
    if protoc.main(arguments) != 0:
        raise RuntimeError(f"protoc failed on {PROTO}")
    written = sorted((target / PROTO).parent.glob("recommender_pb2*.py*"))
    for path in written:
        path.write_text(_repackage(path.read_text()))
    return written


def _repackage(source: str) -> str:
    """Our stubs live in the package `protos`; protoc names modules after the proto's path, `buddies.v1`."""
    return (
        source.replace("from buddies.v1 import", "from spotify_buddies.protos.buddies.v1 import")
        .replace("import buddies.v1.", "import spotify_buddies.protos.buddies.v1.")
        .replace("import buddies\n", "import spotify_buddies.protos.buddies\n")
        # The module that messages say they come from, or they cannot be pickled (Ray Serve's own proxy does that).
        .replace("'buddies.v1.recommender_pb2'", "'spotify_buddies.protos.buddies.v1.recommender_pb2'")
    )


if __name__ == "__main__":
    for path in generate(ROOT):
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")
    API.write_text(document(PROTO), encoding="utf-8")
    sys.stdout.write(f"{API.relative_to(ROOT.parents[1])}\n")
