"""Looks for races in our C with ThreadSanitizer, on a Python without the interpreter lock.

    python scripts/thread_sanitizer.py                          all programs of scripts/races, 20 s each
    python scripts/thread_sanitizer.py --seconds 50 jobs        one of them, for longer
    python scripts/thread_sanitizer.py --python PATH            with a free-threaded Python that was made for it

The Python has to be built for ThreadSanitizer, too (``sanitized_python.py`` makes one, once): without that each lock
of the interpreter is unknown. Such a Python has races of its own. A race is ours where one of its two accesses stands
in our C, in what we call inline included; then the run fails. Any other is the interpreter's: it is counted, and named
in one line, so that a person may judge it. So no list of suppressions is kept, which would hide what is new.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import sanitized_python
from all_versions import install_into, new_environment
from debian_suite import NotToBeHad

ROOT = Path(__file__).resolve().parent.parent
RACES = ROOT / "scripts" / "races"
PROGRAMS = ("stopwatch", "jobs", "calls", "resting")
MOST_SECONDS = 60

PATIENCE = 600.0
"""Seconds that a program may take beside those that it is given: to import alone takes 20 s of CPU time here, and the
machine may be shared."""

_OURS = ("loopwatch/observe/", "canary.c")


class Report(NamedTuple):
    """One of ThreadSanitizer's, and where the C files are in which its two accesses stand."""

    text: str
    places: tuple[str, ...]

    @property
    def ours(self) -> bool:
        return any(mine in place for place in self.places for mine in _OURS)


def reports(log: str) -> Iterator[Report]:
    for text in log.split("=" * 18):
        if "WARNING: ThreadSanitizer" in text:
            yield Report(text.strip(), tuple(_places(text)))


def _places(text: str) -> Iterator[str]:
    """Of each stack of an access: the first frame that lies in a C file, and neither in a header nor in its own."""
    for stack in text.split("\n\n"):
        title, *frames = [line for line in stack.splitlines() if line.startswith("  ")] or [""]
        if not re.match(r"  (previous )?(atomic )?(read|write|atomic|mutex)", title, re.IGNORECASE):
            continue
        for frame in frames:
            found = re.search(r"#\d+ (\S+) (\S+\.c:\d+)", frame)
            if found is not None and "libsanitizer" not in frame:
                yield f"{found[1]} {found[2]}"
                break


# --- what is run -------------------------------------------------------------------------------


def built_with(python: Path, uvloop: str) -> tuple[Path, dict[str, str]]:
    """An environment of that Python, and the variables under which it finds our C, compiled for ThreadSanitizer."""
    folder = ROOT / ".venvs" / "tsan"
    own = folder / "bin" / "python"
    library = folder / "loopwatch"
    stamp = folder / ".installed"
    wanted = f"{python} {uvloop} {_fingerprint()}"
    if not stamp.exists() or stamp.read_text() != wanted:
        new_environment(python, folder)
        install_into(own, "setuptools>=77")
        _install_uvloop(own, uvloop)
        _build(own, library)
        stamp.write_text(wanted)
    return own, {"PYTHONPATH": str(library), "PYTHONNOUSERSITE": "1", "LOOPWATCH_REQUIRE_C": "1"}


def _fingerprint() -> str:
    files = [
        ROOT / "setup.py",
        *sorted(path for path in (ROOT / "loopwatch").rglob("*") if path.suffix in {".c", ".h", ".py"}),
    ]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _install_uvloop(python: Path, how: str) -> None:
    if how == "none":
        return
    try:
        install_into(python, "uvloop", *([] if how == "build" else ["--only-binary", "uvloop"]))
    except NotToBeHad:
        print(
            "NOT RUN on uvloop itself: there is no wheel of it for this Python (--uvloop build compiles it)", flush=True
        )


def _build(python: Path, library: Path) -> None:
    flags = {"CFLAGS": "-O1 -g -fsanitize=thread", "LDFLAGS": "-fsanitize=thread", "LOOPWATCH_REQUIRE_C": "1"}
    with tempfile.TemporaryDirectory() as scratch:
        made = subprocess.run(
            [
                str(python),
                "setup.py",
                "-q",
                "build",
                "--parallel=2",
                f"--build-lib={library}",
                f"--build-temp={scratch}",
            ],
            cwd=ROOT,
            env={**os.environ, **sanitized_python.QUIET, **flags},
            stdin=subprocess.DEVNULL,
            check=False,
        )
    if made.returncode:
        raise NotToBeHad("our C was not compiled, see above")


def run(python: Path, program: str, seconds: float, variables: dict[str, str]) -> tuple[int | None, list[Report]]:
    """How it ended (None: not in time), and what was found meanwhile."""
    with tempfile.TemporaryDirectory() as folder:
        options = f"log_path={folder}/log:history_size=5:exitcode=0"
        try:
            code: int | None = subprocess.run(
                [python, "-X", "faulthandler", RACES / f"{program}.py", str(seconds)],
                env={**os.environ, **variables, "TSAN_OPTIONS": options},
                stdin=subprocess.DEVNULL,
                timeout=seconds + PATIENCE,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            code = None
        logs = [path.read_text(errors="replace") for path in sorted(Path(folder).iterdir())]
    return code, [report for log in logs for report in reports(log)]


def told(program: str, code: int | None, found: list[Report]) -> bool:
    """Say how a program went; whether it went well."""
    ours = [report for report in found if report.ours]
    for report in ours:
        print(f"\n{report.text}", flush=True)
    theirs = Counter(" | ".join(sorted(set(report.places))) for report in found if not report.ours)
    ending = "did not end in time" if code is None else f"exit code {code}" if code else "ran to its end"
    print(f"{program}: {ending}; races in our C: {len(ours)}; in the interpreter: {theirs.total()}", flush=True)
    for places, count in theirs.most_common():
        print(f"    {count} in {places or 'a place that is not known'}", flush=True)
    return code == 0 and not ours


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, help="a free-threaded Python that was built with ThreadSanitizer")
    parser.add_argument("--seconds", type=float, default=20.0, help=f"for each program, at most {MOST_SECONDS}")
    parser.add_argument("--uvloop", choices=("wheel", "build", "none"), default="wheel")
    parser.add_argument("programs", nargs="*", metavar="PROGRAM", help=", ".join(PROGRAMS))
    options = parser.parse_args()
    if unknown := set(options.programs) - set(PROGRAMS):
        parser.error(f"no program of scripts/races: {', '.join(sorted(unknown))}")
    try:
        python, variables = built_with(options.python or sanitized_python.find_or_make(), options.uvloop)
    except NotToBeHad as why:
        print(f"NOT RUN: {why}")
        return 1
    _code, seen = run(python, "canary", 0, variables)
    if not any(report.ours for report in seen):
        print("NOT RUN: a race that was made on purpose is not seen with this Python")
        return 1
    seconds = min(options.seconds, MOST_SECONDS)
    well = [told(each, *run(python, each, seconds, variables)) for each in options.programs or PROGRAMS]
    return int(not all(well))


if __name__ == "__main__":
    sys.exit(main())
