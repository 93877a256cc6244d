"""A server that replaces the chat: receives the requests for approval of the Workflows file, and sends approvals."""

import json
import re
import urllib.request
from typing import Any, Final

from helpers.http_stub import HTTPStub, StubRequest, StubResponse

AS_REQUESTED: Final = "as requested"
"""The approval that sends the body in the request for approval without a change."""

AS_REQUESTED_TWICE: Final = "as requested twice"
"""The approval that sends the body in the request for approval twice (Node-RED only)."""

NO_APPROVAL: Final = "no approval"
"""The approval that sends nothing."""

_JOB: Final = re.compile(r"^Job (\S+) of", re.MULTILINE)
_COMMAND: Final = re.compile(
    r"""^printf 'Authorization: Bearer %s' "\$\(gcloud auth print-access-token\)" \| curl -H @- """
    r"""-H 'Content-Type: application/json' -d '(?P<body>[^']*)' '(?P<url>[^']*)'$""",
    re.MULTILINE,
)


class Approver(HTTPStub):
    """Receives ``{"text": …}``. The text contains a curl command. Sends the request of this command once for each job.

    ``approvals`` has the approval for each job ID. The approval decides the body of the request. ``errors`` has the
    exceptions in the threads of the server.
    """

    def __init__(self, approvals: dict[str, Any]) -> None:
        super().__init__(self._respond)
        self.approvals = approvals
        self.errors: list[str] = []

    @property
    def url(self) -> str:
        """The URL that receives the requests for approval."""
        return f"{super().url}/"

    def _respond(self, request: StubRequest) -> StubResponse:
        try:
            assert list(request.body) == ["text"]
            self._approve(request.body["text"])
        except Exception as error:  # noqa: BLE001 - an error in this thread would not fail the test
            self.errors.append(repr(error))
        return StubResponse(200, {})

    def _approve(self, text: str) -> None:
        (job_id,) = _JOB.findall(text)
        (command,) = _COMMAND.finditer(text)
        approval = self.approvals.pop(job_id, NO_APPROVAL)
        if approval is NO_APPROVAL:
            return
        body = command["body"] if approval is AS_REQUESTED else json.dumps({"accepted_warnings": approval})
        headers = {"Content-Type": "application/json"}
        urllib.request.urlopen(urllib.request.Request(command["url"], body.encode(), headers), timeout=10).close()
