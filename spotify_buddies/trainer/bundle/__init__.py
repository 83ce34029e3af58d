"""One immutable, hashed directory of data: everything that a replica needs to serve one model version.

No pickle, no code: a manifest, safetensors, npy and FAISS files, memory-mapped so that the replicas of a node share
one copy. Imports neither torch nor MLflow.
"""

from spotify_buddies.foundation.arrays.strings import KeyIndex, StringTable
from spotify_buddies.trainer.bundle.bundle import SKETCH_BYTES, Bundle
from spotify_buddies.trainer.bundle.golden import Golden
from spotify_buddies.trainer.bundle.manifest import SCHEMA_VERSION, BundleError, Manifest
from spotify_buddies.trainer.bundle.opening import open_bundle
from spotify_buddies.trainer.bundle.songs import SongFactors
from spotify_buddies.trainer.bundle.sources import CandidateSource
from spotify_buddies.trainer.bundle.write import BundleParts, add_metrics, write_bundle

__all__ = [
    "SCHEMA_VERSION",
    "SKETCH_BYTES",
    "Bundle",
    "BundleError",
    "BundleParts",
    "CandidateSource",
    "Golden",
    "KeyIndex",
    "Manifest",
    "SongFactors",
    "StringTable",
    "add_metrics",
    "open_bundle",
    "write_bundle",
]
