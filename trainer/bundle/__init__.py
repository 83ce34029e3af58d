"""One immutable, hashed directory of data: everything that a replica needs to serve one model version.

No pickle, no code: a manifest, safetensors, npy and FAISS files, memory-mapped so that the replicas of a node share
one copy. Imports neither torch nor MLflow.
"""

from trainer.bundle.bundle import SKETCH_BYTES, Bundle, open_bundle
from trainer.bundle.golden import Golden
from trainer.bundle.manifest import SCHEMA_VERSION, BundleError, Manifest
from trainer.bundle.songs import SongFactors
from trainer.bundle.strings import KeyIndex, StringTable
from trainer.bundle.write import BundleParts, write_bundle

__all__ = [
    "SCHEMA_VERSION",
    "SKETCH_BYTES",
    "Bundle",
    "BundleError",
    "BundleParts",
    "Golden",
    "KeyIndex",
    "Manifest",
    "SongFactors",
    "StringTable",
    "open_bundle",
    "write_bundle",
]
