"""One environment for each tool, made by uv in ``.venvs/peers-*`` from the pinned table."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

from .tools import BARE, EVERYWHERE, PYTHON, Tool

ROOT = Path(__file__).resolve().parent.parent.parent


class NotInstalled(Exception):
    """Raised when a tool's environment cannot be made; says why, in one line without paths."""


def python_of(tool: Tool | None) -> Path:
    """The Python of a tool's environment, made where it is not there yet; None: without any tool.

    Raises NotInstalled.
    """
    name = tool.folder if tool else BARE
    folder = ROOT / ".venvs" / f"peers-{name.lower().replace(' ', '-')}"
    wanted = [*EVERYWHERE, *(tool.packages if tool else ())]
    python, stamp = folder / "bin" / "python", folder / ".installed"
    fingerprint = hashlib.sha256("\n".join([PYTHON, *wanted]).encode()).hexdigest()
    if python.exists() and stamp.exists() and stamp.read_text() == fingerprint:
        return python
    _uv("venv", "--clear", "--python", _base(), str(folder))
    packages = [word for package in wanted for word in package.split()]
    _uv("pip", "install", "--python", str(python), *packages)
    stamp.write_text(fingerprint)
    return python


def versions_in(python: Path, names: list[str]) -> dict[str, str]:
    """The installed versions of some distributions."""
    code = "import sys, importlib.metadata as m; print(*(m.version(n) for n in sys.argv[1:]))"
    done = subprocess.run([python, "-c", code, *names], cwd=ROOT, capture_output=True, text=True, check=True)
    return dict(zip(names, done.stdout.split()))


def _base() -> str:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "pythons.py"), PYTHON], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise NotInstalled(f"Python {PYTHON} is not to be had here")
    return done.stdout.strip()


def _uv(*arguments: str) -> None:
    command = [sys.executable, "-m", "uv", "--quiet", "--no-python-downloads", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=_uv_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        raise NotInstalled(_first_words(done.stderr))


def _first_words(errors: str) -> str:
    text = " ".join(errors.split()).strip()
    return re.sub(r"(?:file:)?/\S+", "…", text)[:200]


def _uv_environment() -> dict[str, str]:
    """uv reads nothing of pip's settings: tell it the index that pip uses, where one is set."""
    environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    if index := environment.get("PIP_INDEX_URL"):
        environment.setdefault("UV_DEFAULT_INDEX", index)
    return environment
