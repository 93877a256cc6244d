"""Runs the DAG of the example once for each configuration in stdin, with ``dag.test()``.

Usage: ``python run_airflow.py DAG_FOLDER < configurations.json``, with a Python that can import Airflow. The last line
has for each run its state, the states of its tasks and the XCom of the task ``precheck``. Airflow's log comes before.
"""

import importlib
import json
import os
import sys
from typing import Any

os.dup2(1, 2)
sys.path.insert(0, sys.argv[1])
importlib.import_module("airflow.utils.db").initdb()
module: Any = importlib.import_module("precheck_dag")
dag = module.ddm_precheck()
sensor = dag.get_task("precheck")
sensor.poke_interval = module.POLL_SECONDS = 0.2
sensor.timeout = 4
module.MAX_WAIT_SECONDS = 0.2
runs = []
for configuration in json.load(sys.stdin):
    run = dag.test(run_conf=configuration)
    tasks = {task.task_id: task for task in run.get_task_instances()}
    states = {name: str(getattr(task.state, "value", task.state)) for name, task in tasks.items()}
    response = tasks["precheck"].xcom_pull(task_ids="precheck") or {}
    runs.append({"state": str(getattr(run.state, "value", run.state)), "tasks": states, "response": response})
print(json.dumps(runs))
