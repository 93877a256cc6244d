"""Parses a JSON value from bytes or base64 in a request."""

import base64
import binascii
from typing import Any

from ddm_precheck import strict_json
from ddm_precheck.problem import Problem, ProblemCode, Violation, invalid_event


def parse_json(data: bytes, where: str) -> Any:
    """Parse JSON. ``where`` names the part of the request that contains the JSON, for the message of the problem.

    Raises Problem ``invalid-event`` if the data is empty or not strict JSON.
    """
    if not data:
        raise Problem(ProblemCode.INVALID_EVENT, f"{where} is empty; send the event as a JSON object")
    try:
        return strict_json.loads(data)
    except strict_json.InvalidJSONError as error:
        raise Problem(ProblemCode.INVALID_EVENT, f"{where} cannot be parsed: {error}") from None


def parse_base64_json(text: Any, pointer: str) -> Any:
    """Decode base64 and parse the JSON in it. ``pointer`` is the RFC 6901 pointer of the base64.

    Raises Problem ``invalid-event`` if the text is not the base64 of strict JSON.
    """
    try:
        data = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except (binascii.Error, ValueError):
        data = b""
    if not data:
        raise invalid_event(Violation(pointer, "must be the base64 of the event"))
    return parse_json(data, f"the base64 in {pointer}")
