"""A DAG for Airflow 2.11 and 3: requests the verdict of one DDM precheck, and branches on it.

Requires apache-airflow-providers-http and the HTTP connection ``ddm_precheck``: host = URL of the function, password =
IAM token, no login. Tasks and XComs never contain the token.

    airflow dags trigger ddm_precheck --conf "$(jq '{started: ., project_id: "…", instance_id: "…", db_name: "…"}' \
        started.json)"

``started`` is the response of DDM to the POST that started the precheck, as it is. If a task of your own sends the
POST, replace the task ``started`` with it.

A person approves warnings by triggering the DAG again, with exactly the names of these warnings:
``"accepted_warnings": ["…"]``. A FAIL cannot be approved.

The run fails exactly if there is no verdict: the task ``error`` raises, or ``precheck`` fails after its timeout. A FAIL
or WARN is a verdict, so the run ends green in the task ``stop``: send the report to a person there.
"""

import time
from typing import Any

from airflow.providers.http.hooks.http import HttpHook

try:
    from airflow.sdk import PokeReturnValue, dag, task
    from airflow.sdk.exceptions import AirflowFailException
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task
    from airflow.exceptions import AirflowFailException
    from airflow.sensors.base import PokeReturnValue

CONNECTION = "ddm_precheck"
POLL_SECONDS = 10
MAX_WAIT_SECONDS = 300
"""Maximum time between two requests, whatever ``retry_after_seconds`` is."""

TIMEOUT_SECONDS = 3600
"""Maximum time for all requests. Afterwards the sensor fails."""

FIELDS = ("project_id", "instance_id", "db_name", "region", "expected_checks", "accepted_warnings")
PARAMS = {
    "started": {},
    "project_id": "",
    "instance_id": "",
    "db_name": "",
    "region": "",
    # The number of different asynchronous checks in a complete list. Without it, an incomplete list can be a PASS.
    "expected_checks": 8,
    "accepted_warnings": [],
}


def request_verdict(event: dict[str, Any]) -> dict[str, Any]:
    """Return the response of the function, or an error in its shape if the response is not a JSON object."""
    hook = HttpHook(method="POST", http_conn_id=CONNECTION)
    token = hook.get_connection(CONNECTION).password
    # The body of a 4xx or 5xx is a response like any other. A redirect could send the token to another host.
    options = {"check_response": False, "allow_redirects": False, "timeout": 60}
    response = hook.run(json=event, headers={"X-Auth-Token": token}, extra_options=options)
    try:
        body = response.json()
    except ValueError:
        body = None
    if isinstance(body, dict):
        return body
    message = f"No usable response from the precheck function: status {response.status_code}"
    return {"verdict": "ERROR", "can_proceed": False, "retryable": False, "message": message}


def branch_for(response: dict[str, Any]) -> str:
    """Return the task that follows. Only the JSON value true means go."""
    if response.get("can_proceed") is True:
        return "go"
    if response.get("verdict") in {"FAIL", "WARN"} and isinstance(response.get("issues"), list):
        return "stop"
    return "error"


@dag(schedule=None, catchup=False, params=PARAMS)
def ddm_precheck() -> None:
    """Request the verdict of one DDM precheck, and branch on it."""

    @task
    def started(params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Replace this task with the one that starts the precheck and returns the response of DDM."""
        return (params or {})["started"]

    @task
    def event(response: dict[str, Any], params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Add the other fields of the event."""
        return response | {name: (params or {})[name] for name in FIELDS}

    # mode="reschedule" needs no worker between two requests.
    @task.sensor(poke_interval=POLL_SECONDS, timeout=TIMEOUT_SECONDS, mode="reschedule")
    def precheck(event: dict[str, Any]) -> PokeReturnValue:
        """Send the event until the response is not retryable. The response is the XCom."""
        response = request_verdict(event)
        print(response.get("message"))
        is_done = response.get("retryable") is not True
        if not is_done:
            wait = min(response.get("retry_after_seconds") or 0, MAX_WAIT_SECONDS)
            time.sleep(max(wait - POLL_SECONDS, 0))
        return PokeReturnValue(is_done=is_done, xcom_value=response)

    @task.branch
    def choose_branch(response: dict[str, Any]) -> str:
        return branch_for(response)

    @task
    def go(response: dict[str, Any]) -> None:
        """Change the shards here."""
        print(response["message"])

    @task
    def stop(response: dict[str, Any]) -> None:
        """Send the report to a person here."""
        print(response["report"])

    @task
    def error(response: dict[str, Any]) -> None:
        raise AirflowFailException(response.get("message"))

    response = precheck(event(started()))
    choose_branch(response) >> [go(response), stop(response), error(response)]


ddm_precheck()
