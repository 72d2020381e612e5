"""Runs the suite on several Python versions, with all extras and without any, each in its own environment.

    python scripts/all_versions.py                          3.10 to 3.15, both ways
    python scripts/all_versions.py --only test 3.10 3.15    two versions, with the extras
    python scripts/all_versions.py --only bare current      the Python that runs this, without

The environments stay in ``.venvs`` and are made anew when ``pyproject.toml`` or what is compiled changes. A
version that this machine cannot have is said aloud; it makes the run fail under ``CI=true``. What follows ``--``
goes to pytest. A version that fails does not keep the others from being run; how each failing one
ended is told once more at the very end. Otherwise the last words are pytest's own, or a table where
there was more than one run.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from typing import NamedTuple

from debian_suite import NotToBeHad
from pythons import find_or_make

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14", "3.15")
FLAVOURS = ("test", "bare")
"""Names of extras in pyproject.toml: with every library that loopwatch can work with, and with none."""

OK, FAILED, MISSING = "passed", "FAILED", "NOT RUN"

_TOLD_AGAIN = 60
"""Lines: who reads a log from its end finds there why a version failed that ran long before."""

_NAMED = 5


class Ending(NamedTuple):
    """How one run of pytest ended: its exit code, the tests that failed, and its last lines."""

    code: int
    failed: tuple[str, ...]
    last: tuple[str, ...]


class Outcome(NamedTuple):
    version: str
    flavour: str
    result: str
    seconds: float
    detail: str = ""
    last: tuple[str, ...] = ()


def main() -> int:
    options, pytest_arguments = _arguments()
    flavours = (options.only,) if options.only else FLAVOURS
    outcomes = [
        _one(version, flavour, pytest_arguments) for version in options.versions or VERSIONS for flavour in flavours
    ]
    for outcome in outcomes:
        if outcome.result == FAILED:
            _say(f"FAILED: Python {outcome.version}, {outcome.flavour}: its last {len(outcome.last)} lines")
            print("\n".join(outcome.last))
    if len(outcomes) > 1 or outcomes[0].result == FAILED:
        _print_table(outcomes)
    bad = {FAILED, MISSING} if os.environ.get("CI") == "true" else {FAILED}
    return int(any(outcome.result in bad for outcome in outcomes))


def _arguments() -> tuple[argparse.Namespace, list[str]]:
    own = sys.argv[1:]
    end = own.index("--") if "--" in own else len(own)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=FLAVOURS, help="one flavour instead of both")
    parser.add_argument("versions", nargs="*", metavar="VERSION", help="3.X, or current")
    return parser.parse_args(own[:end]), own[end + 1 :]


def _one(version: str, flavour: str, pytest_arguments: list[str]) -> Outcome:
    started = time.monotonic()
    try:
        base = Path(sys.executable) if version == "current" else find_or_make(version)
        python = environment_of(base, version, flavour)
    except NotToBeHad as why:
        _say(f"NOT RUN: Python {version}, {flavour}: {why}")
        return Outcome(version, flavour, MISSING, time.monotonic() - started, str(why).partition("\n")[0])
    _say(f"Python {version}, {flavour}: {python}")
    ending = _suite(python, flavour, pytest_arguments)
    result = FAILED if ending.code else OK
    return Outcome(version, flavour, result, time.monotonic() - started, _names(ending), ending.last)


def environment_of(base: Path, version: str, flavour: str) -> Path:
    """The Python of an environment that has this checkout and one of its extras installed."""
    folder = ROOT / ".venvs" / f"{version}-{flavour}"
    python = folder / "bin" / "python"
    stamp = folder / ".installed"
    if stamp.exists() and stamp.read_text() == _fingerprint(base) and python.exists():
        return python
    new_environment(base, folder)
    install_into(python, "--editable", f"{ROOT}[{flavour}]")
    stamp.write_text(_fingerprint(base))
    return python


def new_environment(base: Path, folder: Path) -> None:
    """Made anew where it was there. Raises NotToBeHad, as the next one does."""
    _uv("venv", "--clear", "--python", str(base), str(folder))


def install_into(python: Path, *packages: str) -> None:
    _uv("pip", "install", "--python", str(python), *packages)


def _fingerprint(base: Path) -> str:
    files = [ROOT / name for name in ("pyproject.toml", "setup.py", "loopwatch/_version.py")]
    files += sorted((ROOT / "loopwatch").rglob("*.c"))
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    return f"{base} {digest}\n"


def _uv(*arguments: str) -> None:
    # uv, not pip: the pip that comes with an old Python fails on the newest one.
    command = [sys.executable, "-m", "uv", "--quiet", *arguments]
    if subprocess.run(command, stdin=subprocess.DEVNULL, env=_uv_environment(), check=False).returncode:
        raise NotToBeHad(f"uv {' '.join(arguments[:2])} failed, see above")


def _uv_environment() -> dict[str, str]:
    """uv reads nothing of pip's settings: tell it the index that pip uses, where one is set."""
    environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    asked = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.index-url"], capture_output=True, text=True, check=False
    )
    index = environment.get("PIP_INDEX_URL") or asked.stdout.strip()
    if index:
        environment.setdefault("UV_DEFAULT_INDEX", index)
    return environment


def _suite(python: Path, flavour: str, pytest_arguments: list[str]) -> Ending:
    environment = dict(os.environ)
    environment.pop("WITHOUT_EXTRAS", None)
    if flavour == "bare":
        environment["WITHOUT_EXTRAS"] = "1"
    command = [str(python), "-m", "pytest", "-p", "no:cacheprovider", *pytest_arguments]
    return run_and_listen(command, environment)


def run_and_listen(command: list[str], environment: dict[str, str]) -> Ending:
    """Run it to its end, pass on what it says as it says it, and keep what tells how it ended."""
    failed: dict[str, None] = {}
    last: deque[str] = deque(maxlen=_TOLD_AGAIN)
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        begun = b""
        # Whatever is there, not lines: a suite that hangs has said where, but not yet ended that line.
        while chunk := os.read(process.stdout.fileno(), 1 << 16):
            sys.stdout.buffer.write(chunk)
            sys.stdout.flush()
            *lines, begun = (begun + chunk).split(b"\n")
            for line in (each.decode(errors="replace").rstrip() for each in lines):
                last.append(line)
                # pytest's short summary: "FAILED tests/test_x.py::test_y - AssertionError"
                if line.startswith(("FAILED ", "ERROR ")):
                    failed[line.split()[1]] = None
        if begun:
            last.append(begun.decode(errors="replace"))
    return Ending(process.returncode, tuple(failed), tuple(last))


def _names(ending: Ending) -> str:
    if not ending.code:
        return ""
    more = len(ending.failed) - _NAMED
    told = [*ending.failed[:_NAMED], *([f"and {more} more"] if more > 0 else [])]
    return ", ".join(told) or f"exit code {ending.code}, no test named"


def _print_table(outcomes: list[Outcome]) -> None:
    print()
    print(f"{'Python':8} {'extras':7} {'result':8} {'seconds':>7}  failing tests, or what is missing")
    for outcome in outcomes:
        row = f"{outcome.version:8} {outcome.flavour:7} {outcome.result:8} {outcome.seconds:7.0f}  {outcome.detail}"
        print(row.rstrip())


def _say(text: str) -> None:
    print(f"\n=== {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
