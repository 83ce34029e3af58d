"""Changes of people and gates, and what the history says against them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from spotify_buddies.serve_app.generations.state import Generation, GenerationState, Wanted
from spotify_buddies.serve_app.rollout import changes
from spotify_buddies.serve_app.rollout.changes import Refused

CANARY = Wanted("1", canary="2", share=0.1, salt="old", previous="0", paused=True)


def start(wanted: Wanted, version: str, percent: float = 10, *, paused: bool = False) -> Wanted:
    return changes.start(wanted, version, percent, paused=paused, salt=lambda: "new")


def test_a_start_gives_a_share_and_ends_the_shadow_of_the_same_version() -> None:
    assert start(Wanted("1", shadow="2"), "2") == Wanted("1", canary="2", share=0.1, salt="new")
    assert start(Wanted("1", shadow="3"), "2", paused=True).paused
    assert start(Wanted("1"), "2", 0).versions == ("1", "2"), "with no share it is loaded all the same"


def test_the_present_canary_keeps_its_users_when_it_is_started_again() -> None:
    again = start(CANARY, "2", 25)
    assert (again.salt, again.share) == ("old", 0.25)


def test_another_way_to_give_lists_begins_the_canary_anew_and_ends_with_it() -> None:
    drafted = changes.start(CANARY, "2", 5, paused=False, salt=lambda: "new", interleave=True)
    assert (drafted.interleave, drafted.salt, drafted.share) == (True, "new", 0.05)
    again = changes.start(drafted, "2", 10, paused=False, salt=lambda: "newer", interleave=True)
    assert (again.interleave, again.salt, again.share) == (True, "new", 0.1)
    assert (start(drafted, "2").interleave, changes.set_percent(drafted, 20).interleave) == (False, True)
    assert changes.promote(drafted) == Wanted("2", previous="1")
    assert changes.roll_back(drafted) == Wanted("1", previous="0")


def test_production_and_a_second_canary_are_not_started() -> None:
    with pytest.raises(Refused, match="1 is production already"):
        start(Wanted("1"), "1")
    with pytest.raises(Refused, match="2 is the canary, with 10 %: promote it or roll back"):
        start(CANARY, "3")


def test_a_promoted_canary_is_production_and_production_previous() -> None:
    assert changes.promote(CANARY) == Wanted("2", previous="1")
    with pytest.raises(Refused, match="no canary"):
        changes.promote(Wanted("1"))
    with pytest.raises(Refused, match="no canary"):
        changes.set_percent(Wanted("1"), 5)


def test_a_rollback_takes_the_canary_away_and_without_one_changes_places() -> None:
    assert changes.roll_back(CANARY) == Wanted("1", previous="0")
    assert changes.roll_back(Wanted("2", previous="1")) == Wanted("1", previous="2")
    with pytest.raises(Refused, match="neither a canary nor a previous"):
        changes.roll_back(Wanted("1"))


def test_a_shadow_is_not_production() -> None:
    assert changes.shadow(Wanted("1"), "2").shadow == "2"
    assert changes.shadow(Wanted("1", shadow="2"), None) == Wanted("1")
    with pytest.raises(Refused, match="with itself"):
        changes.shadow(Wanted("1"), "1")


@pytest.mark.parametrize(("share", "text"), [(0.0, "0"), (0.29, "29"), (0.125, "12.5"), (1.0, "100"), (0.001, "0.1")])
def test_a_share_is_written_as_people_write_percent(share: float, text: str) -> None:
    assert changes.percent_text(share) == text


def history(*wanted: Wanted, failed: tuple[int, ...] = ()) -> list[Generation]:
    """Generations of these, the newest first; given the oldest first, from number 1 on."""
    now = datetime(2026, 5, 1, 12, tzinfo=UTC)
    states = dict.fromkeys(failed, GenerationState.FAILED)
    return [
        Generation(number, one, now, "ann", "?", "", states.get(number, GenerationState.ACTIVE))
        for number, one in reversed(list(enumerate(wanted, 1)))
    ]


FIRST, TRIED = Wanted("1"), Wanted("1", canary="2", share=0.5, salt="s")
PROMOTED, BACK = Wanted("2", previous="1"), Wanted("1", previous="2")


def test_a_second_rollback_is_asked_for_since_it_brings_the_version_back() -> None:
    changes.refuse_return(history(FIRST, TRIED, PROMOTED))
    with pytest.raises(Refused, match=r"version 2 was rolled back by ann \(generation 4, 2026-05-01 12:00:00 UTC\)"):
        changes.refuse_return(history(FIRST, TRIED, PROMOTED, BACK))
    # A generation that failed, a pause, and another canary that came and went since change nothing.
    third = Wanted("1", canary="3", share=0.1, salt="t", previous="2")
    with pytest.raises(Refused, match="generation 4"):
        changes.refuse_return(history(FIRST, TRIED, PROMOTED, BACK, PROMOTED, third, BACK, failed=(5,)))


def test_a_rollback_after_a_forced_one_is_a_rollback_again() -> None:
    changes.refuse_return(history(FIRST, TRIED, PROMOTED, BACK, PROMOTED))
    with pytest.raises(Refused, match="version 2 was rolled back"):
        changes.refuse_return(history(FIRST, TRIED, PROMOTED, BACK, PROMOTED, BACK))


def test_a_rollback_of_a_canary_or_to_another_version_is_not_asked_for() -> None:
    changes.refuse_return([])
    changes.refuse_return(history(FIRST, TRIED, PROMOTED, BACK, Wanted("1", canary="3", share=0.1, previous="2")))
    changes.refuse_return(history(FIRST, TRIED, PROMOTED, BACK, Wanted("1", previous="0")))
    changes.refuse_return(history(FIRST, TRIED, PROMOTED, BACK, Wanted("4", previous="1")))


def test_the_promotion_of_the_last_canary_is_found_until_something_else_changes() -> None:
    made = changes.promotion(history(FIRST, TRIED, PROMOTED, Wanted("2", previous="1", paused=True)))
    assert made is not None
    assert changes.already(made) == (
        "version 2 is production already: promoted by ann (generation 3, 2026-05-01 12:00:00 UTC)"
    )
    for later in ((BACK,), (Wanted("2", canary="3", share=0.1), Wanted("2", previous="1"))):
        assert changes.promotion(history(FIRST, TRIED, PROMOTED, *later)) is None
    assert changes.promotion(history(FIRST, Wanted("2", previous="1"))) is None, "no canary was promoted"
    assert changes.promotion([]) is None
