"""`buddies doctor`, and the files that it reads."""

import json
from pathlib import Path

import pytest

from spotify_buddies.clients.command.doctor import hosts
from spotify_buddies.clients.command.endpoints import running
from spotify_buddies.foundation.addresses import AddressKind
from tests.clients.buddies_process import called
from tests.clients.grpc_server import serving


def test_doctor_lists_what_it_looked_at(tmp_path: Path) -> None:
    result = called("doctor", "--json", cwd=tmp_path)
    findings = {finding["what"]: finding for finding in json.loads(result.stdout)}
    assert findings["python"]["ok"]
    assert findings["extra train"]["ok"]
    assert findings["postgres"]["found"] == "embedded"


def test_doctor_finds_a_service_that_does_not_answer(tmp_path: Path) -> None:
    with serving() as address:
        pass
    result = called("doctor", cwd=tmp_path, BUDDIES_REDIS_URL=f"redis://{address}/0")
    assert result.returncode == 1
    assert ["FAIL", "redis"] in [line.split()[:2] for line in result.stdout.splitlines()]


def test_doctor_finds_a_taken_port(tmp_path: Path) -> None:
    with serving() as address:
        port = address.rpartition(":")[2]
        result = called("doctor", cwd=tmp_path, BUDDIES_SERVE__GRPC_PORT=port)
    assert result.returncode == 1
    assert ["FAIL", "port", port, "taken"] in [line.split()[:4] for line in result.stdout.splitlines()]
    assert "BUDDIES_SERVE__GRPC_PORT" in result.stdout


@pytest.mark.parametrize(
    ("kind", "url", "expected"),
    [
        (AddressKind.POSTGRES, "postgresql://a:b@one:1,two:2/db", [("one", 1), ("two", 2)]),
        (AddressKind.POSTGRES, "postgresql://one/db", [("one", 5432)]),
        (AddressKind.POSTGRES, "postgresql:///db?host=one,/run/postgresql&port=7", [("one", 7)]),
        (AddressKind.POSTGRES, "postgresql://%2Frun%2Fpostgresql/db", []),
        (AddressKind.POSTGRES, "host=one,two port=1,2 password='a @b'", [("one", 1), ("two", 2)]),
        (AddressKind.POSTGRES, "host=/run/postgresql", []),
        (AddressKind.MLFLOW, "http://mlflow.example", [("mlflow.example", 80)]),
        (AddressKind.MLFLOW, "https://mlflow.example", [("mlflow.example", 443)]),
        (AddressKind.MLFLOW, "postgresql+psycopg2://a:b@db/mlflow", [("db", 5432)]),
        (AddressKind.MLFLOW, "sqlite:////var/mlflow.db", []),
        (AddressKind.REDIS, "redis://[::1]:7/0", [("::1", 7)]),
        (AddressKind.REDIS, "redis://[::1]/0", [("::1", 6379)]),
        (AddressKind.REDIS, "unix:///run/redis.sock", []),
    ],
)
def test_doctor_finds_every_host_of_an_address(kind: AddressKind, url: str, expected: list[tuple[str, int]]) -> None:
    assert hosts(url, kind) == expected


def test_an_unreadable_endpoint_file_means_that_nothing_runs(tmp_path: Path) -> None:
    for text in ("", "{}", '{"pid": 1}'):
        (tmp_path / "serving.json").write_text(text)
        assert running(tmp_path) is None
