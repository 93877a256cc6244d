"""The program renew_token.py, with stubs of IAM, Kubernetes and Google Cloud."""

import base64
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from helpers.certificates import Authority
from helpers.function import ROOT, TOKEN
from helpers.http_stub import HTTPStub, StubRequest, StubResponse

from testing.function_server import clean_environment

PROGRAM: Final = ROOT / "examples" / "token-renewal" / "renew_token.py"
PASSWORD: Final = 'A-PASSWORD with "quotes" and ü'
ACCESS_TOKEN: Final = "ACCESS-TOKEN"
USER: Final = {
    "HUAWEICLOUD_REGION": "cn-north-4",
    "HUAWEICLOUD_PROJECT_ID": "p1",
    "HUAWEICLOUD_ACCOUNT": "Example",
    "HUAWEICLOUD_USER": "ddm-precheck",
}
SECRET: Final = "projects/my-project/secrets/ddm-token"
RENEWED: Final = (0, "The token is renewed.\n", "")


def iam(request: StubRequest, *, token: str = TOKEN, status: int = 201) -> StubResponse:
    """Respond as IAM does: the token is in a header."""
    assert (request.method, request.path) == ("POST", "/v3/auth/tokens?nocatalog=true")
    return StubResponse(status, {"token": {"expires_at": "2026-11-26T00:00:00Z"}}, (("X-Subject-Token", token),))


def run_program(folder: Path, iam_url: str, **variables: str) -> tuple[int, str, str]:
    """Run the program. Return its exit status, stdout and stderr. Fails if the output contains a secret."""
    (folder / "password").write_text(f"{PASSWORD}\n")
    environment = clean_environment() | USER | {"IAM_ENDPOINT": iam_url}
    environment |= {"HUAWEICLOUD_PASSWORD_FILE": str(folder / "password")} | variables
    done = subprocess.run(
        [sys.executable, "-B", str(PROGRAM)], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert not any(secret in done.stdout + done.stderr for secret in (TOKEN, PASSWORD, ACCESS_TOKEN, "A-SECRET"))
    return done.returncode, done.stdout, done.stderr


# Kubernetes


@pytest.fixture
def cluster(authority: Authority, tmp_path: Path) -> dict[str, str]:
    """The variables of a pod in a cluster with this certificate authority. Creates the service account's folder."""
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    (folder / "namespace").write_text("databases")
    (folder / "token").write_text(ACCESS_TOKEN)
    (folder / "ca.crt").write_bytes(authority.bundle.read_bytes())
    return {"SERVICE_ACCOUNT_FOLDER": str(folder), "KUBERNETES_SECRET": "ddm-token"}


def address_variables(server: HTTPStub) -> dict[str, str]:
    """Return the variables that contain the address of the Kubernetes API in a pod."""
    host, port = server.authority.split(":")
    return {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}


def test_kubernetes(authority, cluster, tmp_path):
    with HTTPStub(iam) as iam_server, HTTPStub(lambda _: StubResponse(200, {}), authority.context()) as api:
        assert run_program(tmp_path, iam_server.url, **cluster, **address_variables(api)) == RENEWED
    (login,), (patch,) = iam_server.requests, api.requests
    user = {"domain": {"name": "Example"}, "name": "ddm-precheck", "password": PASSWORD}
    identity = {"methods": ["password"], "password": {"user": user}}
    assert login.body == {"auth": {"identity": identity, "scope": {"project": {"id": "p1"}}}}
    assert (patch.method, patch.path) == ("PATCH", "/api/v1/namespaces/databases/secrets/ddm-token")
    assert patch.headers["authorization"] == f"Bearer {ACCESS_TOKEN}"
    assert patch.headers["content-type"] == "application/merge-patch+json"
    assert patch.body == {"data": {"token": base64.b64encode(TOKEN.encode()).decode()}}


def test_a_cluster_with_another_certificate_gets_no_token(cluster, tmp_path):
    (tmp_path / "other").mkdir()
    other_authority = Authority(tmp_path / "other", "Another CA")
    with HTTPStub(iam) as iam_server, HTTPStub(lambda _: StubResponse(200, {}), other_authority.context()) as api:
        status, _, stderr = run_program(tmp_path, iam_server.url, **cluster, **address_variables(api))
    assert status == 1
    assert stderr.startswith("The token is not renewed: Kubernetes cannot be reached")
    assert api.requests == []


# Google Cloud


class SecretManager:
    """The metadata server and Secret Manager, with a secret that has these versions."""

    def __init__(self, versions: list[int]) -> None:
        self.versions = versions
        self.payloads: list[str] = []
        self.destroyed: list[int] = []

    def __call__(self, request: StubRequest) -> StubResponse:
        """Respond to one request."""
        if request.path.startswith("/computeMetadata/"):
            assert request.headers["metadata-flavor"] == "Google"
            return StubResponse(200, {"access_token": ACCESS_TOKEN, "expires_in": 3599})
        assert request.headers["authorization"] == f"Bearer {ACCESS_TOKEN}"
        name = f"/v1/{SECRET}"
        if request.path == f"{name}:addVersion":
            self.payloads.append(base64.b64decode(request.body["payload"]["data"]).decode())
            self.versions.append(max(self.versions, default=0) + 1)
            return StubResponse(200, {"name": f"{SECRET}/versions/{self.versions[-1]}"})
        if request.path.startswith(f"{name}/versions?"):
            assert "filter=state%3AENABLED" in request.path
            return StubResponse(200, {"versions": [{"name": f"{SECRET}/versions/{each}"} for each in self.versions]})
        number = int(request.path.removeprefix(f"{name}/versions/").removesuffix(":destroy"))
        self.destroyed.append(number)
        return StubResponse(200, {"name": f"{SECRET}/versions/{number}", "state": "DESTROYED"})


@pytest.mark.parametrize(
    ("versions", "destroyed"),
    [
        pytest.param([], [], id="first"),
        pytest.param([1, 2], [1], id="third"),
        pytest.param([11, 10, 9, 8], [8, 9, 10], id="compared-as-numbers"),
    ],
)
def test_google(tmp_path, versions, destroyed):
    """All versions except the two newest are destroyed: instances may still read the previous one."""
    manager = SecretManager(versions)
    with HTTPStub(iam) as iam_server, HTTPStub(manager) as google:
        variables = {"GCE_METADATA_HOST": google.authority, "SECRET_MANAGER_ENDPOINT": google.url}
        assert run_program(tmp_path, iam_server.url, GOOGLE_SECRET=SECRET, **variables) == RENEWED
    assert (manager.payloads, manager.destroyed) == ([TOKEN], destroyed)


# Failures


@pytest.mark.parametrize(
    ("respond", "reason"),
    [
        pytest.param(lambda _: StubResponse(401, {"error": {"message": "A-SECRET"}}), "IAM responded 401", id="401"),
        pytest.param(lambda request: iam(request, token="A-SECRET token"), "IAM sent no usable token", id="space"),
        pytest.param(lambda _: StubResponse(201), "its response is not JSON", id="no-body"),
    ],
)
def test_without_a_usable_token_nothing_is_stored(tmp_path, respond, reason):
    """The program ends with exit status 1 and one line on stderr, so that the platform runs it again."""
    manager = SecretManager([1, 2, 3])
    with HTTPStub(respond) as iam_server, HTTPStub(manager) as google:
        variables = {"GCE_METADATA_HOST": google.authority, "SECRET_MANAGER_ENDPOINT": google.url}
        status, stdout, stderr = run_program(tmp_path, iam_server.url, GOOGLE_SECRET=SECRET, **variables)
        assert google.requests == []
    assert (status, stdout, stderr.count("\n")) == (1, "", 1)
    assert reason in stderr


def test_no_redirect_is_followed(tmp_path):
    with HTTPStub(iam) as target:
        location = (("Location", f"{target.url}/v3/auth/tokens?nocatalog=true"),)
        with HTTPStub(lambda _: StubResponse(307, {}, location)) as iam_server:
            code, _, stderr = run_program(tmp_path, iam_server.url, GOOGLE_SECRET=SECRET)
        assert (code, target.requests) == (1, [])
    assert "IAM responded 307" in stderr


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        pytest.param({}, "set either KUBERNETES_SECRET or GOOGLE_SECRET", id="no-secret"),
        pytest.param({"GOOGLE_SECRET": SECRET, "HUAWEICLOUD_USER": ""}, "HUAWEICLOUD_USER is not set", id="no-user"),
        pytest.param(
            {"GOOGLE_SECRET": SECRET, "HUAWEICLOUD_PASSWORD_FILE": "/missing"}, "/missing cannot be read", id="no-file"
        ),
    ],
)
def test_wrong_variables(tmp_path, variables, reason):
    with HTTPStub(iam) as iam_server:
        status, _, stderr = run_program(tmp_path, iam_server.url, **variables)
        assert (status, iam_server.requests) == (1, [])
    assert reason in stderr
