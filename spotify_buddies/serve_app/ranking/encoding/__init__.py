"""Answers as protobuf's wire format, written from columns."""

from spotify_buddies.serve_app.ranking.encoding.answered import Answered, Batch
from spotify_buddies.serve_app.ranking.encoding.encoder import (
    Encoded,
    Encoder,
    draw_ids,
    encode_refused,
    ids_of,
    merge,
)
from spotify_buddies.serve_app.ranking.encoding.ordered import Ranked, encode_ordered
from spotify_buddies.serve_app.ranking.encoding.single import Shared, SingleAnswers
from spotify_buddies.serve_app.ranking.encoding.taste import CountedTaste, TasteAnswers

__all__ = [
    "Answered",
    "Batch",
    "CountedTaste",
    "Encoded",
    "Encoder",
    "Ranked",
    "Shared",
    "SingleAnswers",
    "TasteAnswers",
    "draw_ids",
    "encode_ordered",
    "encode_refused",
    "ids_of",
    "merge",
]
