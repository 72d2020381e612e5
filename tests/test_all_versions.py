"""The runs on several versions: one that fails keeps no other from being run, and is told of at the end."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
SUITE = """
import sys
for number in range(100):
    print("line", number)
print("FAILED tests/test_a.py::test_one - assert 1 == 2")
print("ERROR tests/test_b.py - ImportError")
print("1 failed", end="", flush=True)
sys.exit(1)
"""


@pytest.fixture
def all_versions(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script as a module."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    for name in ("all_versions", "pythons"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("all_versions")


def listen(all_versions: Any, program: str) -> Any:
    return all_versions.run_and_listen([sys.executable, "-c", program], dict(os.environ))


def test_what_a_run_says_is_passed_on_and_its_end_is_kept(all_versions: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """Everything as it comes, also a line that is not ended; of it the failing tests, and the last sixty lines."""
    ending = listen(all_versions, SUITE)
    said = capfd.readouterr().out.splitlines()
    assert (said[0], said[-1], len(said)) == ("line 0", "1 failed", 103)
    assert ending.code == 1
    assert ending.failed == ("tests/test_a.py::test_one", "tests/test_b.py")
    assert list(ending.last) == said[-60:]


def test_every_version_is_run_and_the_failing_ones_are_told_at_the_end(
    all_versions: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The exit code is that of a failure; the last lines name every failing version with its failing tests."""
    programs = {"3.10": SUITE, "3.11": "print('5 passed')", "3.12": "import os; os.abort()"}

    def environment(base: Path, version: str, flavour: str) -> Path:
        return Path(version)

    def suite(python: Path, flavour: str, arguments: list[str]) -> Any:
        return listen(all_versions, programs[str(python)])

    monkeypatch.setattr(all_versions, "find_or_make", Path)
    monkeypatch.setattr(all_versions, "environment_of", environment)
    monkeypatch.setattr(all_versions, "_suite", suite)
    monkeypatch.setattr(sys, "argv", ["all_versions.py", "--only", "bare", *programs])
    assert all_versions.main() == 1
    said = capfd.readouterr().out
    end = said[said.index("=== FAILED: Python 3.10, bare") :]
    assert "5 passed" not in end
    assert "line 99\n" in end
    assert "=== FAILED: Python 3.12, bare" in end
    rows = {line.split()[0]: line for line in end.splitlines() if line.startswith("3.")}
    assert "FAILED" in rows["3.10"] and rows["3.10"].endswith("tests/test_a.py::test_one, tests/test_b.py")
    assert " passed " in rows["3.11"]
    assert "FAILED" in rows["3.12"] and "no test named" in rows["3.12"]


def test_a_run_without_failure_succeeds(
    all_versions: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Then pytest's own words are the last."""
    ending = listen(all_versions, "print('5 passed')")
    assert (ending.code, ending.failed, ending.last) == (0, (), ("5 passed",))
    monkeypatch.setattr(all_versions, "environment_of", lambda *given: Path())
    monkeypatch.setattr(all_versions, "_suite", lambda *given: listen(all_versions, "print('5 passed')"))
    monkeypatch.setattr(sys, "argv", ["all_versions.py", "--only", "bare", "current"])
    assert all_versions.main() == 0
    assert capfd.readouterr().out.endswith("5 passed\n")
