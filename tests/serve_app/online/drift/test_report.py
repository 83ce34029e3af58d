"""`buddies drift report` and `check` over generated weeks in Postgres."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np

from spotify_buddies.serve_app.online.drift.reference import best_places, count_genres, count_libraries, deciles, ranges
from spotify_buddies.serve_app.online.gauges import newest_check
from spotify_buddies.trainer.bundle import Bundle
from tests.serve_app.online.drift.conftest import DAYS, UNTIL, Weeks
from tests.waiting import WITHIN_S


def test_an_empty_store_is_quiet_and_says_so(weeks: Weeks) -> None:
    told = weeks.command("check")
    assert "no version: nothing can be judged yet" in told
    assert "cold_users, week: not judged: no lists" in told
    assert "library_sizes, training: not measured: nothing serves" in told


def test_quiet_weeks_are_quiet_and_every_signal_but_those_not_stored_is_judged(weeks: Weeks, bundle_dir: Path) -> None:
    weeks.fill()
    weeks.serve(bundle_dir)
    found = weeks.found("check")
    assert not any(finding["alarm"] for finding in found.values())
    unmeasured = {signal for (signal, _), finding in found.items() if finding["value"] is None}
    # The generated bundle has no songs of playlists, of which genres of playlists follow.
    assert unmeasured == {"genres_shown"}
    assert found["genres_asked", "training"]["threshold"] is not None
    assert found["unknown_songs", "week"]["entries"] > 3_000
    assert found["unknown_songs", "week"]["why"].startswith("unknown: ")
    assert found["cold_users", "week"]["entries"] > 3_000
    assert found["library_sizes", "training"]["from_training"] < 0.1
    assert found["scores", "week"]["threshold"] is not None
    assert "nearly all lists are in one bin" in found["skipped_steps", "week"]["why"]
    assert weeks.rows("SELECT count(*), count(cause) FROM drift_checks") == [(len(found), 0)]


def test_a_wave_of_cold_users_raises_the_alarm_on_its_first_day(weeks: Weeks) -> None:
    weeks.fill(last=DAYS - 1)
    weeks.fill(first=DAYS - 1, cold=0.4)
    weeks.serve("/nowhere")
    assert weeks.found("check", expect=4)["cold_users", "day"]["alarm"]
    assert "ALARM" in weeks.command("report")


def test_songs_that_the_version_does_not_know_raise_the_alarm(weeks: Weeks, bundle_dir: Path) -> None:
    weeks.fill(last=DAYS - 1)
    weeks.fill(first=DAYS - 1, unknown=0.3)
    weeks.serve(bundle_dir)
    found = weeks.found("check", expect=4)
    assert found["unknown_songs", "day"]["alarm"]
    assert not found["genres_asked", "day"]["alarm"]


def test_fewer_tastes_a_day_are_drawn_where_there_are_more(weeks: Weeks, bundle_dir: Path) -> None:
    weeks.fill(first=DAYS - 9)
    weeks.serve(bundle_dir)
    few, all_of_them = (
        weeks.found("report", BUDDIES_DRIFT__TASTES_A_DAY=most)["genres_asked", "day"] for most in ("20", "500")
    )
    assert 5 <= few["entries"] <= 40
    assert 60 <= all_of_them["entries"] <= 140


def test_the_newest_check_is_that_of_the_window_that_ended_last(weeks: Weeks) -> None:
    assert weeks.ask(newest_check) is None
    weeks.fill(first=DAYS - 9)
    weeks.serve("/nowhere")
    findings = weeks.found("check")
    weeks.command("check", until=UNTIL - timedelta(days=30))
    newest = weeks.ask(newest_check)
    assert newest is not None
    assert {(one.signal, one.against): (one.value, one.threshold, one.alarm) for one in newest.compared} == {
        name: (one["value"], one["threshold"], one["alarm"]) for name, one in findings.items()
    }
    assert abs(newest.checked - time.time()) < 2 * WITHIN_S


def test_lost_feedback_raises_the_alarm(weeks: Weeks) -> None:
    weeks.fill(last=DAYS - 1)
    weeks.fill(first=DAYS - 1, reactions=60)
    weeks.serve("/nowhere")
    assert weeks.found("check", expect=4)["feedback_volume", "day"]["value"] < -5


def test_fewer_cold_users_are_no_alarm(weeks: Weeks) -> None:
    weeks.fill(last=DAYS - 1)
    weeks.fill(first=DAYS - 1, cold=0.02)
    weeks.serve("/nowhere")
    found = weeks.found("report")["cold_users", "day"]
    assert found["value"] > found["threshold"]
    assert not found["alarm"]


def test_a_bundle_that_cannot_be_used_leaves_its_signals_unmeasured_with_the_reason(weeks: Weeks) -> None:
    weeks.fill(first=DAYS - 2)
    weeks.serve("/nowhere")
    told = weeks.command("report")
    assert "scores, training: not measured: the bundle of version 7 cannot be used: /nowhere/manifest.json" in told
    assert "lists, none before to compare with" in told


def test_a_version_that_no_registry_knows_is_no_error(weeks: Weeks) -> None:
    weeks.fill(first=DAYS - 1)
    told = weeks.command("report")
    assert "not measured: the bundle of version 7 cannot be fetched: " in told


def test_the_page_is_one_file_with_a_row_for_each_finding_and_plots(weeks: Weeks, bundle_dir: Path) -> None:
    weeks.fill(first=DAYS - 9)
    weeks.serve(bundle_dir)
    weeks.command("report", "--html", "drift.html")
    page = (weeks.state_dir / "drift.html").read_text()
    found = json.loads(weeks.command("report", "--json"))["findings"]
    assert page.count("<tr>") == len(found) + 1
    assert page.count("<polyline") > 10
    assert "http" not in page


def test_a_window_that_is_none_is_wrong_usage(weeks: Weeks) -> None:
    for words in (("--window", "0d"), ("--window", "week"), ("--window", "99w")):
        assert "is no span of 1 to 90 days" in weeks.command("report", *words, expect=2)


def test_libraries_of_known_users_are_counted_in_deciles_of_all_users(bundle: Bundle) -> None:
    sizes = np.diff(bundle.user_songs.indptr)
    counted = count_libraries(bundle, [["user-0", "nobody", "user-1"], []])
    assert counted.days.sum(axis=1).tolist() == [2, 0]
    assert counted.reference is not None
    assert counted.reference.sum() == sizes.size
    edges = deciles(sizes)
    assert counted.days[0, int((edges <= sizes[0]).sum())] >= 1


def test_best_places_are_the_first_five_candidates_of_each_user(bundle: Bundle) -> None:
    starts, counts = bundle.candidates.indptr[:-1], np.diff(bundle.candidates.indptr)
    expected = [start + place for start, count in zip(starts, counts, strict=True) for place in range(min(5, count))]
    assert best_places(bundle).tolist() == expected


def test_bins_between_edges_have_names() -> None:
    assert ranges(np.array([7, 12]), "songs") == ("below 7 songs", "7 to 12 songs", "12 and more songs")
    assert ranges(np.array([]), "songs") == ("any songs",)


def test_genres_of_what_was_shown_are_those_of_the_bundle(bundle: Bundle) -> None:
    genres = np.full(len(bundle.playlist_ids.table), -1, np.int16)
    genres[[3, 4]] = [0, 1]
    counted = count_genres(
        replace(bundle, playlist_genre=genres), 2, [(0, "list-3", 4), (1, "list-4", 2), (1, "list-9", 1), (1, "x", 9)]
    )
    assert counted.bins == ("genre 0", "genre 1", "unknown")
    assert counted.days.tolist() == [[4, 0, 0], [0, 2, 1]]
    assert counted.reference is not None
    assert counted.reference.sum() == best_places(bundle).size
