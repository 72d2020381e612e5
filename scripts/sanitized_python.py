"""Makes a free-threaded Python that ThreadSanitizer can look into, from Debian's own source package.

Without it ThreadSanitizer knows nothing of the locks in the interpreter, and takes all that is guarded by them for a
race. It is kept in a folder of the user's cache; to make it takes 15 minutes and more, and a C compiler with its
ThreadSanitizer (gcc has it), libffi-dev and zlib1g-dev.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from debian_suite import NotToBeHad, apt_get, run
from pythons import CACHE

VERSION = "3.13"
QUIET = {"TSAN_OPTIONS": "report_bugs=0:exitcode=0"}
"""The environment in which this Python does something else than to be looked at."""

CONFIGURED = [
    "--quiet",
    "--disable-gil",
    "--with-thread-sanitizer",
    "--disable-test-modules",
    "--without-static-libpython",
    "--with-ensurepip=no",
    "CFLAGS=-g1",  # so that a stack names files and lines
    "OPT=-O1",
]

_CHECK = (
    "import ctypes, sys, sysconfig; sys.exit(not sysconfig.get_config_var('Py_GIL_DISABLED') or sys._is_gil_enabled())"
)


def find_or_make() -> Path:
    """That Python. Raises NotToBeHad."""
    python = CACHE / f"{VERSION}t-tsan" / "bin" / f"python{VERSION}t"
    if not python.exists():
        _make(python.parent.parent)
    if subprocess.run([python, "-c", _CHECK], env={**os.environ, **QUIET}, check=False).returncode:
        raise NotToBeHad(f"{python} has the interpreter lock, or was made without libffi-dev")
    return python


def _make(prefix: Path) -> None:
    for tool in ("apt-get", "make", "cc"):
        if shutil.which(tool) is None:
            raise NotToBeHad(f"to make a Python for ThreadSanitizer needs {tool}")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{prefix.name}-", dir=CACHE) as scratch:
        sources = _unpacked(Path(scratch))
        run("./configure", *CONFIGURED, f"--prefix={prefix}", within=sources)
        run("make", "-s", f"-j{os.cpu_count() or 1}", within=sources, **QUIET)
        # Beside its final place, so that an interrupted run leaves nothing that looks finished.
        run("make", "-s", "install", f"DESTDIR={scratch}/made", within=sources, **QUIET)
        shutil.rmtree(prefix, ignore_errors=True)
        Path(f"{scratch}/made{prefix}").rename(prefix)


def _unpacked(scratch: Path) -> Path:
    run(*apt_get(scratch / "apt", "deb-src"), "source", "--download-only", f"python{VERSION}", within=scratch)
    (archive,) = scratch.glob(f"python{VERSION}_*.orig.tar.*")
    run("tar", "-xf", str(archive), within=scratch)
    (sources,) = scratch.glob("Python-*")
    return sources
