"""Names for the registry: refused where MLflow would refuse them, and before any work."""

from __future__ import annotations

import pytest
from mlflow.exceptions import MlflowException
from mlflow.utils.validation import (
    _validate_model_alias_name,
    _validate_model_alias_name_reserved,
    _validate_model_name,
)

from spotify_buddies.foundation.text.registry_names import alias_fault, model_fault


def mlflow_check(alias: str) -> None:
    _validate_model_alias_name(alias)
    _validate_model_alias_name_reserved(alias)


@pytest.mark.parametrize("alias", ["production", "staging", "a", "blue-2", "v1x", "late_st", "x" * 255])
def test_good_aliases_pass_here_and_in_mlflow(alias: str):
    assert alias_fault(alias) == ""
    mlflow_check(alias)


@pytest.mark.parametrize("alias", ["", " ", "my alias", "a/b", "a.b", "v1", "V12", "latest", "LATEST", "x" * 256])
def test_what_mlflow_refuses_is_refused_here_too(alias: str):
    assert alias_fault(alias)
    with pytest.raises(MlflowException):
        mlflow_check(alias)


@pytest.mark.parametrize("alias", ["staging\n", "büro", "日本"])
def test_an_alias_that_would_not_survive_a_url_or_a_line_is_refused(alias: str):
    assert alias_fault(alias) == "holds something else than letters (a-z), digits, _ and -"


@pytest.mark.parametrize("name", ["organic-playlists", "Playlists of people", "über", "m" * 255])
def test_good_model_names_pass_here_and_in_mlflow(name: str):
    assert model_fault(name) == ""
    _validate_model_name(name)


@pytest.mark.parametrize("name", ["", "  ", "team/playlists", "a:b", "..", "."])
def test_model_names_that_mlflow_refuses_are_refused_here_too(name: str):
    assert model_fault(name)
    with pytest.raises(MlflowException):
        _validate_model_name(name)
