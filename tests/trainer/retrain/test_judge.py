"""What speaks against a retrained version: real rankers over bundles whose factors the test chooses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.serve_app.offline.cli import open_ranker
from spotify_buddies.trainer.bundle import Bundle
from spotify_buddies.trainer.dataset.table import FOLLOWS, WARM, Dataset, open_dataset
from spotify_buddies.trainer.retrain.judge import Judged, judge
from spotify_buddies.trainer.settings import RetrainSettings
from tests.trainer.hand_made import hand_made
from tests.trainer.planted import GENRES, PLAYLISTS, USERS, Planted

SETTINGS = RetrainSettings(least_people=20)


@pytest.fixture(scope="module")
def standing(planted: Planted) -> Dataset:
    return open_dataset(planted.dataset)


@pytest.fixture(scope="module")
def data(standing: Dataset) -> Dataset:
    """The same people, whose likes are what they said."""
    return replace(standing, labels=FOLLOWS, feedback_alone=True)


def made(directory: Path, data: Dataset, seed: int, *, sure: float = 3.0, loud: float = 0.0) -> Bundle:
    """Everybody's own genre counts `sure`, beside noise of 1; playlist 0 is that much louder for all."""
    rng = np.random.default_rng(seed)
    users = np.concatenate([sure * np.eye(GENRES)[np.arange(USERS) % GENRES], rng.normal(size=(USERS, 8))], axis=1)
    lists = np.concatenate(
        [np.eye(GENRES)[np.arange(PLAYLISTS) % GENRES], rng.normal(size=(PLAYLISTS, 8)) / np.sqrt(8)], axis=1
    )
    one = np.zeros((PLAYLISTS, 1))
    one[0] = loud
    return hand_made(
        directory,
        data,
        np.concatenate([users, np.ones((USERS, 1))], axis=1),
        np.concatenate([lists, one], axis=1),
        users=range(USERS),
        playlists=range(PLAYLISTS),
        offered=Csr.from_rows([list(range(PLAYLISTS))] * USERS, PLAYLISTS),
    )


@pytest.fixture(scope="module")
def serving(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return made(tmp_path_factory.mktemp("serving") / "bundle", data, 1)


@pytest.fixture(scope="module")
def better(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return made(tmp_path_factory.mktemp("better") / "bundle", data, 1, sure=9.0)


def blocks(*, people: int = 100, rank: int | None = 2, split: str = "test") -> pl.DataFrame:
    """Everybody likes a playlist of their own genre among four of others."""
    rows = [
        (
            f"user-{user}",
            [f"playlist-{user % GENRES + 6}"],
            [f"playlist-{user % GENRES + other}" for other in range(7, 11)],
            rank,
            split,
        )
        for user in range(people)
    ]
    schema = {"user_id": pl.String(), "liked": pl.List(pl.String()), "ignored": pl.List(pl.String())}
    return pl.DataFrame(rows, schema={**schema, "rank": pl.Int64(), "split": pl.String()}, orient="row")


def dealt_to_others(data: Dataset) -> Dataset:
    """Every warm user has the likes of another genre's one."""
    warm = np.flatnonzero(np.asarray(data.user_kind) == WARM)
    others = np.arange(USERS)
    others[warm] = np.roll(warm, 1)
    return replace(data, liked=data.liked.take(others))


def ask(
    data: Dataset, standing: Dataset, new: Bundle, serving: Bundle, said: pl.DataFrame, **settings: float
) -> tuple[str, ...]:
    judged = Judged(data, standing, said, new, serving, open_ranker)
    return judge(judged, SETTINGS.model_copy(update=settings)).against


def test_nothing_speaks_against_a_better_version(
    data: Dataset, standing: Dataset, better: Bundle, serving: Bundle
) -> None:
    found = judge(Judged(data, standing, blocks(), better, serving, open_ranker), SETTINGS)
    assert found.against == ()
    assert found.fit is not None
    assert found.feedback is not None
    assert found.standing is not None
    assert found.spread is not None
    # Of those who ask for one of their own genre nearly all find it; of others one in six.
    assert found.fit.low > 0.5
    assert found.feedback.people == 100
    assert found.feedback.difference.low > 0
    assert found.standing.difference.low > 0
    assert found.standing.people == found.spread.people == int((np.asarray(data.user_kind) == WARM).sum())
    assert found.to_json()["feedback"]["new"]["value"] == found.feedback.new.value


def test_a_version_against_itself_is_not_refused(data: Dataset, standing: Dataset, serving: Bundle) -> None:
    found = judge(Judged(data, standing, blocks(), serving, serving, open_ranker), SETTINGS)
    assert found.against == ()
    assert found.standing is not None
    assert found.standing.difference.value == 0
    assert found.spread is not None
    assert all(new == before for new, before in (found.spread.coverage, found.spread.evenness, found.spread.most_shown))


def test_with_too_few_people_nothing_is_asked(
    data: Dataset, standing: Dataset, better: Bundle, serving: Bundle
) -> None:
    found = judge(Judged(data, standing, blocks(people=19), better, serving, open_ranker), SETTINGS)
    assert found.against == ("19 people have held-out feedback, and 20 are needed to judge",)
    assert (found.fit, found.feedback, found.standing, found.spread) == (None, None, None, None)
    # What trained or validated is no held-out feedback.
    mixed = pl.concat([blocks(people=19), blocks(split="train"), blocks(split="validation")])
    assert ask(data, standing, better, serving, mixed) == found.against
    assert ask(data, standing, better, serving, blocks(people=20)) == ()


def test_feedback_that_was_dealt_to_others_is_said_not_to_fit(
    data: Dataset, standing: Dataset, better: Bundle, serving: Bundle
) -> None:
    (reason,) = ask(dealt_to_others(data), standing, better, serving, blocks())
    assert reason.startswith("the feedback does not fit the people who gave it")
    # Of simulated likes nobody asks whether people gave them.
    assert ask(dealt_to_others(standing), standing, better, serving, blocks()) == ()


def upside_down(bundle: Bundle, users: range) -> Bundle:
    """These users score everything the other way round; what is served stays as it is."""
    factors = np.array(bundle.user_factors)
    factors[users.start : users.stop] *= -1
    return replace(bundle, user_factors=factors)


def test_a_version_that_orders_lists_worse_beyond_chance_is_refused_with_the_figures(
    data: Dataset, standing: Dataset, serving: Bundle
) -> None:
    worse = upside_down(serving, range(50))
    (reason,) = ask(data, standing, worse, serving, blocks(), standing_drop=1.0, drop=1.0)
    assert reason.startswith("on the held-out feedback of 100 people the MRR within the lists is 0.")
    assert reason.endswith("of the version that serves")


def test_a_fall_that_chance_explains_is_refused_where_it_is_more_than_is_allowed(
    data: Dataset, standing: Dataset, serving: Bundle
) -> None:
    # One of twenty people: a resample in three is without them.
    worse = upside_down(serving, range(3, 4))
    assert ask(data, standing, worse, serving, blocks(people=20), drop=0.1) == ()
    (reason,) = ask(data, standing, worse, serving, blocks(people=20), drop=0.01)
    assert reason.startswith("on the held-out feedback of 20 people")


def test_a_version_that_forgot_the_standing_likes_is_refused(data: Dataset, standing: Dataset, serving: Bundle) -> None:
    worse = upside_down(serving, range(100, USERS))
    (reason,) = ask(data, standing, worse, serving, blocks())
    assert reason.startswith("on the held-out likes of 228 people in the standing data set the MRR is 0.")
    assert "more than 10% below the 0." in reason
    assert ask(data, standing, worse, serving, blocks(), standing_drop=0.9) == ()
    nothing = replace(standing, test=standing.test[:0])
    assert ask(data, nothing, worse, serving, blocks()) == ()


def test_narrower_lists_are_refused(data: Dataset, standing: Dataset, serving: Bundle, tmp_path: Path) -> None:
    # All of a genre like the same: noise of users is gone.
    rng = np.random.default_rng(8)
    lists = np.concatenate([np.eye(GENRES)[np.arange(PLAYLISTS) % GENRES], rng.random((PLAYLISTS, 1))], axis=1)
    users = np.concatenate([9 * np.eye(GENRES)[np.arange(USERS) % GENRES], np.ones((USERS, 1))], axis=1)
    everything = Csr.from_rows([list(range(PLAYLISTS))] * USERS, PLAYLISTS)
    narrow = hand_made(
        tmp_path / "narrow", data, users, lists, users=range(USERS), playlists=range(PLAYLISTS), offered=everything
    )
    lax = {"drop": 1.0, "standing_drop": 1.0, "same_for_all": 1.0}
    coverage, evenness = ask(data, standing, narrow, serving, blocks(), **lax)
    assert coverage.startswith("coverage of the lists of 228 people is 0.250, less than 50% of the ")
    assert evenness.startswith("evenness (1 - Gini) of the lists of 228 people is 0.")
    assert ask(data, standing, narrow, serving, blocks(), kept=0.0, **lax) == ()


def test_one_playlist_for_everybody_is_refused(
    data: Dataset, standing: Dataset, serving: Bundle, tmp_path: Path
) -> None:
    loud = made(tmp_path / "loud", data, 1, loud=20.0)
    lax = {"drop": 1.0, "standing_drop": 1.0}
    (reason,) = ask(data, standing, loud, serving, blocks(), **lax)
    assert reason.startswith("one playlist is in the lists of 100% of 228 people; of the version that serves the most ")
    assert ask(data, standing, loud, serving, blocks(), same_for_all=1.0, **lax) == ()
    # It serves already: no more people get it than before.
    assert ask(data, standing, loud, loud, blocks(), **lax) == ()


def test_feedback_without_ranks_is_not_enough(
    data: Dataset, standing: Dataset, better: Bundle, serving: Bundle
) -> None:
    assert ask(data, standing, better, serving, blocks(rank=None)) == (
        "no held-out block says where in its list the liked playlist was",
    )
