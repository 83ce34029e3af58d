"""Answers for one known user: nine tenths of such a call would be Python around kernels that take microseconds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import xxhash

from spotify_buddies.serve_app.errors import NonFiniteScores
from spotify_buddies.serve_app.ranking.encoding.encoder import Encoder
from spotify_buddies.serve_app.ranking.encoding.kernels.single import answer_one
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.query import Arm, RankedLists, Source
from spotify_buddies.serve_app.ranking.reasons import EXAMPLES, UNSHARED
from spotify_buddies.serve_app.ranking.rules import Rules
from spotify_buddies.trainer.bundle.sources import PAIRING, POPULAR

Array = npt.NDArray[Any]

_SOURCES = {Source.LIVE.value: (Source.LIVE,), Source.POPULAR.value: (Source.POPULAR,)}


class Shared(NamedTuple):
    """What of an engine and its encoder kernels take for one listener, as plain tuples; fixed: by arm.

    user_index: hashes, rows, offsets and bytes of the user ids.
    """

    user_index: tuple[Any, ...]
    catalogue: tuple[Any, ...]
    libraries: tuple[Any, ...]
    known: tuple[Any, ...]
    ties: tuple[Any, ...]
    fixed: Mapping[Arm, tuple[Any, ...]]

    @classmethod
    def of(cls, engine: Engine, encoder: Encoder) -> Shared:
        """Those of an engine."""
        ids = engine.bundle.user_ids
        return cls(
            (ids.hashes, ids.rows, ids.table.offsets, ids.table.data), tuple(engine.catalogue),
            tuple(engine.libraries), tuple(engine.known_reasons), tuple(engine.ties),
            {arm: tuple(encoder.fixed(arm)) for arm in Arm},
        )  # fmt: skip


class SingleAnswers:
    """Ranks, explains and encodes for one known user of an engine in one call of a kernel."""

    def __init__(self, engine: Engine, shared: Shared) -> None:
        self._engine, self._shared = engine, shared
        bundle = engine.bundle
        songs, candidates = bundle.user_songs, bundle.candidates
        self._held = (
            bundle.user_factors, candidates.indptr, candidates.indices, engine.candidate_scores, engine.candidate_bits,
            songs.indptr, songs.indices,
        )  # fmt: skip
        # By the numbers of the kernels: LIVE, POPULAR.
        numbers = np.array([Source.LIVE, Source.POPULAR], np.int8)
        self._labels = numbers, UNSHARED[numbers], PAIRING, POPULAR

    def answer(
        self, user_id: str, limit: int, excluded: Array, rules: Rules, drawn: bytes, arm: Arm, *, explained: bool
    ) -> tuple[bytes, RankedLists] | None:
        """The answer of a user as Encoder.encode writes it, and the list as Engine.rank_known ranks it.

        drawn: from draw_ids(1). None: the user's songs have to be searched with first. NonFiniteScores.
        """
        key, shared = user_id.encode(errors="surrogatepass"), self._shared
        users, rows, scores = np.empty(1, np.int32), np.empty((1, limit), np.int32), np.empty((1, limit), np.float32)
        counts, number, found_by = np.empty(1, np.int32), np.empty(1, np.int8), np.empty((1, limit), np.uint8)
        data = answer_one(
            np.uint64(xxhash.xxh3_64_intdigest(key)), np.frombuffer(key, np.uint8), np.frombuffer(drawn, np.uint8),
            shared.user_index, self._held, shared.catalogue, tuple(self._engine.list_rules(rules, excluded, 1)),
            shared.libraries, shared.known, shared.ties, shared.fixed[arm], self._labels, explained, EXAMPLES,
            (users, rows, scores, counts, number, found_by),
        )  # fmt: skip
        if not data.size:
            return None
        if not all(map(math.isfinite, scores[0].tolist())):
            raise NonFiniteScores(self._engine.version)
        lists = RankedLists(
            (user_id,), rows, scores, counts, _SOURCES[int(number[0])], ((),), (0,), self._engine.bundle.user_songs,
            users, None, found_by,
        )  # fmt: skip
        return data.tobytes(), lists
