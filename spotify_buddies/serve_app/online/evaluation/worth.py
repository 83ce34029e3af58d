"""What another version would earn, estimated from places of the lists that were drawn at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spotify_buddies.serve_app.online.evaluation import estimators
from spotify_buddies.serve_app.online.evaluation.estimates import Estimate, estimate, ratio, summed
from spotify_buddies.serve_app.online.evaluation.estimators import NoEstimate
from spotify_buddies.serve_app.online.evaluation.read import Logs

Array = npt.NDArray[Any]

_IN = "at >= %(since)s AND at < %(until)s"
_COUNTS = f"""
SELECT (SELECT count(*) FROM online_lists WHERE {_IN} AND model_version = %(of)s),
  (SELECT count(*) FROM online_impressions WHERE {_IN} AND model_version <> %(of)s AND propensity < 1)
"""  # noqa: S608 - our own text
# A decision: a place of a list that was drawn at random and reacted to, where the version's latest list for the same
# listener has a place of the same rank that was not drawn: there it shows that playlist with probability 1. Not where
# an earlier place of the drawn list has that playlist already: propensities are those given the places before, and
# given these the version would show another one.
_DECISIONS = f"""
WITH latest AS (
  SELECT DISTINCT ON (user_id) user_id, recommendation_id
  FROM online_lists WHERE {_IN} AND model_version = %(of)s ORDER BY user_id, at DESC, recommendation_id
), wanted AS (
  SELECT user_id, rank, playlist_id
  FROM online_impressions JOIN latest USING (user_id, recommendation_id)
  WHERE {_IN} AND model_version = %(of)s AND propensity = 1
), drawn AS (
  SELECT user_id, recommendation_id, rank, playlist_id, propensity
  FROM online_impressions WHERE {_IN} AND model_version <> %(of)s AND propensity < 1
)
SELECT hashtextextended(drawn.user_id, 0), (reacted.score = 1)::int::bigint, drawn.propensity::float8,
  (wanted.playlist_id = drawn.playlist_id)::int::bigint, hashtextextended(drawn.playlist_id, 0),
  hashtextextended(wanted.playlist_id, 0)
FROM drawn JOIN wanted USING (user_id, rank)
JOIN (SELECT user_id, recommendation_id, playlist_ids FROM online_places WHERE {_IN}) AS places
  ON (places.user_id, places.recommendation_id) = (drawn.user_id, drawn.recommendation_id)
  AND wanted.playlist_id <> ALL (places.playlist_ids[:drawn.rank::int - 1])
JOIN (SELECT user_id, recommendation_id, playlist_id, max(score) AS score FROM online_reactions WHERE {_IN}
  GROUP BY 1, 2, 3) AS reacted
  ON (reacted.user_id, reacted.recommendation_id, reacted.playlist_id)
   = (drawn.user_id, drawn.recommendation_id, drawn.playlist_id)
"""  # noqa: S608
# Reactions that the mean counts for in a playlist's like rate, in the model of doubly robust.
_PRIOR = 10.0


@dataclass(frozen=True)
class Worth:
    """Likes per place that was drawn, if the version had filled it. decisions: places; logged: what they did earn.

    mean_weight: 1 where the logs can show all that the version would.
    """

    version: str
    decisions: int
    effective_size: float
    mean_weight: Estimate
    logged: Estimate
    ips: Estimate
    snips: Estimate
    doubly_robust: Estimate


def estimate_worth(logs: Logs, version: str, floor: float = estimators.FLOOR) -> Worth:
    """Estimates with intervals by listener. NoEstimate: the logs do not overlap with what the version shows."""
    own, drawn = logs.row(_COUNTS, of=version)
    if not drawn:
        raise NoEstimate(estimators.DETERMINISTIC)
    if not own:
        raise NoEstimate(f"version {version} was shown to nobody in this window: nothing says what it would show")
    listeners, reward, logging, same, playlist, wanted = logs.columns(_DECISIONS, "iifiii", of=version)
    if not listeners.size:
        raise NoEstimate(
            f"no place that was drawn at random was reacted to by a listener who got a list of version {version} too"
        )
    weight = estimators.weights(logging, same.astype(np.float64))
    estimators.require(logging, weight, floor)
    mean_weight = _checked(_by_listener(listeners, weight), version)
    model = _rates(listeners, reward, playlist)
    robust = estimators.doubly_robust(reward, weight, model(playlist), model(wanted))
    return Worth(
        version,
        int(listeners.size),
        estimators.effective_size(weight),
        mean_weight,
        _by_listener(listeners, reward),
        _by_listener(listeners, estimators.inverse_propensity(reward, weight)),
        _weighted(listeners, reward, weight),
        _by_listener(listeners, robust),
    )


def _checked(mean_weight: Estimate, version: str) -> Estimate:
    """The same. NoEstimate: by its interval it is not 1, which it is wherever the logs overlap with the version."""
    if mean_weight.low is None or mean_weight.high is None:
        raise NoEstimate(
            "the places that were drawn are of one listener, or all weigh the same: no interval can be given"
        )
    said = (
        f"the weights' mean is {mean_weight.value:.3f} ({mean_weight.low:.3f} to {mean_weight.high:.3f}) instead of 1"
    )
    if mean_weight.high < 1:
        raise NoEstimate(
            f"{said}: version {version} shows playlists that the logged lists could not, and they say nothing of those"
        )
    if mean_weight.low > 1:
        raise NoEstimate(f"{said}: the logged propensities are not those of the places that were reacted to")
    return mean_weight


def _by_listener(listeners: Array, terms: Array) -> Estimate:
    keys, above, count = summed(listeners, terms, np.ones(terms.size))
    return estimate(ratio(keys, above, count))


def _weighted(listeners: Array, reward: Array, weight: Array) -> Estimate:
    """SNIPS is a ratio of sums, and its interval that of a ratio."""
    keys, above, below = summed(listeners, reward * weight, weight)
    return estimate(ratio(keys, above, below))


def _rates(listeners: Array, reward: Array, playlist: Array) -> Any:
    """The model: like rates of playlists, drawn to the mean, learned from the other half of the listeners."""
    fold = listeners & 1

    def model(asked: Array) -> Array:
        found = np.empty(asked.size)
        for half in (0, 1):
            others = fold != half
            rate = float(reward[others].mean()) if others.any() else float(reward.mean())
            known, likes, count = summed(playlist[others], reward[others], np.ones(int(others.sum())))
            rates = np.append((likes + _PRIOR * rate) / (count + _PRIOR), rate)
            at = np.searchsorted(known, asked)
            at[at < known.size] = np.where(
                known[at[at < known.size]] == asked[at < known.size], at[at < known.size], known.size
            )
            found[fold == half] = rates[at][fold == half]
        return found

    return model
