"""Runs programs under valgrind, with the interpreter itself: valgrind does not follow a launcher."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.programs import ROOT


def run_under(folder: Path, tool: str, program: str, *options: str, **environment: str) -> str:
    """Run ``program`` with our own packages; returns what valgrind has to say, in blocks with empty lines between."""
    log = folder / f"{tool}.log"
    done = subprocess.run(
        ["valgrind", f"--tool={tool}", f"--log-file={log}", *options, interpreter(), "-s", "-c", program],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), *packages()]),
            "PYTHONHASHSEED": "0",
            **environment,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    # Each line begins with the number of the process.
    said = re.sub(r"(?m)^(==|--)\d+\1 ?", "", log.read_text(errors="replace"))
    if "Fatal error at startup" in said:  # an interpreter that brings its own C library, as those made from packages do
        pytest.skip("valgrind cannot look into this interpreter's C library")
    assert done.returncode == 0, done.stderr + said[-2000:]
    return said


def interpreter() -> str:
    """The executable behind that of a virtual environment."""
    return str(Path(getattr(sys, "_base_executable", None) or sys.executable).resolve())


def packages() -> list[str]:
    return [path for path in sys.path if "site-packages" in path]
