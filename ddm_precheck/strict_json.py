"""Bytes to a JSON value, with nothing of the leniency of `json.loads`."""

import json
from typing import Any, Final, NoReturn


class NotJSONError(ValueError):
    """The bytes are not one strict JSON document; the message says where or why, and quotes nothing."""


def loads(data: bytes) -> Any:
    """Read one JSON document: UTF-8, no NaN or Infinity, no member named twice, not nested without end.

    Raises NotJSONError for anything else. A leading byte order mark is ignored (RFC 8259, section 8.1).
    """
    try:
        return _DECODER.decode(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        message = f"it is not UTF-8 at byte {error.start}"
    except json.JSONDecodeError as error:
        # Not error.msg: some of those quote the document.
        message = f"it is not valid JSON at line {error.lineno}, column {error.colno}"
    except RecursionError:
        message = "it is nested too deeply"
    except NotJSONError:
        raise
    except ValueError:  # an integer of more digits than Python converts
        message = "it holds a number that is too long"
    raise NotJSONError(message)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise NotJSONError("an object names a member twice")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise NotJSONError(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant)
