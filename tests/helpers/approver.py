"""A fake chat: receives the requests for approval of the Workflows file, and sends the approvals."""

import json
import re
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

ASKED: Final = "asked"
"""The approval that sends the body in the request for approval, unchanged."""

ASKED_TWICE: Final = "asked twice"
"""The approval of `ASKED`, sent twice (Node-RED only)."""

NOBODY: Final = "nobody"
"""The approval that sends nothing."""

_JOB: Final = re.compile(r"^Job (\S+) of", re.MULTILINE)
_COMMAND: Final = re.compile(
    r"""^printf 'Authorization: Bearer %s' "\$\(gcloud auth print-access-token\)" \| curl -H @- """
    r"""-H 'Content-Type: application/json' -d '(?P<body>[^']*)' '(?P<url>[^']*)'$""",
    re.MULTILINE,
)


class Approver(ThreadingHTTPServer):
    """Receives ``{"text": …}`` and sends the request of the command in the text, once for each job.

    The approval of the job selects the body. ``errors`` contains the errors, ``texts`` the received texts.
    """

    daemon_threads = True

    def __init__(self, approvals: dict[str, Any]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.approvals = approvals
        self.errors: list[str] = []
        self.texts: list[str] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """The URL that receives the requests for approval."""
        return f"http://127.0.0.1:{self.server_address[1]}/"

    def server_close(self) -> None:
        """Stop the server. The end of the context calls this method."""
        self.shutdown()
        super().server_close()

    def receive(self, message: Any) -> None:
        """Send the approval for the job in the message."""
        try:
            assert list(message) == ["text"]
            self.texts.append(message["text"])
            (job_id,) = _JOB.findall(message["text"])
            (command,) = _COMMAND.finditer(message["text"])
            approval = self.approvals.pop(job_id, NOBODY)
            if approval is NOBODY:
                return
            body = command["body"] if approval is ASKED else json.dumps({"accepted_warnings": approval})
            headers = {"Content-Type": "application/json"}
            request = urllib.request.Request(command["url"], body.encode(), headers)
            urllib.request.urlopen(request, timeout=10).close()
        except Exception as error:  # noqa: BLE001 - it would be lost in this thread
            self.errors.append(repr(error))


class _Handler(BaseHTTPRequestHandler):
    server: Approver

    def do_POST(self) -> None:
        """Accept the message, then act on it."""
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.server.receive(message)

    def log_message(self, *_: object) -> None:
        """Write no log."""
