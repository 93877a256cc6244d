"""The fake DDM follows DDM's API: the vendor's SDK can parse its responses."""

import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ServiceResponseException
from huaweicloudsdkcore.http.http_config import HttpConfig
from huaweicloudsdkddm.v1 import CheckPreliminaryResultsRequest, DdmClient

from testing import EVENT
from testing.fake_behaviours import PRIMARY_KEYS_FAIL
from testing.fake_ddm import FakeDDM


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
