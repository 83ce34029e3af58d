"""Kernels that write answers as protobuf's wire format, from columns."""

from spotify_buddies.serve_app.ranking.encoding.kernels.columns import Fixed, Sent, Table
from spotify_buddies.serve_app.ranking.encoding.kernels.merging import merge
from spotify_buddies.serve_app.ranking.encoding.kernels.names import encode_playlists, encode_songs
from spotify_buddies.serve_app.ranking.encoding.kernels.recommendations import encode
from spotify_buddies.serve_app.ranking.encoding.kernels.tags import ID_BYTES
from spotify_buddies.serve_app.ranking.encoding.kernels.wire import copy

__all__ = [
    "ID_BYTES",
    "Fixed",
    "Sent",
    "Table",
    "copy",
    "encode",
    "encode_playlists",
    "encode_songs",
    "merge",
]
