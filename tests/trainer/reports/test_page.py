"""Report pages as a reader sees them."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from spotify_buddies.trainer.reports.page import Section, render
from spotify_buddies.trainer.reports.plots import histogram
from spotify_buddies.trainer.reports.templates import label, number


class Reader(HTMLParser):
    """The texts of a page in their order, without styles and scripts; tables as rows of cells."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.rows: list[list[str]] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self._hidden = 0
        self._in_cell = False
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in ("style", "script")
        self.links += [value or "" for name, value in attributes if name in ("href", "src")]
        self.ids += [value or "" for name, value in attributes if name == "id"]
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self._in_cell = True
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("style", "script")
        self._in_cell = self._in_cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._hidden or not data.strip():
            return
        self.texts.append(data.strip())
        if self._in_cell:
            self.rows[-1][-1] += data


SPREAD = {"max": 9, "median": 2.5, "min": 1}


def test_a_section_shows_values_distributions_lists_and_lines_in_this_order():
    section = Section(
        "Songs",
        "What is sung.",
        {"lists_of": ["b", "a"], "per_user": SPREAD, "songs": 1_234_567, "kind": "plain", "per_list": SPREAD},
        lines=[["work", "seconds"], ["read", "1.5"]],
    )
    page = Reader(render("Data set", {"users": 1_000}, [section]))
    assert page.texts[:7] == ["Data set", "Data set", "users", "1,000", "Songs", "Songs", "What is sung."]
    assert page.rows == [
        ["songs", "1,234,567"],
        ["kind", "plain"],
        ["", "min", "median", "max"],
        ["per user", "1", "2.5", "9"],
        ["per list", "1", "2.5", "9"],
        ["work", "seconds"],
        ["read", "1.5"],
    ]
    assert page.texts.index("lists of") < page.texts.index("b") < page.texts.index("a")


def test_texts_of_strangers_are_shown_and_not_obeyed():
    evil = '<script>alert("x")</script>'
    section = Section(evil, evil, {evil: evil, "list": [evil], "spread": {evil: 1}}, lines=[[evil], [evil]])
    page = render(evil, {evil: evil}, [section])
    assert "<script" not in page
    assert Reader(page).texts.count(evil) == 13


def test_empty_statistics_leave_no_table_behind():
    page = Reader(render("x", {}, [Section("s", "", {"list": [], "spread": {}})]))
    assert page.rows == []
    assert page.texts == ["x", "x", "s", "s"]


def test_a_page_needs_nothing_beside_it_and_is_readable_in_light_and_dark():
    plot = histogram(np.array([1, 2, 2]), "Songs", "users")
    page = render("x", {"n": 1}, [Section("s", "t", {}, (plot, "")), Section("u", "v", {})])
    reader = Reader(page)
    assert page.startswith("<!DOCTYPE html>\n")
    assert reader.links[:2] == ["#part-0", "#part-1"]
    assert all(link.startswith("#") for link in reader.links)
    assert {"part-0", "part-1"} <= set(reader.ids)
    assert not re.search(r"@import|url\((?!#)", page)
    assert "prefers-color-scheme: dark" in page
    assert plot in page
    assert page.count("<figure>") == 1


def test_the_same_sections_give_the_same_text():
    sections = [Section("s", "t", {"spread": SPREAD, "n": 0.5})]
    assert render("x", {"n": 1}, sections) == render("x", {"n": 1}, sections)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (True, "True"),
        (None, "None"),
        ("a", "a"),
        (1_000, "1,000"),
        (2.0, "2"),
        (0.123456, "0.1235"),
        (1234.56, "1,234.6"),
    ],
)
def test_numbers_are_short(value: object, shown: str):
    assert number(value) == shown


def test_labels_are_words():
    assert label("users_without_a_match") == "users without a match"
