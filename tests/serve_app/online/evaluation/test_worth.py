"""`buddies online worth`: a number only where the logs drew at random what the version would show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest


def test_deterministic_logs_give_a_sentence_instead_of_a_number(logged: Any, online: Any, told: Any) -> None:
    logged.show("ann", "ab")
    logged.react("ann", a=1)
    assert "no estimate: no propensity below 1 is logged" in online("worth", "--version", "8")
    assert set(told("worth", "--version", "8")) == {"version", "refused"}


def test_rows_that_say_no_propensity_are_no_exploration(logged: Any, online: Any) -> None:
    logged.show("ann", "ab", scored=False, propensities=None)
    logged.react("ann", a=1)
    assert "no propensity below 1 is logged" in online("worth", "--version", "8")


def test_a_version_that_nobody_saw_and_one_without_shared_listeners(logged: Any, online: Any) -> None:
    logged.show("ann", "ab", propensities=[1.0, 0.5])
    logged.react("ann", b=1)
    assert "version 8 was shown to nobody in this window" in online("worth", "--version", "8")
    logged.show("bob", "ac", rec="2", version="8", arm="canary")
    assert "a listener who got a list of version 8 too" in online("worth", "--version", "8")


def test_little_overlap_is_refused(logged: Any, online: Any) -> None:
    for user in ("ann", "bob", "cat"):
        logged.show(user, "ab", rec=user, propensities=[1.0, 0.5])
        logged.show(user, "ab", rec=f"{user} 8", version="8", arm="canary")
        logged.react(user, rec=user, b=1)
    assert "the effective sample size is 3.0 of 3 logged decisions, below the floor of 100" in online(
        "worth", "--version", "8"
    )


def explored(logged: Any, wanted: str, listeners: int = 400) -> list[tuple[str, int]]:
    """Lists whose last place is b or c, evenly; version 8 shows `wanted` there. b is liked by 3 of 4, c by 1 of 4."""
    rng = np.random.default_rng(3)
    shown = []
    for _ in range(listeners):
        drawn = "bc"[int(rng.random() < 0.5)]
        liked = int(rng.random() < {"b": 0.75, "c": 0.25}[drawn])
        shown.append((drawn, liked))
    rows = ", ".join(
        f"('2026-03-03', 'r{n}', 'u{n}', '{{a,{drawn}}}', '7', 'production', 'live', '{{1,1}}', '{{1,0.5}}'), "
        f"('2026-03-04', 's{n}', 'u{n}', '{{a,{wanted}}}', '8', 'canary', 'live', '{{1,1}}', NULL)"
        for n, (drawn, _) in enumerate(shown)
    )
    logged.run(
        "INSERT INTO impressions (at, recommendation_id, user_id, playlist_ids, model_version, arm, source, scores, "
        f"propensities) VALUES {rows}"
    )
    rows = ", ".join(
        f"('2026-03-03', {n}, 'r{n}', 'u{n}', '{drawn}', {liked}, '7', 'production'), "
        f"('2026-03-03', {n}, 'r{n}', 'u{n}', 'a', 1, '7', 'production')"
        for n, (drawn, liked) in enumerate(shown)
    )
    logged.run(f"INSERT INTO reactions VALUES {rows}")
    return shown


def test_estimates_are_those_of_the_places_that_were_drawn(logged: Any, online: Any, told: Any) -> None:
    shown = explored(logged, "b")
    of_b = [liked for drawn, liked in shown if drawn == "b"]
    found = told("worth", "--version", "8")
    assert (found["decisions"], found["effective_size"]) == (400, pytest.approx(len(of_b)))
    assert found["logged"]["value"] == pytest.approx(np.mean([liked for _, liked in shown]))
    assert found["ips"]["value"] == pytest.approx(2 * sum(of_b) / 400)
    assert found["snips"]["value"] == pytest.approx(np.mean(of_b))
    assert found["mean_weight"]["value"] == pytest.approx(2 * len(of_b) / 400)
    for name in ("snips", "doubly_robust"):
        assert found[name]["low"] < 0.75 < found[name]["high"]
    text = online("worth", "--version", "8")
    assert f"400 places, effective sample size {len(of_b):,}.0" in text
    assert "doubly robust" in text


def test_a_version_that_shows_what_the_logs_could_not_is_refused(logged: Any, online: Any) -> None:
    explored(logged, "b")
    logged.run("UPDATE impressions SET playlist_ids = '{a,z}' WHERE model_version = '8' AND right(user_id, 1) > '5'")
    text = online("worth", "--version", "8", "--floor", "50")
    assert "no estimate: the weights' mean is 0." in text
    assert "version 8 shows playlists that the logged lists could not" in text


def test_weights_that_are_too_large_and_one_listener_are_refused(logged: Any, online: Any) -> None:
    explored(logged, "b")
    logged.run("DELETE FROM reactions WHERE playlist_id = 'c' AND right(user_id, 1) > '2'")
    assert "the logged propensities are not those of the places" in online("worth", "--version", "8")
    logged.run("UPDATE impressions SET user_id = 'ann'; UPDATE reactions SET user_id = 'ann'")
    text = online("worth", "--version", "8", "--floor", "50")
    assert "no estimate: the places that were drawn are of one listener" in text
