"""Runs programs under valgrind, with the interpreter itself: valgrind does not follow a launcher."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

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


def blamed(folder: Path, program: str, module: ModuleType) -> list[str]:
    """What memcheck finds in ``program`` that has to do with a module in C: bytes read wrongly, or never freed."""
    found = run_under(folder, "memcheck", program, "--error-limit=no", "--leak-check=full",
                      "--show-leak-kinds=definite", "--num-callers=12", "--fullpath-after=",
                      PYTHONMALLOC="malloc")  # fmt: skip
    assert "ERROR SUMMARY" in found
    # Built with what debuggers need, a frame names its source file, and otherwise its library.
    names = os.path.basename(str(module.__file__)).partition(".")[0], "loopwatch/observe/"
    _its_own, *blocks = found.split("\n\n")  # the first repeats the program
    return [block for block in blocks if any(name in block for name in names)]


def interpreter() -> str:
    """The executable behind that of a virtual environment."""
    return str(Path(getattr(sys, "_base_executable", None) or sys.executable).resolve())


def packages() -> list[str]:
    return [path for path in sys.path if "site-packages" in path]
