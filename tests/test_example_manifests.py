"""The example manifests for Knative and Kubernetes: they are valid and agree with the function."""

from typing import Final

import pytest
import yaml
from helpers import tool_cache
from helpers.client_models import model_errors
from helpers.function import EVENT, ROOT

EXAMPLES: Final = ROOT / "examples"
KUBERNETES_CLIENT: Final = "37.0.2"
KNATIVE: Final = {
    path.stem: list(yaml.safe_load_all(path.read_text())) for path in (EXAMPLES / "knative").glob("*.yaml")
}
RENEWAL: Final = list(yaml.safe_load_all((EXAMPLES / "token-renewal" / "cronjob.yaml").read_text()))


def test_service():
    (service,) = KNATIVE["service"]
    spec = service["spec"]["template"]["spec"]
    assert {"name": "THREADS", "value": str(spec["containerConcurrency"])} in spec["containers"][0]["env"]
    name = service["metadata"]["name"]
    assert KNATIVE["sequence"][0]["spec"]["steps"][0]["delivery"] == KNATIVE["trigger"][0]["spec"]["delivery"]
    assert KNATIVE["sinkbinding"][0]["spec"]["subject"]["name"] == name
    assert KNATIVE["trigger"][0]["spec"]["subscriber"]["ref"]["name"] == name
    assert KNATIVE["sequence"][0]["spec"]["steps"][0]["ref"]["name"] == name


def test_secret_of_the_service(start, tmp_path):
    (service,) = KNATIVE["service"]
    spec = service["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    variables = {each["name"]: each["value"] for each in container["env"]}
    (mount,), (volume,) = container["volumeMounts"], spec["volumes"]
    assert variables["DDM_TOKEN_SOURCE"] == f"{mount['mountPath']}/token"
    assert "subPath" not in mount
    assert (mount["name"], volume["secret"]["secretName"]) == (volume["name"], "ddm-token")
    token_file = tmp_path / "token"
    token_file.write_text(EVENT["token"])
    allowed = variables["DDM_ALLOWED_INSTANCES"]
    project_id, instance_id = allowed.split("/")
    function = start(**variables | {"DDM_TOKEN_SOURCE": str(token_file)})
    event = {"project_id": project_id, "instance_id": instance_id, "db_name": "pass", "job_id": "1"}
    assert function.send(event).summary["verdict"] == "PENDING"  # with fewer checks than DDM_EXPECTED_CHECKS
    event |= {"expected_checks": 2}
    assert function.send(event).summary["verdict"] == "PASS"
    assert function.send(event | {"instance_id": "another"}).problem_code == "forbidden"


@pytest.mark.parametrize(
    ("db_name", "fields", "trigger"),
    [
        ("pass", {}, "ddm-precheck-go"),
        ("warn", {"accepted_warnings": ["DB instance time zone"]}, "ddm-precheck-go"),
        ("warn", {}, "ddm-precheck-approval"),
        ("fail", {"accepted_warnings": ["Primary keys", "DB instance time zone"]}, "ddm-precheck-stop"),
        ("pending", {}, None),
    ],
    ids=["pass", "accepted", "warn", "fail", "pending"],
)
def test_filters_of_the_triggers(function, db_name, fields, trigger):
    filters = {each["metadata"]["name"]: each["spec"]["filter"]["attributes"] for each in KNATIVE["trigger"]}
    attributes = {"specversion": "1.0", "id": "1", "source": "s", "type": filters.pop("ddm-precheck-wanted")["type"]}
    response = function.send(attributes | {"data": EVENT | {"db_name": db_name} | fields}).body
    matching = [name for name, wanted in filters.items() if wanted.items() <= response.items()]
    assert matching == ([trigger] if trigger else [])


# Token renewal


def test_fields_are_those_of_kubernetes():
    packages = tool_cache.packages(f"kubernetes-{KUBERNETES_CLIENT}", f"kubernetes=={KUBERNETES_CLIENT}")
    (service,) = KNATIVE["service"]
    spec = service["spec"]["template"]["spec"]
    # Knative adds two fields to a pod and sets the container's name itself.
    pod = {name: value for name, value in spec.items() if name not in {"containerConcurrency", "timeoutSeconds"}}
    pod["containers"] = [container | {"name": "user-container"} for container in pod["containers"]]
    manifests = [{"model": f"V1{each['kind']}", "value": each} for each in RENEWAL]
    manifests.append({"model": "V1PodSpec", "value": pod})
    assert model_errors(packages, "kubernetes.client.models", manifests) == []


def test_the_renewal_has_one_permission():
    resources = {each["kind"]: each for each in RENEWAL}
    assert list(resources) == ["Secret", "ServiceAccount", "Role", "RoleBinding", "CronJob"]
    assert resources["Role"]["rules"] == [
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["ddm-token"], "verbs": ["patch"]}
    ]
    account = resources["ServiceAccount"]["metadata"]["name"]
    assert resources["RoleBinding"]["subjects"] == [{"kind": "ServiceAccount", "name": account}]
    assert resources["RoleBinding"]["roleRef"]["name"] == resources["Role"]["metadata"]["name"]
    pod = resources["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == account
    assert resources["Secret"].keys() == {"apiVersion", "kind", "metadata"}
    assert resources["Secret"]["metadata"]["name"] == "ddm-token"


def test_the_renewal_runs_the_program_every_12_hours():
    (cronjob,) = (each for each in RENEWAL if each["kind"] == "CronJob")
    assert cronjob["spec"]["schedule"] == "0 */12 * * *"
    pod = cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert container["command"][-1] == f"{mounts['program']}/renew_token.py"
    variables = {each["name"]: each["value"] for each in container["env"]}
    program = (EXAMPLES / "token-renewal" / "renew_token.py").read_text()
    required = {name for name in variables if f'"{name}"' in program}
    assert required == variables.keys()
    assert variables["HUAWEICLOUD_PASSWORD_FILE"] == f"{mounts['huaweicloud-user']}/password"
