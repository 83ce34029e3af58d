"""Addresses: whatever the password is made of, no part of it is shown, and libraries read what we read."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

import psycopg
import pytest
import sqlalchemy
from hypothesis import example, given, settings
from hypothesis import strategies as st
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict
from redis.connection import parse_url

from spotify_buddies.foundation.addresses import Address, AddressError, AddressKind, masked, parse, scrubbed
from spotify_buddies.foundation.addresses.postgres import KNOWN, SECRET

# Of signs that stand in no address and no message of ours, and of those that end something in an address.
LETTERS = "XYZQJVWKG"
ANY = st.text(alphabet=st.one_of(st.sampled_from(LETTERS), st.sampled_from("@:/?#%[]&=+,; '\"\\é½＠")), min_size=1)
PRINTABLE = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1)


def parts(password: str) -> set[str]:
    """Every three letters of it that stand together."""
    pieces = {password[at : at + 3] for at in range(len(password) - 2)}
    return {piece for piece in pieces if set(piece) <= set(LETTERS)}


def kv(password: str) -> str:
    return "'" + password.replace("\\", "\\\\").replace("'", "\\'") + "'"


TEMPLATES = {
    AddressKind.POSTGRES: (
        "postgresql://app:{}@db.invalid/feedback",
        "postgres://app:{}@one:1,two:2/db?sslmode=require",
        "postgresql://app@db/x?password={}&connect_timeout=3",
        "postgresql://app@db/x?sslpassword={}",
        "host=db password={} user=app",
        "password={}",
    ),
    AddressKind.REDIS: (
        "redis://:{}@h/0",
        "rediss://app:{}@h:6379/1?ssl_ca_certs=ca.pem",
        "redis://h/0?password={}",
        "rediss://h?ssl_password={}&ssl_certfile=c.pem",
        "unix://:{}@/run/redis.sock?db=1",
    ),
    AddressKind.MLFLOW: (
        "http://bob:{}@h",
        "https://{}@h:5000/mlflow",
        "postgresql+psycopg2://bob:{}@db/mlflow",
        "mysql://bob:{}@db:1/mlflow?charset=utf8",
        "https://h/?token={}",
    ),
}
ALL = [(kind, template) for kind, templates in TEMPLATES.items() for template in templates]


@settings(max_examples=600)
@given(st.sampled_from(ALL), ANY)
@example((AddressKind.MLFLOW, TEMPLATES[AddressKind.MLFLOW][4]), "X&QJV=Y")
@example((AddressKind.MLFLOW, TEMPLATES[AddressKind.MLFLOW][1]), "GGG:")
@example((AddressKind.POSTGRES, TEMPLATES[AddressKind.POSTGRES][0]), "XYZ@QJV!")
@example((AddressKind.POSTGRES, TEMPLATES[AddressKind.POSTGRES][4]), "XYZ QJV")
@example((AddressKind.POSTGRES, TEMPLATES[AddressKind.POSTGRES][4]), "GGG\\")
@example((AddressKind.REDIS, TEMPLATES[AddressKind.REDIS][0]), "1234/XYZ@")
def test_no_part_of_a_password_is_shown_however_it_was_written(where: tuple[AddressKind, str], password: str) -> None:
    kind, template = where
    text = template.format(password)
    try:
        address = parse(text, kind)
        said = f"{address!r} {address.shown} {scrubbed(f'cannot reach {text}: {password!r}', address)}"
    except AddressError as error:
        said = str(error)
    said += masked(text, kind) + masked(text)
    assert not [part for part in parts(password) if part in said]


@given(st.sampled_from(ALL), PRINTABLE)
def test_a_password_that_is_escaped_is_taken_and_not_shown(where: tuple[AddressKind, str], password: str) -> None:
    kind, template = where
    written = quote(password, safe="") if "://" in template else kv(password)
    shown = parse(template.format(written), kind).shown
    assert shown == parse(template.format("ANOTHER"), kind).shown
    assert "***" in shown


@given(st.sampled_from(TEMPLATES[AddressKind.POSTGRES]), ANY)
def test_postgres_reads_what_we_read(template: str, password: str) -> None:
    text = template.format(password)
    try:
        address = parse(text, AddressKind.POSTGRES)
    except AddressError:
        return
    found = conninfo_to_dict(text)
    assert {found["password"] if "password" in found else found["sslpassword"]} <= address.secrets | {""}
    assert found.get("host", "") in ("db.invalid", "one,two", "db", "")


@given(st.sampled_from(TEMPLATES[AddressKind.REDIS]), ANY)
def test_redis_reads_what_we_read(template: str, password: str) -> None:
    text = template.format(password)
    try:
        address = parse(text, AddressKind.REDIS)
    except AddressError:
        return
    found = parse_url(text)
    assert {found.get("password") or found.get("ssl_password") or ""} <= address.secrets | {""}
    assert found.get("host", "h") == "h"


@given(st.sampled_from(TEMPLATES[AddressKind.MLFLOW][:4]), ANY)
def test_mlflows_libraries_read_what_we_read(template: str, password: str) -> None:
    text = template.format(password)
    try:
        address = parse(text, AddressKind.MLFLOW)
    except AddressError:
        return
    hosts = {urlsplit(text).hostname}
    if not text.startswith("http"):
        hosts.add(sqlalchemy.make_url(text).host)
        assert sqlalchemy.make_url(text).password in address.secrets
    assert hosts == {host for host, _ in address.places}


def test_every_word_that_postgres_knows_is_known_and_its_secrets_are_hidden() -> None:
    for option in pq.Conninfo.get_defaults():
        assert option.keyword.decode() in KNOWN
        assert (option.dispchar != b"*") or option.keyword.decode() in SECRET


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://app:s3cret@db/x", "postgresql://app:***@db/x"),
        (
            "postgresql://db/x?user=a&password=s&sslmode=require",
            "postgresql://db/x?user=a&password=***&sslmode=require",
        ),
        ("host=db password=s3cret user=a", "host=db password=*** user=a"),
        (r"host=db password='s3 c\'ret' user=a", "host=db password=*** user=a"),
        ("postgresql://app@db/x", "postgresql://app@db/x"),
        ("redis://:s3cret@cache:6379/0", "redis://:***@cache:6379/0"),
        ("redis://s3cret@cache", "redis://***@cache"),
        ("redis://cache:6379/0", "redis://cache:6379/0"),
        ("https://t0ken@mlflow", "https://***@mlflow"),
        ("https://mlflow/?a=b", "https://mlflow/?***"),
        ("sqlite:////home/a b/@c/mlflow.db", "sqlite:////home/a b/@c/mlflow.db"),
        ("mlruns", "mlruns"),
        ("databricks://profile", "databricks://profile"),
        ("app:s3cret@db/x", "***"),
        ("app:s3=cret@db/x", "***"),
        ("POSTGRESQL://app:s3cret@db/x", "POSTGRESQL://app:***@db/x"),
        ("postgresql://app:s3@cret@db/x", "***"),
    ],
)
def test_an_address_is_shown_without_what_it_keeps_secret(text: str, shown: str) -> None:
    assert masked(text) == shown


@pytest.mark.parametrize(
    ("kind", "text", "rule"),
    [
        (AddressKind.POSTGRES, "postgresql://app:a@b@db", "does not end the login"),
        (AddressKind.POSTGRES, "postgresql://app:a b@db", "a blank"),
        (AddressKind.POSTGRES, "postgresql://app:a#b@db", "%23"),
        (AddressKind.POSTGRES, "postgresql://app:a%b@db", "%25"),
        (AddressKind.POSTGRES, "postgresql://app:a[b@db", "reserved"),
        (AddressKind.POSTGRES, "postgresql://db:12a/x", "host or port"),
        (AddressKind.POSTGRES, "postgresql://db/x?password=a&b=c", "does not know"),
        (AddressKind.POSTGRES, "postgresql://db/x?password=a&b", "key=value"),
        (AddressKind.POSTGRES, "host=db password=a password=b", "appears twice"),
        (AddressKind.POSTGRES, "host=db password=a b", "neither a URL nor"),
        (AddressKind.POSTGRES, "host=db password= user=a", "neither a URL nor"),
        (AddressKind.POSTGRES, "host=db password='it's' user=a", "neither a URL nor"),
        (AddressKind.POSTGRES, "dbname=postgresql://a:b@c/d", "by itself"),
        (AddressKind.POSTGRES, " ", "empty"),
        (AddressKind.REDIS, "redis://h/0?password=a+b", "%2B"),
        (AddressKind.REDIS, "redis://h/0?ssl_ca_certs=a", "without rediss"),
        (AddressKind.REDIS, "redis://h/0?db=a", "number"),
        (AddressKind.REDIS, "redis://h/0?db=1.5", "number"),
        (AddressKind.POSTGRES, "host=db port=65536", "65,535"),
        (AddressKind.POSTGRES, "postgresql://db:65536/x", "host or port"),
        (AddressKind.REDIS, "http://h", "begins with none"),
        (AddressKind.MLFLOW, "htp://bob:a@h", "begins with none"),
        (AddressKind.MLFLOW, "bob:a@h", "neither a URL nor"),
        (AddressKind.MLFLOW, "http:///x", "no host"),
        (AddressKind.MLFLOW, "file://bob:a@h/x", "three slashes"),
    ],
)
def test_a_refusal_names_the_rule(kind: AddressKind, text: str, rule: str) -> None:
    with pytest.raises(AddressError, match=rule):
        parse(text, kind)


def test_a_text_of_a_library_loses_logins_and_the_password_in_any_form() -> None:
    address = parse("https://me:a%20'b%2Fc@h", AddressKind.MLFLOW)
    assert scrubbed("GET https://me:a%20'b%2Fc@h/x: no login \"a 'b/c\"", address) == 'GET https://h/x: no login "***"'
    assert scrubbed("ftp://u:p@ss@h/x password='a b' ok", Address("", (), "")) == "ftp://h/x password=*** ok"


def test_the_client_needs_no_driver_to_read_addresses() -> None:
    import subprocess
    import sys

    code = "import spotify_buddies.foundation.addresses\nimport sys\n"
    code += "print(sorted({'psycopg', 'redis', 'mlflow'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_what_libpq_says_of_an_accepted_address_names_the_host_alone() -> None:
    with pytest.raises(psycopg.OperationalError) as caught:
        psycopg.connect("postgresql://app:XYZ%40QJV@127.0.0.1:1/x", connect_timeout=2)
    assert not [part for part in parts("XYZQJV") if part in str(caught.value)]
