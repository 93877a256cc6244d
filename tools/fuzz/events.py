"""Random events: valid events, and events in which a few fields break a rule."""

import random
from typing import Any, Final

TOKEN: Final = "MIIFUZZTOKEN+/=0123456789"
OTHER_TOKEN: Final = "MIIHEADERTOKEN+/=9876543210"
CHECK_NAMES: Final = ("Primary keys", "DB instance time zone", "Binlog retention", "表没有主键", "Check 5", "x" * 200)

_ALPHANUMERIC: Final = "abcXYZ019"
_VALID: Final[dict[str, tuple[str, int, int]]] = {
    "project_id": (_ALPHANUMERIC + "_-", 1, 64),
    "instance_id": (_ALPHANUMERIC + "_-", 1, 64),
    "job_id": (_ALPHANUMERIC + "-", 1, 64),
}
"""Characters, minimum and maximum length."""

_JSON_VALUES: Final[tuple[Any, ...]] = (None, True, 0, -1, 1.5, 1e300, "", " ", [], {}, [[]], {"a": None}, "x" * 300)
_INVALID: Final[dict[str, tuple[Any, ...]]] = {
    "project_id": ("", "a" * 65, "a/b", "a\n", "a b", "..", "é"),
    "instance_id": ("", "a" * 65, "a?b", "a\n", "%2e"),
    "db_name": ("", "a", "A1", "1a", "a" * 49, "a-b", "ab\n", "_a"),
    "job_id": ("", "a" * 65, "a_b", "a\n", "../a"),
    "token": ("", "a b", "tok\n", "tök", "t\x7f", "a" * 65_537),
    "region": ("", "CN", "cn--north", "-cn", "cn-", "a" * 33, "cn\n", "cn.north", "evil.example/"),
    "proceed_on_warn": ("true", 1, 0, None),
    "expected_checks": (0, 1001, -1, "3", True, 2.5, None),
    "wait_seconds": (-1, 3601, "0", False, 0.5, None),
    "accepted_warnings": ([], ["a"] * 2, [""], ["a" * 201], [1], "a", None, ["a", None], [str(n) for n in range(51)]),
}
_UNKNOWN: Final = ("unknown", "Token", "x-auth-token", "db name", "a/b", "~", "", "a" * 17, "名")


def random_event(source: random.Random) -> Any:
    """Return the JSON value of an event."""
    kind = source.random()
    if kind < 0.02:
        return source.choice([*_JSON_VALUES, [valid_event(source)], "{}"])
    event = valid_event(source)
    if kind < 0.25:
        for _ in range(source.choice([1, 1, 1, 2, 4])):
            _break_rule(event, source)
    return event


def valid_event(source: random.Random) -> dict[str, Any]:
    """Return a valid event, with a random choice of the optional fields."""
    event: dict[str, Any] = {name: _text(rule, source) for name, rule in _VALID.items()}
    event["db_name"] = source.choice("abz") + _text(("abz019_", 1, 47), source)
    optional: dict[str, Any] = {
        "token": source.choice([TOKEN, TOKEN, "a", "!" * 65_000]),
        "region": source.choice(["cn-north-4", "a", "a" * 32, "1-2-3"]),
        "proceed_on_warn": source.choice([True, False]),
        "expected_checks": source.choice([1, 2, 3, 3.0, 4, 1000]),
        "wait_seconds": source.choice([0, 1, 3600]),
        "accepted_warnings": source.sample(CHECK_NAMES, source.randint(1, len(CHECK_NAMES))),
    }
    chances = {"token": 0.9, "region": 0.5}
    event |= {name: value for name, value in optional.items() if source.random() < chances.get(name, 0.4)}
    items = list(event.items())
    source.shuffle(items)
    return dict(items)


def _text(rule: tuple[str, int, int], source: random.Random) -> str:
    characters, minimum, maximum = rule
    length = source.choice([minimum, maximum, source.randint(minimum, maximum)])
    return "".join(source.choices(characters, k=length))


def _break_rule(event: dict[str, Any], source: random.Random) -> None:
    name = source.choice(list(_INVALID))
    kind = source.random()
    if kind < 0.2:
        event.pop(name, None)
    elif kind < 0.35:
        event[source.choice(_UNKNOWN)] = source.choice(_JSON_VALUES)
    elif kind < 0.5:
        event[name] = source.choice(_JSON_VALUES)
    else:
        event[name] = source.choice(_INVALID[name])
