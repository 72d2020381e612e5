"""The name of a function of C that is being called: it has no frame, so its caller's is the innermost."""

from __future__ import annotations

import os
import queue
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from loopwatch.explain.calls import called_name
from tests.made_calls import INLINED, PATIENCE, frames_of, in_thread


def name_in_c(function: Callable[..., Any], release: Callable[[], Any], *arguments: Any) -> str | None:
    """What ``function`` calls when it stands still; it may do so before its call, where the machine stalls."""
    ready = threading.Event()

    def look(ident: int) -> str | None:
        assert ready.wait(PATIENCE)
        before, deadline = None, time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            frame = next(frames_of(ident))
            now = frame.f_code, frame.f_lasti
            if frame.f_code is function.__code__ and now == before and (name := called_name(*now)) is not None:
                return name
            before = now
            time.sleep(0.02)
        return "never stood still"

    def work() -> None:
        ready.set()
        function(*arguments)

    return in_thread(work, look, release)  # type: ignore[no-any-return]


def take(lock: Any) -> None:
    lock.acquire(True, timeout=PATIENCE)


def enter(lock: Any) -> None:
    with lock:
        pass


def get(source: Any) -> None:
    [source.get(timeout=PATIENCE) for _ in (1,)]


def test_functions_of_c_are_named() -> None:
    """The innermost frame is the caller's: a lock, a queue, a pipe, a socket."""
    lock = threading.Lock()
    lock.acquire()
    assert name_in_c(take, lock.release, lock) == "lock.acquire"
    assert name_in_c(enter, lock.release, lock) == "lock.__enter__"
    if INLINED:  # otherwise in a frame of its own
        simple: queue.SimpleQueue[int] = queue.SimpleQueue()
        assert name_in_c(get, lambda: simple.put(1), simple) == "source.get"


def test_a_read_that_blocks_is_named() -> None:
    """Pipes and sockets, as the methods and functions that they are read with."""
    reader, writer = os.pipe()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        try:
            assert name_in_c(lambda: os.read(reader, 1), lambda: os.write(writer, b"x")) == "os.read"
            assert name_in_c(lambda: ours.recv(1), lambda: theirs.send(b"x")) == "ours.recv"
        finally:
            os.close(reader)
            os.close(writer)
