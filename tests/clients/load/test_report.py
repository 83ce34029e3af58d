"""The report that people read."""

from spotify_buddies.clients.load.report import _by_name, target_lines
from spotify_buddies.clients.load.targets import Row


def test_processes_of_one_name_are_one_row_the_busiest_first() -> None:
    processes = [
        {"name": "postgres", "pid": 1, "cpu_s": 1.0, "rss_after_mib": 10.0},
        {"name": "haproxy", "pid": 2, "cpu_s": 1.5, "rss_after_mib": 13.0},
        {"name": "postgres", "pid": 3, "cpu_s": 2.0, "rss_after_mib": 20.0},
    ]
    assert _by_name(processes) == [
        (("postgres x 2", "", "3.00", "30"), 3.0),
        (("haproxy", "2", "1.50", "13"), 1.5),
    ]


def test_targets_are_shown_with_what_was_reached_and_whether_it_is_enough() -> None:
    rows = [
        Row("w", "users/s", 130_000.4, least=120_000.0),
        Row("w", "p50, ms", 6.25, most=6.0),
        Row("w", "x", None, most=1),
    ]
    assert target_lines([row.to_json() for row in rows])[1:] == [
        "w     users/s  >= 120,000  130,000       yes",
        "w     p50, ms  <= 6        6.250         no",
        "w     x        <= 1        not measured",
    ]
