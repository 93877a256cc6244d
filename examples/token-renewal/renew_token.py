"""Request an IAM token of Huawei Cloud, and store the token in the secret that the function mounts as a file.

A token is valid for 24 hours. Run this program every 12 hours, so that one run may fail: ``cronjob.yaml`` does so on
Kubernetes, ``google.sh`` on Google Cloud. Requires Python 3.11 or newer and no packages. Environment variables:

- HUAWEICLOUD_REGION, HUAWEICLOUD_PROJECT_ID: the region and the project of the DDM instance.
- IAM_ENDPOINT: by default ``https://iam.REGION.myhuaweicloud.com``.
- HUAWEICLOUD_ACCOUNT, HUAWEICLOUD_USER: an IAM user with only the policy DDM ReadOnlyAccess.
- HUAWEICLOUD_PASSWORD_FILE: a file with the user's password.
- KUBERNETES_SECRET: the name of the secret in the pod's namespace; the program sets its key ``token``. Or:
- GOOGLE_SECRET: ``projects/PROJECT/secrets/NAME``; the program adds a version, and destroys all but the two newest.

No argument and no output contains the password or the token. If the token was not stored, the exit status is 1.
"""

import base64
import json
import os
import re
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from email.message import Message
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

TIMEOUT_SECONDS: Final = 20
VERSIONS_TO_KEEP: Final = 2
TOKEN: Final = re.compile(r"[A-Za-z0-9+/=_.~-]{1,65536}")
METADATA_PATH: Final = "/computeMetadata/v1/instance/service-accounts/default/token"


class RenewalError(Exception):
    """The token was not stored. The message contains no secret."""


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Disable redirects: following one would send a secret to another host."""

    def redirect_request(self, *_: object, **__: object) -> None:
        """Return no request, so that the redirect counts as an error."""


def main() -> None:
    """Request a token and store it."""
    try:
        variables = os.environ
        store = choose_store(variables)
        store(variables, fetch_token(variables))
    except RenewalError as error:
        sys.exit(f"The token is not renewed: {error}")
    print("The token is renewed.")


def choose_store(variables: Mapping[str, str]) -> Any:
    """Return the function that stores the token. Raises RenewalError unless exactly one secret is named."""
    stores = {"KUBERNETES_SECRET": store_in_kubernetes, "GOOGLE_SECRET": store_in_google}
    named = [store for variable, store in stores.items() if variables.get(variable)]
    if len(named) != 1:
        raise RenewalError("set either KUBERNETES_SECRET or GOOGLE_SECRET")
    return named[0]


def fetch_token(variables: Mapping[str, str]) -> str:
    """Return a new token for the project. Raises RenewalError."""
    user = {
        "domain": {"name": require(variables, "HUAWEICLOUD_ACCOUNT")},
        "name": require(variables, "HUAWEICLOUD_USER"),
        "password": read_file(require(variables, "HUAWEICLOUD_PASSWORD_FILE")),
    }
    identity = {"methods": ["password"], "password": {"user": user}}
    scope = {"project": {"id": require(variables, "HUAWEICLOUD_PROJECT_ID")}}
    region = require(variables, "HUAWEICLOUD_REGION")
    endpoint = variables.get("IAM_ENDPOINT") or f"https://iam.{region}.myhuaweicloud.com"
    # Without the catalog, the token is short enough for a header line of 8 KB.
    url = f"{endpoint}/v3/auth/tokens?nocatalog=true"
    headers, _ = send("IAM", build_request("POST", url, {"auth": {"identity": identity, "scope": scope}}))
    token = headers.get("X-Subject-Token") or ""
    if not TOKEN.fullmatch(token):
        raise RenewalError("IAM sent no usable token")
    return token


def store_in_kubernetes(variables: Mapping[str, str], token: str) -> None:
    """Set the key ``token`` of the secret, as the pod's service account."""
    folder = variables.get("SERVICE_ACCOUNT_FOLDER") or "/var/run/secrets/kubernetes.io/serviceaccount"
    host, port = require(variables, "KUBERNETES_SERVICE_HOST"), require(variables, "KUBERNETES_SERVICE_PORT")
    host = f"[{host}]" if ":" in host else host
    secret = f"namespaces/{read_file(f'{folder}/namespace')}/secrets/{variables['KUBERNETES_SECRET']}"
    headers = {
        "Content-Type": "application/merge-patch+json",
        "Authorization": f"Bearer {read_file(f'{folder}/token')}",
    }
    body = {"data": {"token": base64.b64encode(token.encode()).decode()}}
    request = build_request("PATCH", f"https://{host}:{port}/api/v1/{secret}", body, headers)
    send("Kubernetes", request, f"{folder}/ca.crt")


def store_in_google(variables: Mapping[str, str], token: str) -> None:
    """Add a version to the secret, then destroy all but the newest versions."""
    metadata = variables.get("GCE_METADATA_HOST") or "metadata.google.internal"
    endpoint = variables.get("SECRET_MANAGER_ENDPOINT") or "https://secretmanager.googleapis.com"
    request = build_request("GET", f"http://{metadata}{METADATA_PATH}", headers={"Metadata-Flavor": "Google"})
    _, identity = send("The metadata server", request)
    headers = {"Authorization": f"Bearer {identity['access_token']}"}
    url = f"{endpoint}/v1/{variables['GOOGLE_SECRET']}"
    payload = {"payload": {"data": base64.b64encode(token.encode()).decode()}}
    send("Secret Manager", build_request("POST", f"{url}:addVersion", payload, headers))
    query = urlencode({"filter": "state:ENABLED", "pageSize": 100})
    _, listed = send("Secret Manager", build_request("GET", f"{url}/versions?{query}", headers=headers))
    versions = sorted((each["name"] for each in listed.get("versions", [])), key=version_number)
    for name in versions[:-VERSIONS_TO_KEEP]:
        send("Secret Manager", build_request("POST", f"{endpoint}/v1/{name}:destroy", {}, headers))


def version_number(name: str) -> int:
    """Return the number at the end of a version's name."""
    return int(name.rpartition("/")[2])


def require(variables: Mapping[str, str], name: str) -> str:
    """Return the variable's value. Raises RenewalError if the variable is not set."""
    if not variables.get(name):
        raise RenewalError(f"{name} is not set")
    return variables[name]


def read_file(path: str) -> str:
    """Return the text of the file without a final line break. Raises RenewalError."""
    try:
        return Path(path).read_text(encoding="utf-8").removesuffix("\n")
    except (OSError, ValueError):
        raise RenewalError(f"{path} cannot be read") from None


def build_request(
    method: str, url: str, body: object = None, headers: Mapping[str, str] | None = None
) -> urllib.request.Request:
    """Return a request with a JSON body. If the body is None, the request has no body."""
    data = None if body is None else json.dumps(body).encode()
    all_headers = {"Content-Type": "application/json", **(headers or {})}
    return urllib.request.Request(url, data, all_headers, method=method)  # noqa: S310 - the operator chooses the URL


def send(peer: str, request: urllib.request.Request, certificate_file: str | None = None) -> tuple[Message, Any]:
    """Send one request, and return the headers and the JSON body of the response.

    Raises RenewalError for every status other than 2xx; the message contains the peer and the status.
    """
    try:
        context = ssl.create_default_context(cafile=certificate_file)
        opener = urllib.request.build_opener(NoRedirect, urllib.request.HTTPSHandler(context=context))
        with opener.open(request, timeout=TIMEOUT_SECONDS) as response:
            return response.headers, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            raise RenewalError(f"{peer} responded {error.code}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise RenewalError(f"{peer} cannot be reached, or its response is not JSON ({type(reason).__name__})") from None


if __name__ == "__main__":
    main()
