"""The versions of a replica, as messages of GetModelStatus."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.generations.state import Held, Load
from spotify_buddies.serve_app.versions.answers import Answers
from spotify_buddies.serve_app.versions.rotation import Assignment
from spotify_buddies.serve_app.versions.table import VersionTable

_STATES = {
    Load.LOADING: pb.VERSION_STATE_LOADING,
    Load.READY: pb.VERSION_STATE_READY,
    Load.FAILED: pb.VERSION_STATE_FAILED,
}


def describe(now: Assignment, table: VersionTable[Answers]) -> list[pb.ModelVersion]:
    """Every version of the table: production, then the canary, then the others in the order in which they came.

    A version that is served is included even when no generation wants it: it serves until another one is loaded.
    """
    production = now.production.answers
    arms = {production.version: (pb.ARM_PRODUCTION, 1.0 - now.share if now.canary is not None else 1.0)}
    if now.canary is not None:
        arms[now.canary.answers.version] = (pb.ARM_CANARY, now.share)
    held = {version: (state, table.get(version)) for version, state in table.held.items()}
    if held.get(production.version, (None, None))[1] is None:
        held[production.version] = (Held(Load.READY, now.since, sha256=production.engine.bundle.sha256), production)
    ordered = [*arms, *(version for version in held if version not in arms)]
    return [_version(version, *held[version], *arms.get(version, (pb.ARM_UNSPECIFIED, 0.0))) for version in ordered]


def _version(version: str, held: Held, answers: Answers | None, arm: pb.Arm.ValueType, share: float) -> pb.ModelVersion:
    since = Timestamp()
    since.FromDatetime(held.since)
    manifest = None if answers is None else answers.engine.bundle.manifest
    return pb.ModelVersion(
        version=version,
        state=_STATES[held.state],
        arm=arm,
        share=share,
        since=since,
        bundle_sha256=held.sha256,
        message=held.message,
        users=0 if manifest is None else manifest.users,
        playlists=0 if manifest is None else manifest.playlists,
    )
