"""deploy/airflow has the jobs of the schedule, and a real Airflow runs them."""

from __future__ import annotations

import ast
import json
import os
import shlex
import subprocess
import sys
import venv
from pathlib import Path

import psycopg
import pytest

from spotify_buddies.clients.schedule.jobs import NAMES, jobs_of
from spotify_buddies.clients.schedule.settings import ScheduleSettings

FOLDER = Path(__file__).parents[2] / "deploy" / "airflow"
RUN = Path(__file__).with_name("airflow_run.py")
INSTALL_WITHIN_S, RUN_WITHIN_S = 1_200.0, 600.0


def test_the_dags_have_the_jobs_of_the_schedule_with_its_defaults() -> None:
    module = ast.parse((FOLDER / "buddies_dag.py").read_text(encoding="utf-8"))
    (table,) = [
        node.value for node in module.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "JOBS"
    ]
    jobs = {name: job.settings for name, job in jobs_of(ScheduleSettings()).items()}
    assert ast.literal_eval(table) == {
        name: (job.cron, job.enabled, int(job.timeout_s), job.fine, " ".join(job.arguments))
        for name, job in jobs.items()
    }


@pytest.fixture
def airflow(tmp_path: Path) -> str:
    """The Python of an Airflow: AIRFLOW_PYTHON, or one that is made here where it says install."""
    named = os.environ.get("AIRFLOW_PYTHON")
    if not named:
        pytest.skip("AIRFLOW_PYTHON names no Python with Airflow 3, nor says install")
    if named != "install":
        return named
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "apache-airflow>=3,<4"]
    subprocess.run(pip, check=True, timeout=INSTALL_WITHIN_S)
    return python


@pytest.mark.timeout(INSTALL_WITHIN_S + 2 * RUN_WITHIN_S)
def test_a_real_airflow_loads_the_dags_and_runs_one(airflow: str, tmp_path: Path, postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    command = tmp_path / "buddies"
    path = shlex.quote(os.pathsep.join(filter(None, sys.path)))
    python = shlex.quote(sys.executable)
    command.write_text(f'#!/bin/sh\nPYTHONPATH={path} exec {python} -m spotify_buddies.clients.main "$@"\n')
    command.chmod(0o700)
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(FOLDER),
        "SPOTIFY_BUDDIES": str(command),
        "BUDDIES_POSTGRES_URL": postgres_url,
    }

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [airflow, *arguments], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False,
            timeout=RUN_WITHIN_S,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("-m", "airflow", "db", "migrate")
    said = run(str(RUN), str(FOLDER), "buddies_upkeep")
    (result,) = [line.removeprefix("RESULT ") for line in said.splitlines() if line.startswith("RESULT ")]
    dags = sorted(f"buddies_{name}" for name in NAMES)
    assert json.loads(result) == {"errors": {}, "dags": dags, "state": "success"}
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        assert connection.execute("SELECT count(*) FROM store_work WHERE name = 'maintain'").fetchall() == [(1,)]
