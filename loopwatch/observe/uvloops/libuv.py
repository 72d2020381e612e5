"""libuv's own counters of a uvloop loop: how long it has waited in its poll, and how often it has turned.

The wheels of uvloop export libuv's functions, and ``uvloop.loop.libuv_get_loop_t_ptr`` is public. What is read:
``uv_metrics_idle_time`` (1.39, guarded by a mutex of libuv's own, made for other threads) and the first field of
``uv_metrics_info`` (1.45), after a stall that is traced also its second, and ``uv_hrtime``. libuv counts idle time
only in a loop that was told so, by ``uv_loop_configure`` with ``UV_METRICS_IDLE_TIME``, and that cannot be taken back:
such a loop polls once without waiting before each poll that waits, which is one more system call a turn, for as long
as it lives.

Nothing here gives up the interpreter, and nothing imports uvloop.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
import threading
from typing import Any, NamedTuple

_METRICS_IDLE_TIME = 1
"""``uv_loop_option`` in libuv's ``include/uv.h``."""
_OLDEST, _NEXT_MAJOR = 1 << 16 | 45 << 8, 2 << 16
_NANO = 1e-9
_PAUSE = 0.002
_ATTEMPTS = 100
_PATIENCE = 5.0


class Unsuitable(Exception):
    """The counters of such loops cannot be had; the message says why."""


class Count(NamedTuple):
    """What the counters show, in seconds of idle time and polls begun, and whether the loop waits right now."""

    at: float
    idle: float
    turns: int
    polling: bool


class _Metrics(ctypes.Structure):
    """``uv_metrics_t``."""

    _fields_ = (
        ("loop_count", ctypes.c_uint64),
        ("events", ctypes.c_uint64),
        ("events_waiting", ctypes.c_uint64),
        ("reserved", ctypes.c_void_p * 13),
    )


class Libuv:
    """The libuv that one uvloop runs on. ``pointer`` is what ``pointer_of`` gave; the loop must not be closed yet."""

    def __init__(self, extension: Any) -> None:
        """:raises Unsuitable: it does not export what is needed, or is of a version that is not known."""
        try:
            # No CDLL: that would give up the interpreter in each call, and the loop could be closed meanwhile.
            library = ctypes.PyDLL(extension.__file__)
            version = int(extension.libuv_get_version())
            self._capsule = extension.libuv_get_loop_t_ptr
            self.count_idle = _declared(library.uv_metrics_idle_time, ctypes.c_uint64, ctypes.c_size_t)
            self._info = _declared(library.uv_metrics_info, ctypes.c_int, ctypes.c_size_t, ctypes.POINTER(_Metrics))
            self._configure = _declared(library.uv_loop_configure, ctypes.c_int, ctypes.c_size_t, ctypes.c_int)
            self.idle_address: int | None = ctypes.cast(self.count_idle, ctypes.c_void_p).value
            self._clock = _declared(library.uv_hrtime, ctypes.c_uint64)
            own = _declared(library.uv_version, ctypes.c_uint)()
        except (AttributeError, OSError, TypeError, ValueError) as error:
            raise Unsuitable(f"this build of it does not export libuv's counters ({error})") from error
        if own != version:
            raise Unsuitable("it is built with another libuv than the one that can be asked")
        if not _OLDEST <= version < _NEXT_MAJOR:
            raise Unsuitable(
                f"it is built with libuv {version >> 16}.{version >> 8 & 255}, whose counters are not known"
            )
        self._metrics = threading.local()

    def pointer_of(self, loop: Any) -> int:
        """The address of the loop's ``uv_loop_t``."""
        address = _pointer_in(self._capsule(loop), None)
        if not address:
            raise Unsuitable("it does not tell where its libuv loop is")
        return int(address)

    def configure(self, pointer: int) -> None:
        """Let the loop count its idle time. On the loop's own thread, or while it does not run."""
        if self._configure(pointer, _METRICS_IDLE_TIME) != 0:
            raise Unsuitable("its libuv cannot count idle time")

    def idle(self, pointer: int) -> float:
        """Seconds that the loop has waited in its poll so far, with the poll that is under way. From any thread."""
        seconds: float = self.count_idle(pointer) * _NANO
        return seconds

    def turns(self, pointer: int) -> int:
        """How many polls it has begun so far. From any thread."""
        metrics = getattr(self._metrics, "kept", None)
        if metrics is None:
            metrics = self._metrics.kept = _Metrics()
        self._info(pointer, ctypes.byref(metrics))
        return int(metrics.loop_count)

    def events(self, pointer: int) -> int:
        """How many events its polls have brought so far."""
        self.turns(pointer)
        return int(self._metrics.kept.events)

    def now(self) -> float:
        """The time by which its timers are due."""
        now: float = self._clock() * _NANO
        return now


def _declared(function: Any, result: Any, *arguments: Any) -> Any:
    function.restype, function.argtypes = result, arguments
    return function


_pointer_in = _declared(ctypes.pythonapi.PyCapsule_GetPointer, ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)


def prove(libuv: Libuv, loop: Any) -> None:
    """Run a new loop for a moment, in a thread of its own, and see whether its counters tell the truth.

    :raises Unsuitable: they do not.
    """
    proof = _Proof(libuv, loop)
    thread = threading.Thread(target=proof.run, name="loopwatch-proof", daemon=True)
    thread.start()
    thread.join(_PATIENCE)
    if proof.failed:
        raise Unsuitable(proof.failed)


class _Proof:
    """Between two callbacks the loop must be seen to wait and to poll, and in none of them to wait."""

    def __init__(self, libuv: Libuv, loop: Any) -> None:
        self.failed = "a loop of our own did not run"
        self._libuv = libuv
        self._loop = loop
        self._pointer = libuv.pointer_of(loop)
        self._began: tuple[float, int] | None = None
        self._left = _ATTEMPTS

    def run(self) -> None:
        try:
            self._libuv.configure(self._pointer)
            self._loop.call_soon(self._look)
            self._loop.run_forever()
        except Exception as error:
            self.failed = str(error)

    def _look(self) -> None:
        idle, turns = self._libuv.idle(self._pointer), self._libuv.turns(self._pointer)
        if self._libuv.idle(self._pointer) != idle:
            self.failed = "in a loop of our own, idle time went on in a callback"
        elif self._began is not None and idle - self._began[0] >= _PAUSE / 2 and turns > self._began[1]:
            self.failed = ""
        elif self._left:  # the machine may have been elsewhere while the loop was to wait
            self._left -= 1
            self._began = idle, turns
            self._loop.call_later(_PAUSE, self._look)
            return
        else:
            self.failed = "the counters of a loop of our own did not move"
        self._loop.stop()


def open_libuv(loop: Any) -> Libuv:
    """The libuv of the uvloop that is imported, proven with a new loop of its, which is closed then.

    :raises Unsuitable: its counters cannot be had.
    """
    try:
        libuv = Libuv(sys.modules.get("uvloop.loop"))
        prove(libuv, loop)
        return libuv
    finally:
        with contextlib.suppress(RuntimeError):  # it runs still
            loop.close()


def rest_of(seconds: float, others: int, usual: float) -> float:
    """What one stretch has of the seconds that it shares with others, which take what is usual."""
    return seconds - min(others * usual, seconds * others / (others + 1))
