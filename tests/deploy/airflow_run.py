"""Run by the Python of an Airflow: loads the DAG folder, runs one DAG, and prints what happened as JSON."""

from __future__ import annotations

import json
import sys

from airflow.dag_processing.dagbag import DagBag  # type: ignore[import-not-found]


def main() -> None:
    """Arguments: the folder, and a DAG's name."""
    folder, name = sys.argv[1:]
    bag = DagBag(folder)
    ran = bag.dags[name].test()
    print("RESULT " + json.dumps({"errors": bag.import_errors, "dags": sorted(bag.dags), "state": str(ran.state)}))


if __name__ == "__main__":
    main()
