"""The jobs of `buddies schedule` for Airflow 3: a DAG for each, at the same times, with the same commands.

Put this file into the DAG folder. It needs the provider apache-airflow-providers-standard, and the command `buddies`
where tasks run; SPOTIFY_BUDDIES names another command, such as /opt/buddies/bin/buddies. README.md says more.
"""

from __future__ import annotations

import os
import shlex
from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

# Job -> cron expression in UTC, whether it begins unpaused, time limit in seconds, exit codes that are fine, arguments.
# The defaults of [schedule]; tests/deploy/test_airflow.py compares them.
JOBS = {
    "simulate": ("*/10 * * * *", False, 3600, (0,), "simulate run --over 9m --seed {stamp} --json"),
    "upkeep": ("15 3 * * *", True, 7200, (0,), "store maintain --json"),
    "drift": ("30 1 * * *", True, 7200, (0, 4), "drift check --until {until} --json"),
    "decide": ("30 0 * * MON", False, 7200, (0,), "online decide --since 14d --until {until} --wait --json"),
    "caused": ("45 1 * * *", True, 43200, (0,), "schedule retrain --when-caused --until {until} --json"),
    "extract": ("0 1 * * *", False, 7200, (0,), "retrain extract --window 30d --until {until} --json"),
    "retrain": ("0 2 * * MON", True, 43200, (0,), "schedule retrain --until {until} --json"),
    "rollout": ("*/10 * * * *", True, 3600, (0,), "schedule start-rollout --json"),
    "daily": ("0 4 * * *", True, 7200, (0,), "daily run --json"),
}
COMMAND = os.environ.get("SPOTIFY_BUDDIES", "buddies")
# Filled in by Airflow when a task runs; run_after is the time of a run, scheduled or by hand.
PLACES = {
    "{until}": '{{ dag_run.run_after.strftime("%Y-%m-%dT%H:%M:%SZ") }}',
    "{stamp}": "{{ dag_run.run_after.timestamp() | int }}",
}


def command_of(arguments: str, fine: tuple[int, ...]) -> str:
    """The line for bash; exit codes that are fine end it with 0."""
    for place, template in PLACES.items():
        arguments = arguments.replace(place, template)
    line = f"{shlex.quote(COMMAND)} {arguments}"
    for code in fine:
        line += f" || [ $? -eq {code} ]" if code else ""
    return line


for name, (cron, enabled, limit_s, fine, arguments) in JOBS.items():
    with DAG(
        dag_id=f"buddies_{name}",
        schedule=cron,
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        # Missed runs are not made up for one by one, and no job overlaps itself.
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=not enabled,
        default_args={"retries": 0, "execution_timeout": timedelta(seconds=limit_s)},
        tags=["buddies"],
    ):
        BashOperator(task_id=name, bash_command=command_of(arguments, fine), append_env=True)
