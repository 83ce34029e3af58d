"""One settings file and BUDDIES_* variables."""

from pathlib import Path
from typing import Any

import pytest

from spotify_buddies.clients.command.settings import SettingsError, read_settings, shown
from spotify_buddies.clients.main import sections


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in ("BUDDIES_STATE_DIR", "BUDDIES_CONFIG", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(variable, raising=False)


def read(**options: Any) -> Any:
    return read_settings(sections(), **options)


def test_without_a_file_the_defaults_hold() -> None:
    settings = read()
    assert settings.state_dir == Path(".buddies")
    assert settings.serve.host == "127.0.0.1"
    assert settings.data.beta_a == 1.3


def test_a_variable_wins_over_the_file_and_the_file_over_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("buddies.toml").write_text("[train]\nepochs = 3\ndimension = 16\n[pairing]\nnearest = 9\n")
    monkeypatch.setenv("BUDDIES_TRAIN__EPOCHS", "7")
    settings = read()
    assert (settings.train.epochs, settings.train.dimension, settings.pairing.nearest) == (7, 16, 9)


def test_a_named_file_is_read_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("buddies.toml").write_text("[train]\nepochs = 3\n")
    Path("other.toml").write_text("[train]\nepochs = 4\n")
    assert read(file=Path("other.toml")).train.epochs == 4
    monkeypatch.setenv("BUDDIES_CONFIG", "other.toml")
    assert read().train.epochs == 4


def test_mlflow_keeps_the_variable_that_its_users_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert read().mlflow_tracking_uri == "http://127.0.0.1:1"


def test_the_file_may_name_mlflow_too() -> None:
    Path("buddies.toml").write_text('mlflow_tracking_uri = "http://127.0.0.1:2"\n')
    assert read().mlflow_tracking_uri == "http://127.0.0.1:2"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[train]\nepoch = 3\n", "train.epoch: no such setting; did you mean train.epochs?"),
        ("[trian]\nepochs = 3\n", "trian: no such setting; did you mean train?"),
        ("[train]\nepochs = 0\n", "train.epochs: .*greater than or equal to 1"),
        ("[train\n", "buddies.toml: not TOML"),
    ],
)
def test_a_bad_file_is_refused_with_file_and_key(text: str, message: str) -> None:
    Path("buddies.toml").write_text(text)
    with pytest.raises(SettingsError, match=message) as caught:
        read()
    assert "buddies.toml" in str(caught.value)


def test_a_missing_named_file_is_refused() -> None:
    with pytest.raises(SettingsError, match="no such settings file"):
        read(file=Path("nowhere.toml"))


def test_an_unknown_variable_is_refused_and_the_nearest_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUDDIES_TRAIN__EPOCH", "3")
    with pytest.raises(
        SettingsError, match="BUDDIES_TRAIN__EPOCH: no such setting; did you mean BUDDIES_TRAIN__EPOCHS"
    ):
        read()


def test_settings_are_frozen() -> None:
    settings = read()
    with pytest.raises(ValueError, match="frozen"):
        settings.train.epochs = 1


def test_a_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUDDIES_POSTGRES_URL", "postgresql://app:s3cret@db.example/feedback")
    assert shown(read())["postgres_url"] == "postgresql://app:***@db.example/feedback"


def test_every_setting_says_what_it_is() -> None:
    for name, model in sections().items():
        for key, field in model.model_fields.items():
            assert field.description, f"{name}.{key}"
