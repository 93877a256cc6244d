"""Parses bytes to a JSON value, and rejects invalid JSON that `json.loads` accepts."""

import json
from typing import Any, Final, NoReturn


class InvalidJSONError(Exception):
    """The bytes are not one strict JSON text. The message gives the position or the reason, and quotes no bytes."""


def loads(data: bytes) -> Any:
    """Parse one JSON text in UTF-8. A leading byte order mark is ignored (RFC 8259, section 8.1).

    Raises InvalidJSONError for any other bytes. Unlike `json.loads`, this includes NaN and Infinity, an object with a
    duplicate key, nesting beyond the recursion limit and a number beyond the digit limit.
    """
    try:
        return _DECODER.decode(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        message = f"it is not UTF-8 at byte {error.start}"
    except json.JSONDecodeError as error:
        # Not error.msg: some of these messages quote the JSON text.
        message = f"it is not valid JSON at line {error.lineno}, column {error.colno}"
    except RecursionError:
        message = "it is nested too deeply"
    except ValueError:  # an integer with more digits than Python converts
        message = "it contains a number that is too long"
    raise InvalidJSONError(message)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise InvalidJSONError("an object has a duplicate key")
    return fields


def _reject_constant(name: str) -> NoReturn:
    raise InvalidJSONError(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_reject_constant)
