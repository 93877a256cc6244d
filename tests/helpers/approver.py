"""A server that replaces the chat: receives the requests for approval of the Workflows file, and sends approvals."""

import json
import re
import urllib.request
from typing import Any, Final

from testing.loopback_server import LoopbackServer, QuietHandler

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


class Approver(LoopbackServer):
    """Receives ``{"text": …}``. The text contains a curl command. Sends the request of this command once for each job.

    ``approvals`` has the approval for each job ID. The approval decides the body of the request. ``texts`` has the
    received texts, ``errors`` the exceptions in the threads of the server.
    """

    def __init__(self, approvals: dict[str, Any]) -> None:
        super().__init__(_Handler)
        self.approvals = approvals
        self.errors: list[str] = []
        self.texts: list[str] = []

    @property
    def url(self) -> str:
        """The URL that receives the requests for approval."""
        return f"{super().url}/"

    def receive(self, message: Any) -> None:
        """Send the approval for the job in the message."""
        try:
            assert list(message) == ["text"]
            self.texts.append(message["text"])
            (job_id,) = _JOB.findall(message["text"])
            (command,) = _COMMAND.finditer(message["text"])
            approval = self.approvals.pop(job_id, NO_APPROVAL)
            if approval is NO_APPROVAL:
                return
            body = command["body"] if approval is AS_REQUESTED else json.dumps({"accepted_warnings": approval})
            headers = {"Content-Type": "application/json"}
            request = urllib.request.Request(command["url"], body.encode(), headers)
            urllib.request.urlopen(request, timeout=10).close()
        except Exception as error:  # noqa: BLE001 - an error in this thread would not fail the test
            self.errors.append(repr(error))


class _Handler(QuietHandler):
    server: Approver

    def do_POST(self) -> None:
        """Respond with 200, then send the approval."""
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.server.receive(message)
