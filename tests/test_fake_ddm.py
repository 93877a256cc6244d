"""The stand-in speaks DDM's language: the vendor's own client reads it into the right objects."""

import pytest
from helpers.function import EVENT
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ServiceResponseException
from huaweicloudsdkcore.http.http_config import HttpConfig
from huaweicloudsdkddm.v1 import CheckPreliminaryResultsRequest, DdmClient

from deploy.fake_ddm import PRIMARY_KEYS_FAIL, FakeDDM


@pytest.fixture
def ask(fake_ddm: FakeDDM):
    """Ask the stand-in with the vendor's SDK."""
    credentials = BasicCredentials("ak", "sk", EVENT["project_id"])
    builder = DdmClient.new_builder().with_credentials(credentials).with_endpoint(fake_ddm.url)
    client = builder.with_http_config(HttpConfig(retry_times=0)).build()
    ids = {"instance_id": EVENT["instance_id"], "job_id": EVENT["job_id"]}
    return lambda db_name: client.check_preliminary_results(CheckPreliminaryResultsRequest(db_name=db_name, **ids))


def test_sdk_reads_the_checks(ask, fake_ddm: FakeDDM):
    """The checks arrive as the SDK's objects, with every text."""
    response = ask("fail")
    assert response.job_id == EVENT["job_id"]
    first, *others = response.pre_check_results
    assert first.to_dict() == PRIMARY_KEYS_FAIL
    assert [check.status for check in others] == ["WARN", "SUCCESS"]
    (call,) = fake_ddm.requests
    assert (call.project_id, call.instance_id) == (EVENT["project_id"], EVENT["instance_id"])


def test_sdk_reads_an_empty_list(ask):
    """A precheck that has not begun is an empty list."""
    assert ask("pending").pre_check_results == []


@pytest.mark.parametrize(
    ("db_name", "status", "code"),
    [
        ("rejected", 400, "DBS.280001"),
        ("unauthorized", 401, "APIGW.0307"),
        ("not_found", 400, "DBS.300400"),
        ("broken", 500, "DBS.200001"),
        ("schema_that_is_not_there", 400, "DBS.300129"),
    ],
)
def test_sdk_reads_the_errors(ask, db_name, status, code):
    """The refusals arrive as the SDK's exceptions, with DDM's code (but 429, which it does not read)."""
    with pytest.raises(ServiceResponseException) as caught:
        ask(db_name)
    assert (caught.value.status_code, caught.value.error_code) == (status, code)
