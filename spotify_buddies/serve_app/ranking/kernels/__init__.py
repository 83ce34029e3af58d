"""Hot loops of serving: one call per request, nothing allocated per pair.

numba's cache beside a module goes by the age of that module alone: after a change to a function or a tuple that other
modules use, delete the *.nbi files of those too.
"""

from spotify_buddies.serve_app.ranking.kernels.columns import (
    Asked,
    Catalogue,
    ExplainedLists,
    KnownReasons,
    Libraries,
    ListColumns,
    ListRules,
    Ragged,
    Ties,
)
from spotify_buddies.serve_app.ranking.kernels.exploring import explore
from spotify_buddies.serve_app.ranking.kernels.gather import fold, fold_lists, gather_owned
from spotify_buddies.serve_app.ranking.kernels.keys import match_keys
from spotify_buddies.serve_app.ranking.kernels.known import look_up
from spotify_buddies.serve_app.ranking.kernels.order import offer
from spotify_buddies.serve_app.ranking.kernels.retrieval import join, mark, nearest, whole_scores
from spotify_buddies.serve_app.ranking.kernels.scoring import LIVE, POPULAR, POPULAR_IN_GENRE, dot, rank
from spotify_buddies.serve_app.ranking.kernels.songs import share, vote
from spotify_buddies.serve_app.ranking.kernels.ties import tie
from spotify_buddies.serve_app.ranking.kernels.weighing import genre_shares

__all__ = [
    "LIVE",
    "POPULAR",
    "POPULAR_IN_GENRE",
    "Asked",
    "Catalogue",
    "ExplainedLists",
    "KnownReasons",
    "Libraries",
    "ListColumns",
    "ListRules",
    "Ragged",
    "Ties",
    "dot",
    "explore",
    "fold",
    "fold_lists",
    "gather_owned",
    "genre_shares",
    "join",
    "look_up",
    "mark",
    "match_keys",
    "nearest",
    "offer",
    "rank",
    "share",
    "tie",
    "vote",
    "whole_scores",
]
