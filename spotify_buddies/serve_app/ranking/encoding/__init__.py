"""Answers as protobuf's wire format, written from columns."""

from spotify_buddies.serve_app.ranking.encoding.encoder import Encoded, Encoder, draw_ids, encode_refused, merge
from spotify_buddies.serve_app.ranking.encoding.kernels import ID_BYTES
from spotify_buddies.serve_app.ranking.encoding.single import SingleAnswers

__all__ = ["ID_BYTES", "Encoded", "Encoder", "SingleAnswers", "draw_ids", "encode_refused", "merge"]
