"""Secrets come from the environment or from files, and are shown nowhere."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from spotify_buddies.clients.command.access import credentials
from spotify_buddies.clients.command.settings import ClientSettings, SettingsError, read_settings, shown
from spotify_buddies.clients.main import build_app, sections
from spotify_buddies.clients.python import Client
from tests.clients.buddies_process import called

SECRET = "s3cret-Pa55"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in ("BUDDIES_STATE_DIR", "BUDDIES_CONFIG", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(variable, raising=False)


def run(*arguments: str, **environment: str) -> Any:
    """The command in this process, as `main` runs it; SettingsError is its exit code 2."""
    result = CliRunner().invoke(build_app(), list(arguments), env=environment)
    if isinstance(result.exception, SettingsError):
        return SimpleNamespace(returncode=2, stdout=result.stdout, stderr=f"{result.stderr}{result.exception}")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def pieces(text: str) -> list[str]:
    return [text[at : at + 3] for at in range(len(text) - 2)]


def read() -> Any:
    return read_settings(sections())


@pytest.mark.parametrize(
    ("variable", "key", "value"),
    [
        ("BUDDIES_POSTGRES_URL_FILE", "postgres_url", f"postgresql://app:{SECRET}@db/x"),
        ("BUDDIES_REDIS_URL_FILE", "redis_url", f"redis://:{SECRET}@cache:6379/0"),
        ("BUDDIES_MLFLOW_TRACKING_URI_FILE", "mlflow_tracking_uri", f"https://me:{SECRET}@mlflow"),
    ],
)
def test_a_secret_may_stand_in_a_file(variable: str, key: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("secret").write_text(f"{value}\n")
    monkeypatch.setenv(variable, "secret")
    settings = read()
    assert getattr(settings, key) == value
    assert SECRET not in json.dumps(shown(settings))


def test_the_settings_file_may_name_the_files() -> None:
    Path("secret").write_text(SECRET)
    Path("url").write_text("redis://cache/0")
    Path("buddies.toml").write_text('redis_url_file = "url"\n[client]\ntls = true\ntoken_file = "secret"\n')
    settings = read()
    assert settings.redis_url == "redis://cache/0"
    assert settings.client.token.get_secret_value() == SECRET


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"BUDDIES_POSTGRES_URL_FILE": "nowhere"}, "postgres_url_file: nowhere: No such file"),
        ({"BUDDIES_POSTGRES_URL_FILE": "empty"}, "postgres_url_file: empty is empty"),
        ({"BUDDIES_POSTGRES_URL_FILE": "binary"}, "postgres_url_file: binary is not UTF-8"),
        ({"BUDDIES_REDIS_URL_FILE": "url", "BUDDIES_REDIS_URL": "redis://a/0"}, "redis_url and redis_url_file are"),
        (
            {"BUDDIES_MLFLOW_TRACKING_URI_FILE": "url", "MLFLOW_TRACKING_URI": "http://a"},
            "mlflow_tracking_uri_file are",
        ),
        ({"BUDDIES_CLIENT__TOKEN_FILE": "nowhere"}, "token_file: nowhere"),
    ],
)
def test_a_secret_that_cannot_be_had_is_refused_by_name(
    environment: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("empty").write_text("\n")
    Path("binary").write_bytes(b"\xff\xfe")
    Path("url").write_text("redis://a/0")
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=message):
        read()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BUDDIES_POSTGRES_URL", f"postgrsql://app:{SECRET}@db/x"),
        ("BUDDIES_POSTGRES_URL", f"postgresql://app:{SECRET}/{SECRET}@db/x"),
        ("BUDDIES_POSTGRES_URL", f"host=db {SECRET}"),
        ("BUDDIES_POSTGRES_URL", f"host=db password='{SECRET}"),
        ("BUDDIES_REDIS_URL", f"http://:{SECRET}@cache"),
        ("BUDDIES_REDIS_URL", f"redis://:{SECRET}#1@cache:6379/0"),
        ("BUDDIES_REDIS_URL", SECRET),
        ("BUDDIES_POSTGRES_URL", f"postgresql://app:{SECRET}@{SECRET}!@db.invalid/feedback"),
        ("BUDDIES_POSTGRES_URL", f"postgresql://app:{SECRET} {SECRET}@db.invalid/feedback"),
        ("BUDDIES_POSTGRES_URL", f"app:x={SECRET}@db.invalid/feedback"),
        ("BUDDIES_POSTGRES_URL", f"host=db password=a {SECRET}=b"),
        ("BUDDIES_POSTGRES_URL", f"postgresql://db/x?password=a&{SECRET}=b"),
        ("BUDDIES_REDIS_URL", f"redis://:p@{SECRET}@h/0"),
        ("BUDDIES_REDIS_URL", f"redis://h/0?password=a&{SECRET}=b"),
        ("BUDDIES_MLFLOW_TRACKING_URI", f"http://bob:{SECRET}@{SECRET}@h"),
        ("BUDDIES_MLFLOW_TRACKING_URI", f"htp://bob:{SECRET}@h"),
        ("BUDDIES_MLFLOW_TRACKING_URI", f"bob:{SECRET}@h"),
    ],
)
def test_an_address_that_libraries_would_refuse_aloud_is_refused_without_its_password(
    variable: str, value: str, tmp_path: Path
) -> None:
    for command in (("doctor",), ("config", "show"), ("store", "status"), ("queue", "status"), ("registry", "list")):
        result = run(*command, **{variable: value})
        assert result.returncode == 2
        assert f"{variable.removeprefix('BUDDIES_').lower()}: not an address" in result.stderr
        assert "%40" in result.stderr
        assert not [part for part in pieces(SECRET) if part in result.stderr + result.stdout]


@pytest.mark.parametrize(
    ("variable", "value", "shown_as"),
    [
        (
            "BUDDIES_POSTGRES_URL",
            "postgresql://app:Zqx%40vjk%202026@127.0.0.1:1/x",
            "postgresql://app:***@127.0.0.1:1/x",
        ),
        ("BUDDIES_POSTGRES_URL", r"host=127.0.0.1 port=1 password='Zqx m\'er'", "host=127.0.0.1 port=1 password=***"),
        ("BUDDIES_REDIS_URL", "redis://:Zqx%40vjk@127.0.0.1:1/0", "redis://:***@127.0.0.1:1/0"),
        ("BUDDIES_REDIS_URL", "redis://127.0.0.1:1/0?password=Zqx%40vjk", "redis://127.0.0.1:1/0?password=***"),
        ("MLFLOW_TRACKING_URI", "http://bob:Zqx%40vjk@127.0.0.1:1", "http://bob:***@127.0.0.1:1"),
        ("MLFLOW_TRACKING_URI", "http://Zqx%40vjk@127.0.0.1:1", "http://***@127.0.0.1:1"),
    ],
)
def test_no_command_shows_a_part_of_a_password(variable: str, value: str, shown_as: str) -> None:
    said = ""
    for command in (("config", "show"), ("doctor",), ("store", "status"), ("queue", "status"), ("registry", "list")):
        result = run(*command, **{variable: value})
        said += result.stdout + result.stderr
    assert shown_as in said
    assert not [part for part in ("Zqx", "vjk", "%20", "%40") if part in said]


def test_an_address_where_a_file_belongs_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUDDIES_POSTGRES_URL_FILE", f"postgresql://app:{SECRET}@db/x")
    with pytest.raises(SettingsError, match="postgres_url_file: no such file; it names the file") as caught:
        read()
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("value", [f"http://bob:{SECRET}@{SECRET}@h", f"http://bob:{SECRET} {SECRET}@h"])
def test_a_registry_named_on_the_command_line_is_checked_too(value: str) -> None:
    result = run("registry", "copy", "--from", value, "--to", "http://127.0.0.1:1")
    assert result.exit_code == 1
    assert "address cannot be used" in result.stderr
    assert SECRET not in result.stdout + result.stderr


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://a:b@one:1,two:2/db",
        "postgres:///db?host=/run/postgresql",
        "postgresql://a:b%2Fc@[::1]:5432/db",
        "host=db password='a b' user=c",
    ],
)
def test_every_spelling_of_an_address_that_postgres_takes_is_taken(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUDDIES_POSTGRES_URL", url)
    assert read().postgres_url == url


def test_a_token_of_the_wrong_type_is_not_repeated() -> None:
    Path("buddies.toml").write_text("[client]\ntoken = 7355608\n")
    with pytest.raises(SettingsError, match=r"client\.token: ") as caught:
        read()
    assert "7355608" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_config_show_masks_the_token(tmp_path: Path) -> None:
    shown_as = [
        called("config", "show", *options, cwd=tmp_path, BUDDIES_CLIENT__TOKEN=SECRET) for options in ((), ("--json",))
    ]
    assert [result.returncode for result in shown_as] == [0, 0]
    assert all(SECRET not in result.stdout + result.stderr for result in shown_as)
    assert json.loads(shown_as[1].stdout)["client"]["token"] == "**********"


def test_a_token_without_tls_is_not_sent(tmp_path: Path) -> None:
    result = called("recommend", "ada", "--address", "127.0.0.1:1", cwd=tmp_path, BUDDIES_CLIENT__TOKEN=SECRET)
    assert result.returncode == 2
    assert "client.token is set without TLS" in result.stderr
    assert SECRET not in result.stderr


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ca": "nowhere.pem"}, r"nowhere\.pem: No such file"),
        ({"certificate": "a.pem"}, "needs its key"),
        ({"tls": True, "token": "two words"}, "printable ASCII"),
    ],
)
def test_credentials_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        credentials(ClientSettings(**settings))


def test_without_tls_there_are_no_credentials() -> None:
    assert credentials(ClientSettings()) is None


@pytest.mark.parametrize("address", [f"https://anna:{SECRET}@host", f"http://{SECRET}@host:9000/x", f"a://{SECRET}:@h"])
def test_a_url_as_the_services_address_is_refused_without_its_login(address: str) -> None:
    refusals = [
        run("config", "show", BUDDIES_CLIENT__ADDRESS=address),
        run("recommend", "user-1", "--address", address),
        run("feedback", "0" * 32, "--user", "user-1", "--like", "p", "--address", address),
    ]
    for refused in refusals:
        assert refused.returncode if hasattr(refused, "returncode") else refused.exit_code
        said = f"{refused.stdout}{refused.stderr}"
        assert [piece for piece in pieces(SECRET) if piece in said] == [], said
    with pytest.raises(ValueError, match="is a URL") as error:
        Client(address)
    assert SECRET not in str(error.value)
