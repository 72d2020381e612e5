"""Threads seen from outside, names in every version of Python, and platforms that tell less than Linux."""

from __future__ import annotations

import concurrent.futures
import contextlib
import fcntl
import hashlib
import importlib.util
import io
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from loopwatch import _compat
from loopwatch._compat import ThreadClock, kernel_activity
from tests.one_thread import PATIENCE, thread

PROC = Path(f"/proc/self/task/{threading.get_native_id()}")
needs_syscall = pytest.mark.skipif(not (PROC / "syscall").exists(), reason="the kernel does not tell")


# --- what a thread does in the kernel ----------------------------------------------------------


class Waits:
    """Each gives what waits, and what ends the wait."""

    def __init__(self, cleanup: contextlib.ExitStack, folder: Path) -> None:
        self.ours, self.theirs = map(cleanup.enter_context, socket.socketpair())
        self.server = cleanup.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.reader, self.writer = os.pipe()
        cleanup.callback(os.close, self.reader)
        cleanup.callback(os.close, self.writer)
        self.path = folder / "locked"
        self.files = [cleanup.enter_context(self.path.open("wb")) for _ in (1, 2)]
        self.child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        cleanup.enter_context(self.child)
        self.done = threading.Event()
        self.lock = threading.Lock()
        self.lock.acquire()

    def _again_and_again(self, nap: Callable[[], Any]) -> tuple[Callable[[], Any], Callable[[], Any]]:
        def until_done() -> None:
            while not self.done.is_set():
                nap()

        return until_done, self.done.set

    def sleep(self) -> Any:
        return self._again_and_again(lambda: time.sleep(0.5))

    def select_nothing(self) -> Any:
        return self._again_and_again(lambda: select.select([], [], [], 0.5))

    def poll_nothing(self) -> Any:
        poller = select.poll()
        return self._again_and_again(lambda: poller.poll(500))

    def receive(self) -> Any:
        return lambda: self.ours.recv(1), lambda: self.theirs.send(b"x")

    def receive_with_timeout(self) -> Any:
        self.ours.settimeout(PATIENCE)
        return self.receive()

    def read_from_socket(self) -> Any:
        return lambda: os.read(self.ours.fileno(), 1), lambda: self.theirs.send(b"x")

    def accept(self) -> Any:
        address = self.server.getsockname()
        return lambda: self.server.accept()[0].close(), lambda: socket.create_connection(address).close()

    def poll(self) -> Any:
        poller = select.poll()
        poller.register(self.ours, select.POLLIN)
        return lambda: poller.poll(PATIENCE * 1000), lambda: self.theirs.send(b"x")

    def select(self) -> Any:
        return lambda: select.select([self.ours], [], [], PATIENCE), lambda: self.theirs.send(b"x")

    def read_from_pipe(self) -> Any:
        return lambda: os.read(self.reader, 1), lambda: os.write(self.writer, b"x")

    def wait_for_child(self) -> Any:
        return self.child.wait, lambda: self.child.stdin and self.child.stdin.close()

    def lock_a_file(self) -> Any:
        first, second = self.files
        fcntl.flock(first, fcntl.LOCK_EX)
        return lambda: fcntl.flock(second, fcntl.LOCK_EX), lambda: fcntl.flock(first, fcntl.LOCK_UN)

    def take_a_lock(self) -> Any:
        return self.lock.acquire, self.lock.release

    def wait_for_an_event(self) -> Any:
        return lambda: self.done.wait(PATIENCE), self.done.set

    def read_from_eventfd(self) -> Any:
        counter = os.eventfd(0)

        def read() -> None:
            os.read(counter, 8)
            os.close(counter)

        return read, lambda: os.eventfd_write(counter, 1)


@needs_syscall
@pytest.mark.parametrize(
    ("wait", "expected"),
    [
        *((wait, "sleep") for wait in (Waits.sleep, Waits.select_nothing, Waits.poll_nothing)),
        *((wait, "network") for wait in (Waits.receive, Waits.receive_with_timeout, Waits.read_from_socket)),
        *((wait, "network") for wait in (Waits.accept, Waits.poll, Waits.select)),
        *((wait, "process") for wait in (Waits.read_from_pipe, Waits.wait_for_child)),
        *((wait, "futex") for wait in (Waits.take_a_lock, Waits.wait_for_an_event)),
        (Waits.lock_a_file, "file"),
        (Waits.read_from_eventfd, "other"),
    ],
)
def test_a_wait_is_seen_for_what_it_is(wait: Callable[[Waits], Any], expected: str, tmp_path: Path) -> None:
    """In the kernel's words about the thread, whoever looks."""
    with contextlib.ExitStack() as cleanup:
        work, release = wait(Waits(cleanup, tmp_path))
        with thread(work, release) as native:
            deadline = time.monotonic() + PATIENCE
            looks: list[str | None] = []
            while looks != [expected] * 5 and time.monotonic() < deadline:
                time.sleep(0.005)
                looks = [*looks, kernel_activity(native)][-5:]
    assert looks == [expected] * 5


@needs_syscall
def test_a_thread_that_works_is_seen_running() -> None:
    """With or without the interpreter: here in C code that works without it."""
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            hashlib.pbkdf2_hmac("sha256", b"word", b"salt", 100_000)

    with thread(work, done.set) as native:
        looks = []
        for _ in range(40):
            time.sleep(0.005)
            looks.append(kernel_activity(native))
    assert looks.count("running") > 20, looks


def test_a_thread_that_is_gone_does_nothing_that_could_be_told() -> None:
    """Nor does one that never was."""
    with thread(lambda: None, lambda: None) as native:
        pass
    assert kernel_activity(native) is None
    assert kernel_activity(2**30) is None


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (b"running\n", "running"),
        (b"35 0x7f 0x0 0x0 0x0 0x0 0x0 0x7f 0x7f\n", "sleep"),
        (b"7 0x7f 0x1 0x64 0x0 0x0 0x0 0x7f 0x7f\n", "network"),
        (b"7 0x7f 0x0 0x64 0x0 0x0 0x0 0x7f 0x7f\n", "sleep"),
        (b"23 0x0 0x0 0x0 0x0 0x0 0x0 0x7f 0x7f\n", "sleep"),
        (b"23 0x8 0x0 0x0 0x0 0x0 0x0 0x7f 0x7f\n", "network"),
        (b"0 0x5 0x7f 0x1 0x0 0x0 0x0 0x7f 0x7f\n", "file"),
        (b"0 0x6 0x7f 0x1 0x0 0x0 0x0 0x7f 0x7f\n", None),  # closed by now
        (b"999 0x0 0x0 0x0 0x0 0x0 0x0 0x7f 0x7f\n", "other"),
        (b"-1 0x7ffd 0x7f\n", "other"),  # blocked, but not in a system call: a page fault
        *((odd, None) for odd in (b"", b"\n", b"7\n", b"7 0x1 zz\n", b"what 0x0\n")),
    ],
)
def test_whatever_the_kernel_writes_is_understood_or_unknown(
    told: bytes, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lines of ``/proc/self/task/TID/syscall`` on x86-64."""

    def readlink(path: str) -> str:
        if path != "/proc/self/fd/5":
            raise FileNotFoundError(path)
        return "/srv/shop/data"

    monkeypatch.setattr(_compat, "_NUMBERS", _compat._SYSCALLS["x86_64"])
    monkeypatch.setattr(_compat, "_POLLS", (7, 271))
    monkeypatch.setattr(_compat, "open", lambda *_, **__: io.BytesIO(told), raising=False)
    monkeypatch.setattr(os, "readlink", readlink)
    assert kernel_activity(1) == expected


@pytest.mark.parametrize(("told", "expected"), [(b"0", False), (b"4711", True)])
def test_a_debugger_that_holds_the_process_is_seen(
    told: bytes, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the process id of who traces it."""
    monkeypatch.setattr(_compat, "LINUX", True)
    status = b"Name:\tpython\nTracerPid:\t" + told + b"\nUid:\t0\n"
    monkeypatch.setattr(_compat, "open", lambda *_: io.BytesIO(status), raising=False)
    assert _compat.traced_from_outside() is expected


# --- stacks ------------------------------------------------------------------------------------


def test_all_threads_have_their_frame() -> None:
    """By their ident."""
    go_on = threading.Event()
    with thread(lambda: go_on.wait(PATIENCE), go_on.set):
        frames = _compat.stacks()
        assert {each.ident for each in threading.enumerate()} <= set(frames)
        assert frames[threading.get_ident()].f_back is sys._getframe()


# --- less than Linux on a common machine -------------------------------------------------------


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Callable[..., ModuleType]:
    """Loads the module anew, as it would be on another platform."""

    def load(system: str, machine: str = "x86_64", biggest: int = 2**63 - 1) -> ModuleType:
        spec = importlib.util.find_spec("loopwatch._compat")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "platform", system)
            patch.setattr(sys, "maxsize", biggest)
            patch.setattr(os, "uname", lambda: SimpleNamespace(machine=machine))
            if system == "win32":
                patch.setitem(sys.modules, "resource", None)
            elif system != "linux":
                patch.delattr("resource.RUSAGE_THREAD")
            spec.loader.exec_module(module)
        return module

    return load


@pytest.mark.parametrize("system", ["darwin", "win32", "freebsd14"])
def test_other_platforms_tell_less_and_break_nothing(elsewhere: Callable[..., ModuleType], system: str) -> None:
    """Evidence that is not there is None; the clocks tick everywhere."""
    module = elsewhere(system)
    done = threading.Event()
    with thread(lambda: done.wait(PATIENCE), done.set) as native:
        clock = module.ThreadClock(native)
        assert (clock.cpu(), clock.queued(), clock.switches()) == (None, None, None)
        clock.close()
        assert module.kernel_activity(native) is None
    assert module.voluntary_switches() is None
    vars(module)["open"] = lambda *_: io.BytesIO(b"TracerPid:\t1\n")  # must not be asked
    assert module.traced_from_outside() is False
    assert module.clocks.monotonic() <= module.clocks.monotonic()
    assert abs(module.clocks.wall() - time.time()) < 1


@pytest.mark.parametrize(("machine", "biggest"), [("riscv64", 2**63 - 1), ("x86_64", 2**31 - 1)])
def test_system_calls_are_not_guessed(elsewhere: Callable[..., ModuleType], machine: str, biggest: int) -> None:
    """Their numbers are known for some machines; a 32-bit process has others on the same machine."""
    done = threading.Event()
    with thread(lambda: done.wait(PATIENCE), done.set) as native:
        assert elsewhere("linux", machine, biggest).kernel_activity(native) is None


def test_without_proc_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a sandbox that has none, or hides it."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError("no /proc here")

    monkeypatch.setattr(_compat, "LINUX", True)
    monkeypatch.setattr(_compat, "_NUMBERS", {0: "fd"})
    monkeypatch.setattr(_compat, "open", refuse, raising=False)
    monkeypatch.setattr(os, "open", refuse)
    assert kernel_activity(1) is None
    clock = ThreadClock(threading.get_native_id())
    assert (clock.queued(), clock.switches()) == (None, None)
    assert _compat.traced_from_outside() is False


# --- executors ---------------------------------------------------------------------------------


def test_the_outcome_of_a_future_is_read_without_its_lock() -> None:
    """Of real futures that are done."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        completed, failed = pool.submit(int, "1"), pool.submit(int, "one")
        concurrent.futures.wait([completed, failed], PATIENCE)
    cancelled: concurrent.futures.Future[int] = concurrent.futures.Future()
    cancelled.cancel()
    notified: concurrent.futures.Future[int] = concurrent.futures.Future()
    notified.cancel()
    notified.set_running_or_notify_cancel()
    told = [_compat.outcome_of(each) for each in (completed, failed, cancelled, notified)]
    assert told == ["completed", "failed", "cancelled", "cancelled"]
