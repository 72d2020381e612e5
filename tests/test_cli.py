"""``loopwatch report FILE`` prints the verdicts of a run and exits with what they come to."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from loopwatch.cli import main

STALL = {"event": "stall", "duration": 0.352, "cause": "wait", "culprit": {"site": "shop.views.checkout:12"}}


def entry(name: str, verdict: str, *blocked: Any, reason: str = "") -> dict[str, Any]:
    return {"test": name, "verdict": verdict, "reason": reason, "blocked": blocked, "allowed": [], "excused": []}


def written(folder: Path, *tests: dict[str, Any], **changes: Any) -> str:
    """The path of a document with these tests."""
    verdicts = [test["verdict"] for test in tests]
    document = {
        "schema_version": 1,
        "settings": {"threshold": 0.05, "executor_wait": 0.05},
        "summary": {name: verdicts.count(name) for name in ("clean", "blocked", "unmeasured")},
        "tests": tests,
        "slowest_steps": [{"seconds": 0.02, "name": "shop.fine", "category": "call", "test": "t.py::a"}]
        if tests
        else [],
        "outside": [],
        "unused_rules": [],
        **changes,
    }
    path = folder / "run.json"
    path.write_text(json.dumps(document))
    return str(path)


CLEAN, UNMEASURED = entry("t.py::a", "clean"), entry("t.py::b", "unmeasured", reason="no event loop ran a step")
BLOCKED = entry("t.py::c", "blocked", STALL)


@pytest.mark.parametrize(
    ("tests", "code"),
    [([CLEAN], 0), ([CLEAN, UNMEASURED], 0), ([CLEAN, BLOCKED], 1), ([UNMEASURED], 2), ([], 2)],
)
def test_the_exit_code_tells_the_verdict(tmp_path: Path, tests: list[dict[str, Any]], code: int) -> None:
    """0: clean, 1: blocked, 2: nothing was measured."""
    assert main(["report", written(tmp_path, *tests)]) == code


def test_it_prints_what_the_end_of_the_run_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who was blocked by whom, what was not measured and why, the slowest steps, and what happened outside."""
    outside = [{"category": "setup", "test": "t.py::a", "event": {**STALL, "duration": 0.1}}]
    main(["report", written(tmp_path, CLEAN, UNMEASURED, BLOCKED, outside=outside, unused_rules=["allow_blocking(x)"])])
    assert capsys.readouterr().out.splitlines() == [
        "3 tests watched: 1 clean, 1 blocked, 1 unmeasured (threshold 50 ms, executor_wait 50 ms)",
        "blocked:",
        "  t.py::c: shop.views.checkout:12",
        "unmeasured:",
        "  no event loop ran a step: t.py::b",
        "slowest 5 steps:",
        "    352 ms call       t.py::c  shop.views.checkout:12 (wait)",
        "    100 ms setup      t.py::a  shop.views.checkout:12 (wait)",
        "     20 ms call       t.py::a  shop.fine",
        "outside of the tests' own calls, and nobody's failure:",
        "  setup: 1 x shop.views.checkout:12, 100 ms at most",
        "never used:",
        "  allow_blocking(x)",
    ]
    main(["report", "--slowest", "0", written(tmp_path, BLOCKED)])
    assert "slowest" not in capsys.readouterr().out


def test_what_a_test_left_behind_is_told_with_the_test_in_whose_call_it_blocked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is among the slowest, too; files that know nothing of it can be read as well."""
    left = [{"during": "t.py::a", "event": {**STALL, "task": "poller"}}]
    leaves = {**entry("t.py::b", "blocked", reason="it left a task behind"), "left_behind": left}
    assert main(["report", written(tmp_path, CLEAN, leaves, BLOCKED)]) == 1
    assert capsys.readouterr().out.splitlines()[1:7] == [
        "blocked:",
        "  t.py::c: shop.views.checkout:12",
        "left behind:",
        "  t.py::b: task 'poller' in t.py::a: shop.views.checkout:12",
        "slowest 5 steps:",
        "    352 ms call       t.py::b  shop.views.checkout:12 (wait)",
    ]


@pytest.mark.parametrize("text", ["", "[]", '{"tests": []}', "no JSON"])
def test_a_file_that_is_none_is_told(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With a code of its own, so that it is never taken for a verdict."""
    (tmp_path / "run.json").write_text(text)
    assert main(["report", str(tmp_path / "run.json")]) == 3
    assert "cannot be read" in capsys.readouterr().err
    assert main(["report", written(tmp_path, CLEAN, schema_version=99)]) == 3
    assert main(["report", str(tmp_path / "none.json")]) == 3


def test_a_wrong_command_line_is_no_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    """argparse's own code would say that nothing was measured."""
    with pytest.raises(SystemExit) as ended:
        main(["report"])
    assert ended.value.code == 3
    assert "usage: loopwatch report" in capsys.readouterr().err


def test_it_runs_as_a_module(tmp_path: Path) -> None:
    """``python -m loopwatch`` is the command."""
    command = [sys.executable, "-m", "loopwatch", "report", written(tmp_path, BLOCKED)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("1 test watched: 1 blocked")
