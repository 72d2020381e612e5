"""Processes that the examples start: each says one line when it is ready, and none outlives its parent.

The line travels through the child's standard output. The child's standard input is a pipe that the
parent holds open and writes nothing into: its end tells the child that the parent is gone, however
it went.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
_GRACE = 5.0


class ChildFailed(RuntimeError):
    """Raised when a child ended, or its time was up, before it had said its line."""

    def __init__(self, module: str, seconds: float) -> None:
        super().__init__(f"{module} did not answer within {seconds:g} s or ended early; see its messages above")


@contextmanager
def child(module: str, *arguments: str, seconds: float) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run ``python -m module`` and give its first line of output and its process; it is ended on the way out.

    Raises :class:`ChildFailed` when the line does not come within ``seconds``.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=_ROOT,
        env=_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # Ctrl-C reaches the parent only, which then ends its children in order.
        start_new_session=True,
    )
    try:
        yield _first_line(process, module, seconds), process
    finally:
        _end(process)


def leave_with_parent() -> None:
    """Called in a child: ends this process, as SIGTERM does, once the standard input is closed."""
    threading.Thread(target=_leave_at_end_of_input, name="parent", daemon=True).start()


def end_on_sigterm() -> None:
    """Called in a parent: makes SIGTERM unwind the program like Ctrl-C, so that the children are ended too."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


def _environment() -> dict[str, str]:
    # What runs here talks to itself only; a company's proxy must not be asked for 127.0.0.1.
    return {**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


def _first_line(process: subprocess.Popen[str], module: str, seconds: float) -> str:
    assert process.stdout is not None
    bound = threading.Timer(seconds, process.kill)
    bound.start()
    try:
        line = process.stdout.readline().strip()
    finally:
        bound.cancel()
    if not line:
        raise ChildFailed(module, seconds)
    return line


def _end(process: subprocess.Popen[str]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    for stop in (process.terminate, process.kill):
        try:
            process.wait(_GRACE)
            return
        except subprocess.TimeoutExpired:
            stop()
    process.wait(_GRACE)


def _leave_at_end_of_input() -> None:
    # Read by descriptor: a thread inside sys.stdin would hold its lock while the interpreter shuts down.
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
