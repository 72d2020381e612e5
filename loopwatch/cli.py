"""``loopwatch report FILE``: prints the verdicts that a run of pytest wrote, and exits with what they come to."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from ._version import __version__
from .model import SCHEMA_VERSION
from .report.run import exit_code, summary

VERDICTS = {"clean", "blocked", "unmeasured"}
UNREADABLE = 3
"""Exit code for a command line or a file that cannot be understood."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """argparse's own code is 2, which means something else here."""
        self.print_usage(sys.stderr)
        self.exit(UNREADABLE, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    options = _parser().parse_args(arguments)
    try:
        document = read(options.file)
    except (OSError, ValueError) as wrong:
        print(f"loopwatch: {options.file} cannot be read: {wrong}", file=sys.stderr)
        return UNREADABLE
    lines = summary(document, options.slowest)
    try:
        print("\n".join(lines or ["no test was watched"]), flush=True)
    except BrokenPipeError:  # whoever read has had enough; Python would say so once more at its exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return exit_code(document)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="loopwatch", description="Tells what blocks an asyncio service.")
    parser.add_argument("--version", action="version", version=f"loopwatch {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    report = commands.add_parser(
        "report",
        help="print the verdicts of a run of pytest",
        description="Prints what 'pytest --loopwatch-json FILE' wrote.",
        epilog="Exit code: 0 clean, 1 a test was blocked, 2 nothing was measured, 3 the file cannot be read.",
    )
    report.add_argument("file", metavar="FILE")
    report.add_argument("--slowest", type=int, default=5, metavar="N", help="name the N slowest steps (5; 0: none)")
    return parser


def read(path: str) -> dict[str, Any]:
    """The document in a file. Raises OSError, or ValueError where it is none, or of a version that is not known."""
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    parts = {"schema_version", "settings", "summary", "tests", "slowest_steps", "outside", "unused_rules"}
    if not isinstance(document, dict) or not parts <= document.keys() or not _has_verdicts(document["summary"]):
        raise ValueError("it was not written by --loopwatch-json")
    if document["schema_version"] != SCHEMA_VERSION:
        raise ValueError(f"its schema_version is {document['schema_version']}, this is for {SCHEMA_VERSION}")
    return document


def _has_verdicts(summary: Any) -> bool:
    return isinstance(summary, dict) and summary.keys() >= VERDICTS
