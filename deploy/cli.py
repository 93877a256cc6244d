"""The command line of ``deploy.sh``: its options, each defined once, and the line that reports a wrong use."""

import argparse
import difflib
import os
import re
import shutil
import signal
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, Final

from deploy import cloud_run, functiongraph, local, output
from deploy.output import DeployError, UsageError

_COMMANDS: Final = {
    "local": "run the function and a fake DDM on this machine, and send it sample events",
    "cloud-run": "deploy to Google Cloud Run functions",
    "functiongraph": "build dist/ddm-precheck.zip and deploy it to Huawei Cloud FunctionGraph",
}
_ENVIRONMENT: Final = """\
environment:
  HUAWEICLOUD_TOKEN       the IAM token for functiongraph; never an argument, never printed
  FUNCTIONGRAPH_ENDPOINT  the base URL of FunctionGraph's API
                          (default: https://functiongraph.{region}.myhuaweicloud.com)
  PORT                    the port of local (default: 8080)

exit status: 0 success; 1 failure; 2 wrong usage: nothing is done"""
_KEPT: Final = "The first deployment sets limits. Later deployments keep the limits and the other variables."
_PASSED: Final = "Options after -- are passed to gcloud run deploy as they are, such as -- --min-instances 1."
_URN: Final = (
    r"urn:(smn:[\w-]+:\w+:[\w-]+|fss:[\w-]+:\w+:function:[\w.-]+:[\w-]+(:[\w.!-]+)?)",
    "urn:smn:REGION:PROJECT_ID:TOPIC or urn:fss:REGION:PROJECT_ID:function:PACKAGE:NAME",
)
# The pattern of an option's value, and what the error says about it.
_VALUES: Final = {
    "--project": (r"[a-z0-9]([a-z0-9.:-]{0,61}[a-z0-9])?", "a Google Cloud project ID"),
    "--region": (r"(?=.{1,32}$)[a-z0-9]+(-[a-z0-9]+)*", "such as europe-west1 or cn-north-4"),
    "--service": (r"[a-z]([a-z0-9-]{0,47}[a-z0-9])?", "lower-case letters, digits and hyphens, at most 49"),
    "--service-account": (
        r"[a-z0-9][a-z0-9-]*@[a-z0-9.-]+\.gserviceaccount\.com",
        "the e-mail address of a service account",
    ),
    "--token-secret": (r"[A-Za-z0-9_-]+", "the name of a secret"),
    "--project-id": (r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", "a Huawei Cloud project ID"),
    "--name": (
        r"[A-Za-z]([A-Za-z0-9_-]{0,58}[A-Za-z0-9])?",
        "a letter, then letters, digits, hyphens and underscores, at most 60",
    ),
    "--agency": (
        r"[A-Za-z0-9_]([A-Za-z0-9 _.-]{0,62}[A-Za-z0-9_])?",
        "the name of an agency, at most 64 characters",
    ),
    "--retries": ("[0-3]", "a number from 0 to 3"),
    "--on-success": _URN,
    "--on-failure": _URN,
}


def main(arguments: Sequence[str]) -> int:
    return guard(lambda: _run(arguments))


def guard(program: Callable[[], int]) -> int:
    """Run the program and return its exit status. An expected error is one line, and SIGINT prints nothing."""
    try:
        return program()
    except DeployError as error:
        output.message(str(error))
        return error.exit_status
    except OSError as error:
        output.message(str(error))
        return DeployError.exit_status
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _run(arguments: Sequence[str]) -> int:
    token = os.environ.pop("HUAWEICLOUD_TOKEN", "")  # no child process needs it
    options = parse(arguments)
    options.huaweicloud_token = token
    status: int = options.run(options)
    if options.dry_run:
        output.line("Dry run: nothing was deployed.")
    return status


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options, with ``run``, the function of the command. Raises UsageError, and exits for ``--help``."""
    own, passed = list(arguments), []
    if "--" in own:
        position = own.index("--")
        own, passed = own[:position], own[position + 1 :]
    command = "--help" if own[:1] == ["help"] else next(iter(own), None)
    if command is None:
        raise UsageError("missing command; try --help")
    if command not in {*_COMMANDS, "-h", "--help"}:
        kind = "option" if command.startswith("-") else "command"
        raise UsageError(f"unknown {kind}: {_shown(command)}{_suggestion(command, list(_COMMANDS))}")
    parser, commands = build_parsers()
    try:
        options, rest = parser.parse_known_args([command, *own[1:]])
    except argparse.ArgumentError as error:
        raise UsageError(_describe(error)) from None
    if rest and rest[0].startswith("-"):
        known = [name for action in commands[command]._actions for name in action.option_strings]  # noqa: SLF001
        raise UsageError(f"unknown option for {command}: {_shown(rest[0])}{_suggestion(rest[0], known)}")
    if rest or (passed and command != "cloud-run"):
        raise UsageError(f"unexpected argument for {command}: {_shown(rest[0] if rest else '--')}")
    options.passed = passed
    return options


def build_parsers() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """Return the parser of the command line, and the parser of each command by its name."""
    texts = "\n".join(f"  {name:15}{text}" for name, text in _COMMANDS.items())
    parser = _Parser(
        usage="./deploy.sh COMMAND [OPTION]...",
        description=f"Run the DDM precheck function, or deploy it.\n\ncommands:\n{texts}\n\n"
        "./deploy.sh COMMAND --help lists the options of a command.",
        epilog=_ENVIRONMENT,
    )
    group = parser.add_subparsers(dest="command", help=argparse.SUPPRESS)

    def add(name: str, run: Callable[[argparse.Namespace], int], more: str = "", passed: str = "") -> _Parser:
        text = _COMMANDS[name]
        usage = f"./deploy.sh {name} [OPTION]...{passed}"
        command: _Parser = group.add_parser(name, usage=usage, description=f"{text[0].upper()}{text[1:]}.", epilog=more)
        command.set_defaults(run=run)
        return command

    command = add("local", local.run)
    command.flag("--once", "exit after the samples; exit status 0 if every response is as expected")
    command.flag("--verbose", "print every request and response completely, not only the first")

    command = add("cloud-run", cloud_run.run, f"{_KEPT}\n{_PASSED}", " [-- GCLOUD-OPTION...]")
    command.option("--project ID", "the Google Cloud project (required)")
    command.option("--region REGION", "the region of Google Cloud, such as europe-west1 (required)")
    command.option("--service NAME", "the name of the service (default: %(default)s)", default="ddm-precheck")
    command.option(
        "--service-account EMAIL", "the service account of the function (default: the project's default account)"
    )
    command.flag("--allow-unauthenticated", "allow anyone on the internet to call the function")
    command.option(
        "--token-secret NAME",
        "the secret with the IAM token for events without a token, mounted as a file; the service account needs the"
        " role Secret Manager Secret Accessor; needs --allow",
    )
    _add_variables(command)

    command = add("functiongraph", functiongraph.run, _KEPT)
    command.option("--project-id ID", "the Huawei Cloud project (required)")
    command.option("--region REGION", "the region of Huawei Cloud, such as cn-north-4 (required)")
    command.flag("--event", "deploy the event function, which every trigger can call, instead of the HTTP function")
    command.option("--name NAME", "the name of the function (default: ddm-precheck; with --event, ddm-precheck-event)")
    command.option("--agency NAME", "the agency whose IAM token is for events without a token; needs --allow")
    command.option(
        "--retries 0-3",
        "how often FunctionGraph repeats an asynchronous invocation that failed (first deployment: 3); needs --event",
    )
    destination = "the SMN topic or function that receives each asynchronous invocation that"
    command.option("--on-success URN", f"{destination} succeeded; needs --event")
    command.option("--on-failure URN", f"{destination} failed; needs --event")
    command.flag("--package-only", "build the package and stop; no other option is required")
    _add_variables(command)

    for each in group.choices.values():
        each.flag(
            "--dry-run",
            "check what can be checked offline and print the exact commands or requests; needs no credentials and no"
            " gcloud, deploys nothing and changes only dist/",
        )
    return parser, dict(group.choices)


def _add_variables(command: "_Parser") -> None:
    command.option("--ddm-region REGION", "the region of DDM for events without a region (DDM_REGION)")
    command.option("--ddm-endpoint URL", "the base URL of DDM, may contain {region} (DDM_ENDPOINT)")
    command.option(
        "--allow LIST",
        "the instances for which the token of --token-secret or --agency may be used: PROJECT_ID/INSTANCE_ID or"
        " PROJECT_ID/*, separated by commas (DDM_ALLOWED_INSTANCES)",
    )
    command.option(
        "--env NAME=VALUE",
        "another variable of the function, such as DDM_EXPECTED_CHECKS=8; may be repeated. Set a variable of a library,"
        " such as HTTPS_PROXY, on the platform",
        action="append",
        default=[],
    )


class _Parser(argparse.ArgumentParser):
    def __init__(self, **options: Any) -> None:
        super().__init__(
            allow_abbrev=False, exit_on_error=False, add_help=False, formatter_class=_HelpFormatter, **options
        )
        self.add_argument("-h", "--help", action="help", help="print this text")

    def flag(self, name: str, text: str) -> None:
        self.add_argument(name, action="store_true", help=text)

    def option(self, usage: str, text: str, **options: Any) -> None:
        name, metavar = usage.split(" ")
        pattern, hint = _VALUES.get(name, (".*", ""))

        def check(value: str) -> str:
            if not value or value.startswith("-"):
                raise UsageError(f"missing value: {name}")
            if not re.fullmatch(pattern, value, re.ASCII | re.DOTALL):
                raise UsageError(f"invalid value: {name} {_shown(value)} ({hint})")
            return value

        self.add_argument(name, metavar=metavar, help=text, type=check, **options)


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=min(shutil.get_terminal_size().columns, 100) - 2)

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(text, width, break_on_hyphens=False)


def _describe(error: argparse.ArgumentError) -> str:
    """Return the message for a missing value, or for a value where none is allowed, without the value."""
    rule = "missing value" if error.message and error.message.startswith("expected") else "takes no value"
    return f"{rule}: {error.argument_name}"


def _suggestion(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word.partition("=")[0].lower(), known, n=1, cutoff=0.7)
    return f" (did you mean {close[0]}?)" if close else ""


def _shown(word: str) -> str:
    """Return a word of the command line for a message, on one line. An option's value may be a secret."""
    shown = word.partition("=")[0] if word.startswith("-") else word
    return ascii(shown)[1:-1] if len(shown) <= 60 else f"{ascii(shown[:60])[1:-1]}…"
