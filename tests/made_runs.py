"""Runs of pytest in a process of their own, with the plugin, and what it says of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

APP = """
import asyncio, time

async def checkout():
    time.sleep(0.2)

async def fine():
    await asyncio.sleep(0.01)
"""
"""An application of which one function blocks."""


@dataclass
class Run:
    """How a run ended, all that it printed, and the document that it wrote."""

    result: pytest.RunResult
    text: str
    document: dict[str, Any]

    def verdicts(self) -> dict[str, str]:
        """By the name of the test, without its file."""
        return {entry["test"].partition("::")[2]: entry["verdict"] for entry in self.document["tests"]}

    def entry(self, name: str) -> dict[str, Any]:
        found: dict[str, Any]
        (found,) = (entry for entry in self.document["tests"] if entry["test"].endswith(f"::{name}"))
        return found

    def sites(self, name: str) -> list[str]:
        """Who is blamed for what blocked a test."""
        return [event["culprit"]["site"].rpartition(":")[0] for event in self.entry(name)["blocked"]]

    def outside(self) -> set[tuple[str, str]]:
        """Category and culprit of what happened outside of the tests' own calls."""
        return {
            (each["category"], each["event"]["culprit"]["site"].rpartition(":")[0])
            for each in self.document["outside"]
            if each["event"]["culprit"]
        }


def run(pytester: pytest.Pytester, *arguments: str, plugins: str = "", tests: str = "", **files: str) -> Run:
    """Run pytest on one file of tests; ``plugins`` are those that are loaded beside the plugin, by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTEST_ADDOPTS", raising=False)
        patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        pytester.makepyfile(app=APP, test_it="import asyncio, pytest, threading, time\nimport app\n" + tests, **files)
        loaded = [f"-p{name}" for name in ("loopwatch", *plugins.split())]
        result = pytester.runpytest_subprocess(
            *loaded, "-pno:cacheprovider", "--loopwatch-json=run.json", *arguments, timeout=60
        )
    written = pytester.path / "run.json"
    document = json.loads(written.read_text()) if written.exists() else {}
    return Run(result, result.stdout.str() + result.stderr.str(), document)
