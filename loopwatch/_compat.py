"""Everything that depends on the Python version or on the platform, in one place.

Linux is the first platform. Where a source of evidence does not exist elsewhere, its function
returns None and the watch says so in its coverage; nothing here raises ImportError.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib.util import module_from_spec
from types import FrameType, ModuleType
from typing import Any

LINUX = sys.platform.startswith("linux")


def _pristine_time() -> ModuleType:
    """A private copy of the ``time`` module.

    Test tools that freeze time replace the functions of the shared module; ours keep ticking, also
    when loopwatch is first imported while time is frozen (``time`` uses multi-phase init, PEP 489,
    so its loader makes a new module from the same C code).
    """
    spec = time.__spec__
    if spec is None or spec.loader is None:
        return time
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_CLOCK_REALTIME_COARSE = 5
"""``include/uapi/linux/time.h``; it lags behind by one tick of the kernel, at most 10 ms."""


def _unfreezable_wall(pristine: Any) -> Callable[[], float]:
    """Seconds since the epoch.

    time-machine replaces the C code behind ``time.time`` and ``CLOCK_REALTIME``, which all copies of the
    module share. It leaves CLOCK_TAI alone, which differs by a whole number of seconds.
    """

    def wall() -> float:
        now: float = pristine.clock_gettime(pristine.CLOCK_TAI)
        offset: int = round(now - pristine.clock_gettime(_CLOCK_REALTIME_COARSE))
        return now - offset

    try:
        wall()
    except (AttributeError, OSError):  # not Linux, or a sandbox that looks like it
        unprotected: Callable[[], float] = pristine.time
        return unprotected
    return wall


class _Clocks:
    """Holds the clock functions as instance attributes, where no freezing tool looks for them."""

    def __init__(self) -> None:
        pristine = _pristine_time()
        self.monotonic = pristine.perf_counter
        self.wall = _unfreezable_wall(pristine)
        self.thread_cpu = getattr(pristine, "thread_time", None) or (lambda: None)
        self.process_cpu = pristine.process_time
        self.of: Any = getattr(pristine, "clock_gettime", None)


clocks = _Clocks()


# --- threads -----------------------------------------------------------------------------------

gil_enabled: Callable[[], bool] = getattr(sys, "_is_gil_enabled", lambda: True)
"""Whether the interpreter has its lock (free-threaded builds of 3.13 and newer may run without)."""

_COLLECTS_AMID_FRAMES = sys.version_info[:2] == (3, 11)
_COLLECTS_UNDER_A_LOCK = (3, 11) <= sys.version_info < (3, 11, 9)
_paused: list[None] = []
"""Has something in it while the collector is paused here, which is so for the whole process."""


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Keep the garbage collector from running in this thread, while it walks through the stack of another.

    Python 3.11 makes the objects for frames when they are asked for, and that may set off a collection.
    In ``sys._current_frames`` it then happens under a lock that every ending thread takes, and both wait
    for ever (python/cpython#106883, mended in 3.11.9). While ``f_back`` is followed it lets other threads
    run, and the frame may be over when it is looked at again: a crash. Does nothing on other versions.
    """
    if not (_COLLECTS_AMID_FRAMES and gc.isenabled()):
        yield
        return
    _paused.append(None)
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        _paused.clear()


def collect_again() -> None:
    """For the child of a fork: let the collector run where another thread, which the child has not, had paused it."""
    if _paused:
        gc.enable()
        _paused.clear()


def stacks() -> dict[int, FrameType]:
    """The current frame of every thread by thread ident (``sys._current_frames``); walk them ``uncollected()``."""
    if not gil_enabled():
        return {}  # the frames of a thread that runs meanwhile may not be walked
    with uncollected() if _COLLECTS_UNDER_A_LOCK else contextlib.nullcontext():
        return sys._current_frames()


_CLOCK_OF_THREAD = 6
"""``CPUCLOCK_PERTHREAD_MASK | CPUCLOCK_SCHED`` (``include/linux/posix-timers_types.h``); the thread is in the rest."""


class ThreadClock:
    """The CPU time of another thread of this process, and how it came to it, as the kernel tells.

    The CPU time is that of the clock which the kernel has for each thread: exact, and refused where the thread is
    gone (what ``pthread_getcpuclockid`` does then is undefined). All else stands in files, ``schedstat``
    (Documentation/scheduler/sched-stats.rst of the kernel) and ``status`` in ``/proc/self/task/TID``, which are
    opened when they are asked for, and kept open if ``keep``. To read them is to let other threads run.
    """

    __slots__ = ("_files", "keep", "native")

    def __init__(self, native: int, keep: bool = True) -> None:
        self.native = native if LINUX else 0
        self.keep = keep
        self._files: dict[str, int] = {}

    def cpu(self) -> float | None:
        """Seconds that it has been on a CPU so far; None where that cannot be known."""
        try:
            seconds: float | None = clocks.of(~self.native << 3 | _CLOCK_OF_THREAD) if self.native > 0 else None
            return seconds
        except OSError:
            return None

    def queued(self) -> float | None:
        """Seconds that it has been ready to run without getting a CPU; likewise."""
        try:
            return int(self._read("schedstat", 64).split()[1]) / 1e9
        except (OSError, ValueError, IndexError):
            return None

    def switches(self) -> int | None:
        """How often it gave up the CPU by itself, see ``voluntary_switches``. The dearest of the three."""
        try:
            _, found, rest = self._read("status", 8192).partition(b"\nvoluntary_ctxt_switches:")
            return int(rest.split(None, 1)[0]) if found else None
        except (OSError, ValueError, IndexError):
            return None

    def _read(self, name: str, most: int) -> bytes:
        """What one of its files says now. Raises OSError where there is none."""
        file = self._files.get(name)
        if file is not None:
            try:
                return os.pread(file, most, 0)
            except OSError:  # it is gone, and another thread may have its number by now
                self.close()
        file = os.open(f"/proc/self/task/{self.native}/{name}", os.O_RDONLY)
        if self.keep:
            self._files[name] = file
            return os.pread(file, most, 0)
        try:
            return os.pread(file, most, 0)
        finally:
            os.close(file)

    def close(self) -> None:
        """Let go of the files; they are opened again where they are asked for again."""
        # Taken out first: closing lets other threads run, and a number closed twice may be someone else's by then.
        while self._files:
            with contextlib.suppress(OSError, KeyError):
                os.close(self._files.popitem()[1])


def voluntary_switches() -> int | None:
    """How often the calling thread gave up the CPU by itself.

    A thread that waits for the interpreter lock wakes every switch interval to ask for it
    (``take_gil`` in CPython's ``Python/ceval_gil.c``); a stopped process does not wake at all.
    """
    if _getrusage is None:
        return None
    switches: int = _getrusage(_RUSAGE_THREAD).ru_nvcsw
    return switches


try:
    import resource

    _RUSAGE_THREAD = resource.RUSAGE_THREAD
    _getrusage: Any = resource.getrusage
except (ImportError, AttributeError):  # not Linux
    _getrusage = None
    _RUSAGE_THREAD = 0


# System call numbers: arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h
# of the Linux kernel. Those marked "fd" depend on what their first argument is.
_SYSCALLS: dict[str, dict[int, str]] = {
    "x86_64": {
        **dict.fromkeys((0, 1, 19, 20), "fd"),
        **dict.fromkeys((7, 42, 43, 44, 45, 46, 47, 232, 271, 281, 288), "network"),
        **dict.fromkeys((23, 270), "select"),
        **dict.fromkeys((35, 230), "sleep"),
        **dict.fromkeys((2, 4, 5, 6, 17, 18, 40, 72, 73, 74, 75, 76, 77, 82, 87, 217, 257, 262, 277, 326), "file"),
        202: "futex",
        **dict.fromkeys((61, 247), "process"),
    },
    "aarch64": {
        **dict.fromkeys((63, 64, 65, 66), "fd"),
        **dict.fromkeys((22, 73, 202, 203, 206, 207, 211, 212, 242), "network"),
        72: "select",
        **dict.fromkeys((101, 115), "sleep"),
        **dict.fromkeys((25, 32, 35, 38, 45, 46, 56, 61, 67, 68, 71, 79, 80, 82, 83, 84, 285), "file"),
        98: "futex",
        **dict.fromkeys((95, 260), "process"),
    },
}
_MACHINE = os.uname().machine if LINUX and sys.maxsize > 2**32 else ""  # a 32-bit process has other numbers
_NUMBERS = _SYSCALLS.get(_MACHINE, {})
_POLLS = {"x86_64": (7, 271), "aarch64": (73,)}.get(_MACHINE, ())


def kernel_activity(native_id: int) -> Any:
    """What a thread of this process does in the kernel, from ``/proc/self/task/TID/syscall``.

    One of ``running``, ``network``, ``sleep``, ``file``, ``process``, ``futex``, ``other``, or None
    where the kernel does not tell. A thread that wants the interpreter lock shows as ``futex``.
    """
    if not _NUMBERS:
        return None
    try:
        with open(f"/proc/self/task/{native_id}/syscall", "rb", buffering=0) as file:
            words = file.read(256).split()
        if words[0] == b"running":
            return "running"
        number = int(words[0])
        kind = _NUMBERS.get(number, "other")
        if kind == "select":
            return "sleep" if int(words[1], 16) == 0 else "network"
        if number in _POLLS and int(words[2], 16) == 0:
            return "sleep"
        return _kind_of_file(int(words[1], 16)) if kind == "fd" else kind
    except (OSError, ValueError, IndexError):
        return None


def _kind_of_file(fd: int) -> str:
    target = os.readlink(f"/proc/self/fd/{fd}")
    if target.startswith("socket:"):
        return "network"
    if target.startswith("anon_inode:"):  # an eventfd or the like
        return "other"
    return "process" if target.startswith("pipe:") else "file"


def traced_from_outside() -> bool:
    """Whether a debugger holds this process with ptrace (``TracerPid`` in ``/proc/self/status``)."""
    if not LINUX:
        return False
    try:
        with open("/proc/self/status", "rb") as status:
            for line in status:
                if line.startswith(b"TracerPid:"):
                    return line.split()[1] != b"0"
    except OSError:
        return False
    return False


native_thread_id = threading.get_native_id

KNOWN_HANDLES = sys.implementation.name == "cpython" and (3, 10) <= sys.version_info[:2] <= (3, 15)
"""Whether asyncio is one whose ``Handle._run`` (``Lib/asyncio/events.py``) we know."""
BYTECODE_WITHIN_CODE = sys.version_info >= (3, 11)
"""Whether the bytecode lies within the code object, so that its address plus an offset is unique."""


# --- executors ---------------------------------------------------------------------------------

# Python 3.14 added InterpreterPoolExecutor, a ThreadPoolExecutor that pickles what it is given:
# like a process pool it must get the caller's own function.
InterpreterPoolExecutor: type | None = getattr(concurrent.futures, "InterpreterPoolExecutor", None)


def current_task() -> Callable[[Any], Any]:
    """What tells the task that runs in a loop, given the loop, None where none does.

    Before 3.12 ``asyncio.current_task`` is Python code that asks a dictionary (``Lib/asyncio/tasks.py``).
    """
    known = getattr(asyncio.tasks, "_current_tasks", None)
    return known.get if sys.version_info < (3, 12) and type(known) is dict else asyncio.current_task


def outcome_of(future: concurrent.futures.Future[Any]) -> str:
    """``cancelled``, ``failed`` or ``completed``, of a future that is done.

    Read from the fields (``Lib/concurrent/futures/_base.py``, the same since 3.2): its methods take a
    lock each, which costs more than everything else that is done at the end of a job.
    """
    if future._state.startswith("CANCELLED"):
        return "cancelled"
    return "completed" if future._exception is None else "failed"
