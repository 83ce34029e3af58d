"""`buddies online report`: each figure worked by hand from rows of a real Postgres."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import psycopg
import pytest
from typer.testing import CliRunner

from spotify_buddies.clients.main import build_app
from tests.serve_app.online.evaluation.conftest import BEGIN


def only(rows: list[dict[str, Any]], arm: str) -> dict[str, Any]:
    (found,) = [row for row in rows if row["arm"] == arm]
    return found


@pytest.fixture
def two_arms(logged: Any) -> Any:
    """Production to ann and bob, canary to cat and dan; ann, bob and cat reacted before too."""
    logged.show("ann", "abcd", rec="1")
    logged.show("bob", "abce", rec="2", source="daily", skipped=["SKIPPED_SEEN"])
    logged.show("cat", "ab", rec="3", version="8", arm="canary")
    logged.show("dan", "fa", rec="4", version="8", arm="canary")
    logged.react("ann", rec="1", a=0, b=1, c=1, d=0)
    logged.react("bob", rec="2", a=-1)
    logged.react("cat", rec="3", version="8", arm="canary", a=1)
    logged.react("dan", rec="4", version="8", arm="canary", f=1, a=0)
    # before the window: 1 of 2, 0 of 1, 1 of 1
    logged.react("ann", rec="0", day=-3, a=1, b=0)
    logged.react("bob", rec="0", day=-3, a=0)
    logged.react("cat", rec="0", day=-3, a=1)
    # before the past, and after the window
    logged.react("dan", rec="0", day=-40, a=1)
    logged.react("dan", rec="9", day=7, a=1)
    return logged


def test_like_rates_by_hand(two_arms: Any, told: Any) -> None:
    report = told("report")
    production, canary = (only(report["rows"], arm) for arm in ("production", "canary"))
    # 2 likes of 5; the mean of 2/4 and 0/1
    assert (production["model_version"], production["reactions"], production["like_rate"]["value"]) == ("7", 5, 0.4)
    assert production["like_rate_per_listener"]["value"] == pytest.approx(0.25)
    # R = 0.4: (2 - 1.6) / 5 = 0.08 and (0 - 0.4) / 5 = -0.08, times sqrt(2); t with one degree of freedom
    assert production["like_rate"]["high"] == pytest.approx(0.4 + 12.7062047 * 0.16)
    assert canary["like_rate"]["value"] == pytest.approx(2 / 3)
    assert canary["like_rate_per_listener"] == {
        "value": 0.75,
        "low": pytest.approx(0.75 - 12.7062047 * 0.25),
        "high": pytest.approx(0.75 + 12.7062047 * 0.25),
        "listeners": 2,
    }
    (change,) = report["differences"]
    assert (change["left"], change["right"]) == ("8 canary", "7 production")
    assert change["measures"]["like_rate"]["value"] == pytest.approx(2 / 3 - 0.4)
    assert change["measures"]["like_rate_per_listener"]["value"] == pytest.approx(0.5)
    assert change["measures"]["like_rate"]["listeners"] == 4


def test_cuped_by_hand(two_arms: Any, told: Any) -> None:
    production, canary = (only(told("report")["rows"], arm) for arm in ("production", "canary"))
    # y: 0.5, 0 | 1, 0.5. x: 0.5, 0 | 1, and dan the mean of the three, 0.5.
    # theta: (0.125 + 0.125) / (0.125 + 0.125) = 1, so y - (x - 0.5) is 0.5, 0.5 | 0.5, 0.5.
    for row, with_past in ((production, 2), (canary, 1)):
        assert row["like_rate_cuped"]["value"] == pytest.approx(0.5)
        assert (row["cuped_variance_reduction"], row["listeners_with_past"]) == (pytest.approx(1), with_past)


def test_ranks_exposure_sources_and_groups_by_hand(two_arms: Any, told: Any) -> None:
    production, canary = (only(told("report")["rows"], arm) for arm in ("production", "canary"))
    # ann's best like stands second, bob likes nothing; cat's and dan's stand first
    assert (production["mrr"]["value"], canary["mrr"]["value"]) == (0.25, 1.0)
    assert (production["lists"], production["listeners_shown"], production["playlists"]) == (2, 2, 5)
    assert (production["impressions"], canary["playlists"], canary["impressions"]) == (8, 3, 4)
    # shown 1 1 2 2 2: 2 * (1 + 2 + 6 + 8 + 10) / (5 * 8) - 6/5
    assert production["gini"] == pytest.approx(0.15)
    # of 12 impressions a has 4, b 3, c 2, d e f 1: bits 1.585, 2, 2.585, 3.585
    assert canary["novelty_bits"] == pytest.approx((2 * 1.5849625 + 2 + 3.5849625) / 4)
    assert production["sources"] == {"live": 0.5, "daily": 0.5}
    assert (production["skipped"], canary["skipped"]) == ({"SKIPPED_SEEN": 0.5}, {})
    # by earlier reactions: bob and ann have 1 and 2, dan none in the past 28 days
    assert [(one["group"], one["likes"], one["reactions"]) for one in production["by_library"]] == [("1 to 9", 2, 5)]
    assert [(one["group"], one["likes"], one["reactions"]) for one in canary["by_library"]] == [
        ("0", 1, 2),
        ("1 to 9", 1, 1),
    ]
    # six playlists by impressions: d, e, f (1 each, in any order), c, b, a are in deciles 1, 2, 4, 6, 7, 9
    popular = {one["group"]: (one["likes"], one["reactions"]) for one in production["by_popularity"]}
    assert [popular[name] for name in ("6", "7", "9")] == [(1, 1), (1, 1), (0, 2)]


def test_ages_of_lists_that_are_computed_ahead_by_hand(logged: Any, told: Any, online: Any) -> None:
    for number, hours in enumerate((1, 2, 2, 3, 10, 11, 12, 13, 14, 23.505)):
        logged.show("ann", "xy", rec=str(number), source="daily", hours_old=hours)
    for hours in (None, -1):
        logged.show("ann", "xy", rec=f"undated {hours}", source="daily", hours_old=hours)
    logged.show("ann", "xy", rec="live")
    (row,) = told("report")["rows"]
    # The fifth of ten, and the tenth (9.5 rounded up), in whole minutes.
    assert row["freshness"] == {
        "daily": {"lists": 10, "unknown": 2, "median_s": 10 * 3600.0, "p95_s": 23 * 3600 + 30 * 60.0}
    }
    text = online("report")
    assert "10.0 h" in text
    assert "23.5 h" in text
    assert "2 lists that were computed ahead do not say when" in text


def test_bots_are_left_out_beside_the_like_rate(logged: Any, told: Any, online: Any) -> None:
    # Of 30 people who react 10 times, every third likes 2 and the others 1; a bot likes 1,000 times.
    logged.run(
        """INSERT INTO reactions SELECT %s, 1, 'r', CASE WHEN n < 300 THEN 'user-' || n / 10 ELSE 'bot' END, 'x',
        (n >= 300 OR n %% 10 < CASE WHEN n / 10 %% 3 = 0 THEN 2 ELSE 1 END)::int, '7', 'production'
        FROM generate_series(0, 1299) AS n""",
        (BEGIN + timedelta(days=1),),
    )
    (row,) = told("report")["rows"]
    assert (row["outliers"], row["outlier_reactions"]) == (1, 1_000)
    assert row["like_rate"]["value"] == pytest.approx(1_040 / 1_300)
    assert row["like_rate_without_outliers"]["value"] == pytest.approx(40 / 300)
    assert "1 listeners, with 76.9% of the reactions" in online("report")


def test_without_lists_computed_ahead_there_is_no_freshness(logged: Any, told: Any, online: Any) -> None:
    logged.show("ann", "xy")
    assert told("report")["rows"][0]["freshness"] == {}
    assert "Freshness" not in online("report")


def test_a_version_an_arm_and_an_open_past_are_filters(two_arms: Any, told: Any) -> None:
    assert [row["arm"] for row in told("report", "--version", "8")["rows"]] == ["canary"]
    assert [row["model_version"] for row in told("report", "--arm", "production")["rows"]] == ["7"]
    assert told("report", "--version", "9")["rows"] == []
    assert only(told("report", "--past", "60d")["rows"], "canary")["listeners_with_past"] == 2


def test_a_listener_of_both_arms_counts_once_in_the_difference(logged: Any, told: Any) -> None:
    for version, arm, like in (("7", "production", 0), ("8", "canary", 1)):
        logged.react("ann", version=version, arm=arm, a=like, b=0)
        logged.react("bob", version=version, arm=arm, a=like, b=1)
    (change,) = told("report")["differences"]
    # both like one half more: the difference of each is 0.5, and nothing varies
    assert change["measures"]["like_rate_per_listener"] == {"value": 0.5, "low": None, "high": None, "listeners": 2}


def test_reactions_to_what_the_window_did_not_show_have_no_rank_and_no_decile(logged: Any, told: Any) -> None:
    logged.show("ann", "ab", day=-1)
    logged.react("ann", a=1)
    logged.show("bob", "b", rec="2")
    logged.react("bob", rec="2", z=1)
    report = told("report")
    (row,) = report["rows"]
    # ann's list is of the week before; bob's counts, and what he liked stands nowhere in it
    assert (row["mrr"]["value"], row["mrr"]["listeners"]) == (0.0, 1)
    assert (row["by_popularity"], row["like_rate"]["value"]) == ([], 1.0)
    assert any(
        note.startswith("2 reactions are to playlists that this window did not show") for note in report["notes"]
    )


def test_the_text_names_every_part_and_the_page_needs_nothing_beside_it(
    two_arms: Any, online: Any, tmp_path: Path
) -> None:
    two_arms.react("eve", version="<b>$x_1$</b>", arm="canary", a=1)
    page = tmp_path / "report.html"
    text = online("report", "--html", str(page))
    for words in (
        "2026-03-02 00:00 to 2026-03-09 00:00 UTC",
        "7 production",
        "8 canary minus 7 production",
        "SKIPPED_SEEN",
    ):
        assert words in text
    html = page.read_text(encoding="utf-8")
    assert html.count("<svg") == 4
    assert "<b>" not in html
    assert "&lt;b&gt;$x_1$&lt;/b&gt; canary" in html
    assert "src=" not in html
    assert "0.4000" in html
    for svg in html.split("<svg")[1:]:
        ElementTree.fromstring("<svg" + svg.partition("</svg>")[0] + "</svg>")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_nothing_in_the_window_one_arm_and_one_listener_are_sentences(logged: Any, online: Any, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    assert "nothing was shown and nobody reacted in this window" in online("report", "--html", str(page))
    assert "<h1>Online report</h1>" in page.read_text(encoding="utf-8")
    logged.show("ann", "ab")
    text = online("report", "--html", str(page))
    assert "Nobody reacted in this window: there is no like rate, and nothing to compare." in text
    logged.react("ann", a=1)
    text = online("report", "--html", str(page))
    assert "One version in one arm: there is nothing to compare it with." in text
    assert "7 production: one listener; no interval can be given." in text
    assert "CUPED: no listener's past before the window explains anything" in text


def test_a_new_database_and_one_of_an_older_release(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS older")
        connection.execute("CREATE DATABASE older")
    url = psycopg.conninfo.make_conninfo(postgres_url, dbname="older")
    monkeypatch.setenv("BUDDIES_POSTGRES_URL", url)
    for command in (("report",), ("worth", "--version", "7")):
        done = CliRunner().invoke(build_app(), ["online", *command])
        assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "nothing is stored yet")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE impressions ()")
    done = CliRunner().invoke(build_app(), ["online", "report"])
    assert done.exit_code == 1
    assert "`buddies store maintain` of this release makes them" in done.stderr


@pytest.mark.parametrize("options", [("--since", "soon"), ("--since", "1d", "--until", "2d"), ("--past", "0d")])
def test_times_that_make_no_window_are_wrong_usage(logged: Any, options: tuple[str, ...], monkeypatch: Any) -> None:
    monkeypatch.setenv("BUDDIES_POSTGRES_URL", logged.url)
    assert CliRunner().invoke(build_app(), ["online", "report", *options]).exit_code == 2
