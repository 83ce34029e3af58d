"""The page at the end of a search."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

from spotify_buddies.trainer.tune.experiment import Result, Trial
from spotify_buddies.trainer.tune.report import rungs, write_report
from tests.trainer.tune.conftest import epochs


def test_every_trial_is_in_the_plots_and_in_the_table(experiment):
    page = write_report(experiment).read_text()
    for kind, numbers in {"pc": "012", "lc": "012", "tl": "012"}.items():  # trial 3 failed before its first epoch
        assert sorted(re.findall(rf'id="{kind}-trial-(\d)"', page)) == list(numbers)
    rows = re.findall(r'<tr data-trial="(\d)"(?: class="best")?>', page)
    assert rows == ["1", "0", "2", "3"]
    assert '<tr data-trial="1" class="best">' in page
    for text in ("0.6000", "by ASHA after 1 epochs", "the loss is nan", "loguniform 0.01, 1.0", "choice 8, 16"):
        assert text in page


def test_plots_are_well_formed_and_ids_are_unique(experiment):
    page = write_report(experiment).read_text()
    svgs = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(svgs) == 3
    for svg in svgs:
        ET.fromstring(svg)
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_the_page_needs_nothing_beside_it(experiment):
    page = write_report(experiment).read_text()
    assert not re.search(r'(src|href)="(?!#)', page)
    assert "@import" not in page
    assert "url(" not in re.sub(r"url\(#", "", page)


def test_the_same_trials_give_the_same_bytes_and_the_version_is_added(experiment):
    first = write_report(experiment).read_bytes()
    assert write_report(experiment).read_bytes() == first
    experiment.write_result(Result("b", 1, 0.6, "7", "run", "sha"))
    assert "<dt>version</dt><dd>7</dd>" in write_report(experiment).read_text()


def test_a_search_without_trials_or_with_one_has_a_page(experiment):
    experiment.write_trials({})
    assert "<svg" not in write_report(experiment).read_text()
    one = Trial("a", 0, {"dimension": 8, "learning_rate": 0.02}, epochs=epochs(0.5))
    experiment.write_trials({"a": one})
    assert "pc-trial-0" in write_report(experiment).read_text()


def test_rungs_go_up_by_the_reduction_factor_below_the_last_epoch(experiment):
    assert rungs(experiment) == [1, 2]
    assert rungs(replace(experiment, tune=experiment.tune.model_copy(update={"epochs": 9, "reduction": 3.0}))) == [1, 3]
