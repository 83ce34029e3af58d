"""Answers as bytes of the wire, written from columns."""

from spotify_buddies.serve_app.ranking.encoding.encoder import Encoded, Encoder, draw_ids, encode_refused, merge

__all__ = ["Encoded", "Encoder", "draw_ids", "encode_refused", "merge"]
