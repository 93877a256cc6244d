"""The fake DDM follows DDM's API: the vendor's SDK can parse its responses."""

import json

import pytest
from helpers.function import EVENT
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ServiceResponseException
from huaweicloudsdkcore.http.http_config import HttpConfig
from huaweicloudsdkddm.v1 import CheckPreliminaryResultsRequest, DdmClient

from testing.fake_behaviours import BEHAVIOURS, PRIMARY_KEYS_FAIL, ReceivedRequest
from testing.fake_ddm import FakeDDM

PROJECT_ID, INSTANCE_ID, JOB_ID = EVENT["project_id"], EVENT["instance_id"], EVENT["job_id"]


@pytest.fixture
def fetch(fake_ddm: FakeDDM):
    """A function that fetches the precheck result of a database schema with the vendor's SDK."""
    credentials = BasicCredentials("ak", "sk", PROJECT_ID)
    builder = DdmClient.new_builder().with_credentials(credentials).with_endpoint(fake_ddm.url)
    client = builder.with_http_config(HttpConfig(retry_times=0)).build()
    ids = {"instance_id": INSTANCE_ID, "job_id": JOB_ID}
    return lambda db_name: client.check_preliminary_results(CheckPreliminaryResultsRequest(db_name=db_name, **ids))


def test_sdk_parses_the_checks(fetch, fake_ddm: FakeDDM):
    """The SDK returns each check with all its texts, and the fake DDM records the request."""
    response = fetch("fail")
    assert response.job_id == JOB_ID
    first, *others = response.pre_check_results
    assert first.to_dict() == PRIMARY_KEYS_FAIL
    assert [check.status for check in others] == ["WARN", "SUCCESS"]
    (request,) = fake_ddm.requests
    assert (request.project_id, request.instance_id) == (PROJECT_ID, INSTANCE_ID)


def test_sdk_parses_an_empty_list(fetch):
    """If a precheck has not started, the list is empty."""
    assert fetch("pending").pre_check_results == []


def test_a_growing_list_ends_at_eight_checks(fetch):
    """Each response for the job has two more checks with different names, until there are eight."""
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
    """The SDK raises its exception with DDM's error code. Status 429 is omitted, because the SDK cannot parse it."""
    with pytest.raises(ServiceResponseException) as caught:
        fetch(db_name)
    assert (caught.value.status_code, caught.value.error_code) == (status, code)


@pytest.mark.parametrize("db_name", BEHAVIOURS)
def test_every_result_names_a_job(db_name):
    """Each result has the ID of the requested job, except the result of `another_job`."""
    response = BEHAVIOURS[db_name](ReceivedRequest(PROJECT_ID, INSTANCE_ID, db_name, JOB_ID, "token", 1))
    body = json.loads(json.dumps(response.body))
    assert ("job_id" in body, body.get("job_id") == JOB_ID) == (
        response.status == 200,
        response.status == 200 and db_name != "another_job",
    )
