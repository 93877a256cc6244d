"""The fake DDM follows DDM's API: the vendor's SDK can parse its responses."""

import pytest
import requests
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ServiceResponseException
from huaweicloudsdkcore.http.http_config import HttpConfig
from huaweicloudsdkddm.v1 import CheckPreliminaryResultsRequest, DdmClient

from testing import EVENT
from testing.fake_behaviours import PRIMARY_KEYS_FAIL, fault
from testing.fake_ddm import FakeDDM
from testing.fault_server import complete_response, reset, send


@pytest.fixture
def fetch(fake_ddm: FakeDDM):
    """A function that fetches the precheck result of a database schema with the vendor's SDK."""
    credentials = BasicCredentials("ak", "sk", EVENT["project_id"])
    builder = DdmClient.new_builder().with_credentials(credentials).with_endpoint(fake_ddm.url)
    client = builder.with_http_config(HttpConfig(retry_times=0)).build()
    ids = {"instance_id": EVENT["instance_id"], "job_id": EVENT["job_id"]}
    return lambda db_name: client.check_preliminary_results(CheckPreliminaryResultsRequest(db_name=db_name, **ids))


def test_sdk_parses_the_checks(fetch, fake_ddm: FakeDDM):
    response = fetch("fail")
    assert response.job_id == EVENT["job_id"]
    assert response.pre_check_results[0].to_dict() == PRIMARY_KEYS_FAIL
    assert [check.status for check in response.pre_check_results] == ["FAILED", "WARN", "SUCCESS"]
    assert fake_ddm.requests[0].instance_id == EVENT["instance_id"]


def test_growing_list_ends_at_eight_checks(fetch):
    counts = [len({check.name for check in fetch("growing").pre_check_results}) for _ in range(5)]
    assert counts == [2, 4, 6, 8, 8]


@pytest.mark.parametrize(
    ("db_name", "status", "code"),
    [
        ("rejected", 400, "DBS.280001"),
        ("unauthorized", 401, "APIGW.0307"),
        ("not_found", 400, "DBS.300400"),
        ("broken", 500, "DBS.200001"),
        ("an_unknown_schema", 400, "DBS.300129"),
    ],
)
def test_sdk_parses_the_errors(fetch, db_name, status, code):
    """Status 429 is omitted, because the SDK cannot parse it."""
    with pytest.raises(ServiceResponseException) as caught:
        fetch(db_name)
    assert caught.value.status_code == status
    assert caught.value.error_code == code


@pytest.mark.parametrize(("token", "status"), [("token", 202), ("", 401)])
def test_post_starts_a_precheck(fake_ddm: FakeDDM, token, status):
    path = "/v3/{project_id}/instances/{instance_id}/databases/{db_name}/migration/precheck".format_map(EVENT)
    response = requests.post(fake_ddm.url + path, json={}, headers={"X-Auth-Token": token}, timeout=10)
    assert response.status_code == status
    assert ("pre_check_results" in response.json()) == (status == 202)


def test_faults_run_on_the_socket(fake_ddm: FakeDDM):
    fake_ddm.behaviours |= {"sent": fault(send(complete_response(b"{}"))), "reset": fault(reset)}
    url = f"{fake_ddm.url}/v3/p/instances/i/databases/%s/migration/precheck/j"
    assert requests.get(url % "sent", headers={"X-Auth-Token": "t"}, timeout=10).json() == {}
    with pytest.raises(requests.ConnectionError):
        requests.get(url % "reset", headers={"X-Auth-Token": "t"}, timeout=10)
