"""The split of users between production and canary: a published contract."""

from __future__ import annotations

import numpy as np
import pytest
import xxhash

from spotify_buddies.serve_app.versions.arms import canaries, places

MANY = [f"listener-{n}" for n in range(100_000)]
SHARES = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0)


def test_the_place_of_a_user_is_the_documented_hash() -> None:
    ids = ["user-1", "é日本", ""]
    expected = [xxhash.xxh3_64_intdigest(b"salt\0" + user_id.encode()) for user_id in ids]
    assert places(ids, "salt").tolist() == expected
    # A number of its own, as this must never change.
    assert places(["user-1"], "salt").tolist() == [1_396_351_227_993_038_962]


@pytest.mark.parametrize("share", SHARES)
def test_the_share_of_users_is_the_one_asked_for(share: float) -> None:
    assert canaries(MANY, "s", share).mean() == pytest.approx(share, abs=0.01)


def test_whoever_is_in_a_small_share_stays_in_every_larger_one() -> None:
    before = np.zeros(len(MANY), bool)
    for share in SHARES:
        now = canaries(MANY, "s", share)
        assert np.all(now[before])
        before = now


def test_another_salt_draws_other_users() -> None:
    one, other = canaries(MANY, "s", 0.5), canaries(MANY, "t", 0.5)
    assert np.mean(one == other) == pytest.approx(0.5, abs=0.01)


def test_nobody_and_everybody() -> None:
    assert not canaries(MANY, "s", 0.0).any()
    assert canaries(MANY, "s", 1.0).all()
    assert canaries([], "s", 0.5).shape == (0,)


def test_a_user_without_an_id_stays_with_production() -> None:
    assert canaries(["", "a"], "s", 1.0).tolist() == [False, True]


def test_the_bytes_of_a_salt_and_an_id_are_kept_apart() -> None:
    assert places(["bc"], "a").tolist() != places(["c"], "ab").tolist()
