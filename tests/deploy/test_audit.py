"""`make audit`, and that nothing here unpickles."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("spotify_buddies", "deploy")
NOWHERE = "http://127.0.0.1:1/v1/query"


def audit(*arguments: str, **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, str(ROOT / ".ci" / "audit.py"), *arguments],
        env={**{name: value for name, value in os.environ.items() if name != "AUDIT_REQUIRED"}, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.returncode, done.stdout + done.stderr


def checkout(directory: Path, **files: str) -> Path:
    """A git checkout with these files, not committed yet."""
    subprocess.run(["git", "init", "-q", str(directory)], check=True)
    for name, text in files.items():
        (directory / f"{name}.py").write_text(text)
    return directory


@contextmanager
def osv(*vulnerable: str) -> Iterator[str]:
    """A vulnerability database that knows one vulnerability in each of these packages; yields its query's URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            name = asked.get("package", {}).get("name")
            package = {"name": name, "ecosystem": "PyPI"}
            found = {
                "id": "PYSEC-2026-1",
                "modified": "2026-01-01T00:00:00Z",
                "affected": [{"package": package, "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}]}],
            }
            body = json.dumps({"vulns": [found]} if name in vulnerable else {}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1/query"
        finally:
            server.shutdown()
            thread.join()


def test_a_committed_secret_fails_and_is_not_repeated(tmp_path: Path) -> None:
    password = "Qm7xV2" + "pLw9Zt"
    files = {"settings": f'URL = "postgres://app:{password}@db.internal.net:5432/x"\n', "innocent": "x = 1\n"}
    code, output = audit("--root", str(checkout(tmp_path, **files)), "--osv-url", NOWHERE)
    assert code == 1
    assert "settings.py" in output
    assert password not in output


def test_without_the_database_the_rest_is_checked_and_a_line_says_so(tmp_path: Path) -> None:
    root = str(checkout(tmp_path, innocent="x = 1\n"))
    code, output = audit("--root", root, "--osv-url", NOWHERE)
    assert code == 0
    assert f"vulnerabilities not checked: {NOWHERE} cannot be reached" in output
    assert "nothing found in 1 files" in output
    assert audit("--only", "vulnerabilities", "--osv-url", NOWHERE, AUDIT_REQUIRED="1")[0] == 1


@pytest.mark.parametrize(("vulnerable", "code"), [(("innocent",), 0), (("fragile",), 1)])
def test_a_package_with_a_known_vulnerability_fails(vulnerable: tuple[str, ...], code: int, tmp_path: Path) -> None:
    info = tmp_path / "site" / "fragile-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fragile\nVersion: 1.0\n")
    with osv(*vulnerable) as url:
        found, output = audit("--only", "vulnerabilities", "--osv-url", url, "--path", str(info.parent))
    assert found == code, output
    assert ("PYSEC-2026-1" in output) == (code == 1)


def test_ci_runs_the_readmes_test_command_and_that_audits() -> None:
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("exec make test")
    dry = subprocess.run(["make", "-n", "test"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert ".ci/audit.py" in dry


def unpicklers(source: str) -> list[int]:
    """Lines that could run what a file holds: pickle's modules, numpy's and torch's ways to them."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            if {name.partition(".")[0] for name in names} & {
                "pickle",
                "cloudpickle",
                "dill",
                "joblib",
                "shelve",
                "marshal",
            }:
                lines.append(node.lineno)
        if isinstance(node, ast.Call):
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            called = ast.unparse(node.func)
            if given.get("allow_pickle", "False") != "False":
                lines.append(node.lineno)
            if called == "torch.load" and given.get("weights_only") != "True":
                lines.append(node.lineno)
    return lines


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from cloudpickle import loads",
        "np.load(x, allow_pickle=True)",
        "torch.load(x)",
        "import joblib",
    ],
)
def test_a_line_that_unpickles_is_found(source: str) -> None:
    assert unpicklers(source) == [1]


def test_nothing_is_unpickled() -> None:
    found = {
        str(path.relative_to(ROOT)): lines
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if (lines := unpicklers(path.read_text()))
    }
    assert found == {}


def test_the_linter_refuses_to_unpickle(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("import pickle\n\nx = pickle.loads(b'')\n")
    command = [sys.executable, "-m", "ruff", "check", "--config", str(ROOT / "pyproject.toml"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "S301" in done.stdout


def test_mlflow_may_not_unpickle_whatever_the_environment_says() -> None:
    code = (
        "from spotify_buddies.trainer.registry.mlflow_client import configure; configure()\n"
        "from mlflow.environment_variables import MLFLOW_ALLOW_PICKLE_DESERIALIZATION as allowed\n"
        "print(allowed.get())"
    )
    environment = {**os.environ, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "true", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
