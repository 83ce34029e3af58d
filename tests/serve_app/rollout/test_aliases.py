"""Translation from aliases to what is wanted, and back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spotify_buddies.serve_app.generations.state import Wanted
from spotify_buddies.serve_app.rollout.aliases import (
    Aliases,
    aliases_in,
    aliases_of,
    describe,
    merge,
    moved,
    parse_percent,
)
from spotify_buddies.trainer.registry.registry import RegistryAliases


def merged(wanted: Wanted, **by_hand: str | None) -> tuple[Wanted, tuple[str, ...]]:
    merged = merge(wanted, by_hand, first_percent=1, salt=lambda: "new")
    return merged.wanted, merged.problems


CANARY = Wanted("1", canary="2", share=0.1, salt="old", previous="0")


def test_what_is_wanted_comes_back_from_its_own_aliases() -> None:
    for wanted in (Wanted("1"), CANARY, Wanted("3", shadow="4", previous="1")):
        there = aliases_of(wanted)
        tags = {} if there.percent is None else {"canary_percent": there.percent}
        names = {"production", "canary", "shadow", "previous"}
        aliases = {name: value for name in names if (value := getattr(there, name)) is not None}
        assert aliases_in(RegistryAliases(aliases, tags)) == there
        assert moved(there, aliases_of(wanted)) == {}


def test_other_aliases_and_the_percent_of_no_canary_are_not_looked_at() -> None:
    assert aliases_in(RegistryAliases({"production": "1", "staging": "9"}, {"canary_percent": "50"})) == Aliases("1")
    assert aliases_in(RegistryAliases()) == Aliases()


def test_a_percent_in_other_words_is_the_same_percent() -> None:
    aliases = aliases_in(
        RegistryAliases({"production": "1", "canary": "2", "previous": "0"}, {"canary_percent": " 10.0 %"})
    )
    assert aliases == aliases_of(CANARY)


@pytest.mark.parametrize(
    ("text", "share"),
    [("0", 0.0), ("100", 1.0), ("12.5", 0.125), ("1 %", 0.01), ("101", None), ("-1", None), ("ten", None), ("", None)],
)
def test_a_percent_is_from_0_to_100(text: str, share: float | None) -> None:
    assert parse_percent(text) == share
    assert parse_percent("nan") is None


def test_a_value_that_any_known_state_has_was_not_moved_by_hand() -> None:
    theirs = Aliases("2", canary="3", percent="5")
    assert moved(theirs, Aliases("1", canary="3"), Aliases("2", percent="5")) == {}
    assert moved(theirs, Aliases("1", canary="3", percent="1")) == {"production": "2", "percent": "5"}
    assert describe({"production": "2", "percent": None}, Aliases("1", percent="5")) == (
        "production moved from 1 to 2, canary_percent moved from 5 to none"
    )


def test_a_canary_without_a_percent_starts_with_the_first_step_and_a_new_salt() -> None:
    assert merged(Wanted("1"), canary="2") == (Wanted("1", canary="2", share=0.01, salt="new"), ())
    assert merged(Wanted("1"), canary="2", percent="10")[0].share == 0.1


def test_the_salt_stays_as_long_as_the_canary_does() -> None:
    grown, _ = merged(CANARY, percent="25")
    assert (grown.share, grown.salt) == (0.25, "old")
    other, _ = merged(CANARY, canary="3")
    assert (other.canary, other.share, other.salt) == ("3", 0.01, "new")


def test_another_canary_does_not_inherit_drafted_lists_and_another_percent_keeps_them() -> None:
    drafted = replace(CANARY, interleave=True)
    assert merged(drafted, percent="25")[0].interleave
    assert not merged(drafted, canary="3")[0].interleave
    assert not merged(drafted, canary=None)[0].interleave


def test_a_percent_that_is_none_is_named_and_changes_nothing() -> None:
    wanted, (problem,) = merged(CANARY, percent="lots")
    assert wanted == CANARY
    assert "canary_percent is 'lots'" in problem
    assert "10 stays in force" in problem
    assert merged(CANARY, percent=None) == (CANARY, ()), "a tag that was deleted is written again"


def test_a_new_production_makes_the_old_one_previous() -> None:
    assert merged(Wanted("1", previous="0"), production="2")[0] == Wanted("2", previous="1")
    assert merged(Wanted("1", previous="0"), production="2", previous="7")[0].previous == "7"
    kept, _ = merged(CANARY, production="3")
    assert (kept.production, kept.canary, kept.salt, kept.previous) == ("3", "2", "old", "1")


def test_a_canary_that_becomes_production_by_hand_is_promoted() -> None:
    assert merged(CANARY, production="2")[0] == Wanted("2", previous="1")
    assert merged(CANARY, canary="1")[0] == Wanted("1", previous="0"), "a canary that is production is none"


def test_a_canary_or_shadow_taken_off_is_gone_and_production_is_not() -> None:
    assert merged(CANARY, canary=None, percent=None)[0] == Wanted("1", previous="0")
    assert merged(Wanted("1", shadow="4"), shadow=None)[0] == Wanted("1")
    wanted, (problem,) = merged(CANARY, production=None)
    assert wanted == CANARY
    assert "alias production was deleted" in problem
