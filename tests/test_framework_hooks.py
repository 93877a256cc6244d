"""The hook that keeps gunicorn's limit for the request line, in this process."""

import importlib
import sys

import gunicorn.config
import pytest

from ddm_precheck.framework_hooks import limit_request_line


@pytest.fixture
def request_line_option(monkeypatch: pytest.MonkeyPatch):
    """Gunicorn's option for the length of a request line, unchanged after the test."""
    option = gunicorn.config.LimitRequestLine
    monkeypatch.setattr(option, "validator", option.validator)
    return option


def test_request_line_limit_stays(request_line_option):
    """If a server is started, functions-framework cannot turn gunicorn's limit off."""
    importlib.import_module("functions_framework._cli")
    limit_request_line()
    config = gunicorn.config.Config()
    config.set("limit_request_line", 0)
    assert config.limit_request_line == request_line_option.default == 4094


def test_nothing_changes_without_a_server(request_line_option, monkeypatch):
    """If the process starts no server, gunicorn's limit does not change."""
    monkeypatch.delitem(sys.modules, "functions_framework._cli", raising=False)
    before = request_line_option.validator
    limit_request_line()
    assert request_line_option.validator is before
